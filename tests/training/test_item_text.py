"""A run with item texts: from the file to the log, the checkpoint and the model card."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from omegaconf import DictConfig

from pyg_srgnn.checkpoint import Checkpoint
from pyg_srgnn.commands import evaluate, train
from pyg_srgnn.commands.validate import validate_run
from pyg_srgnn.data import Sessions, Vocabulary
from pyg_srgnn.datasets import DATASETS, SessionDataset
from pyg_srgnn.export.model_card import model_card
from pyg_srgnn.export.write import export
from pyg_srgnn.training import item_text
from pyg_srgnn.training.job import Job
from pyg_srgnn.training.resume import claim
from tests.commands import run
from tests.text.fake import Fake
from tests.tiny import tiny_config

SMALL = ["model.channels=8", "trainer.max_epochs=1", "trainer.accelerator=cpu", "batch_size=50"]
ITEMS = 30


class Shop(SessionDataset):
    """A dataset with texts of its own."""

    name = "shop"
    text_encoder = "hashed"

    def read(self) -> tuple[Sessions, Sessions, Vocabulary]:
        self.texts = ["red hat", "", None, "red shoe"]
        sessions = Sessions.from_lists([[0, 1], [1, 2], [2, 3], [3, 0]] * 5)
        return sessions, sessions, Vocabulary([7, 8, 9, 10])


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DATASETS, "shop", Shop)


def job(folder: Path, **keys: Any) -> Job:
    """A job whose dataset is the shop."""
    config = tiny_config(folder)
    config.dataset = {"name": "shop", "root": str(folder)}
    return Job(DictConfig({**config, **keys}), folder / "run")


def write_texts(folder: Path, first: str = "red hat") -> str:
    path = folder / "items.csv"
    path.write_text(f"id,title,brand\n7,{first},Acme\n10,red shoe,\n11,coat,Acme\n")
    return str(path)


@pytest.mark.usefixtures("shop")
def test_a_dataset_has_texts_of_its_own(tmp_path: Path) -> None:
    this = job(tmp_path)
    dataset = this.open("train")
    text = this.text(dataset)
    assert text is not None and text.present.tolist() == [True, False, False, True]
    assert (text.vectors @ text.vectors.T)[0, 3] > 0.2  # they share a word
    assert str(text) == "2 of 4 items; encoder hashed 1, 256 dimensions"
    assert text.facts["source"] == "shop"
    described = json.loads((tmp_path / "run" / "data.json").read_text())["text"]
    assert described == {key: text.facts[key] for key in ("columns", "content", "encoder")}
    assert [path.suffix for path in (tmp_path / "text_cache").iterdir()].count(".sqlite") == 1


@pytest.mark.usefixtures("shop")
def test_a_file_overrides_them(tmp_path: Path) -> None:
    this = job(tmp_path, text=write_texts(tmp_path), encoder={"name": "hashed", "dimensions": 8})
    text = this.text(this.open("train"))
    assert text is not None and text.vectors.shape == (4, 8)
    assert str(text) == "2 of 4 items, columns title, brand; encoder hashed 1, 8 dimensions"


@pytest.mark.usefixtures("shop")
def test_ready_made_vectors_open_no_encoder(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.eye(2))
    (tmp_path / "v.ids.txt").write_text("8\n9\n")
    this = job(tmp_path, text=str(tmp_path / "v.npy"), encoder={"name": "not installed"})
    text = this.text(this.open("train"))
    assert text is not None and text.vectors.tolist() == [[0, 0], [1, 0], [0, 1], [0, 0]]
    assert text.facts["encoder"] is None
    assert not (tmp_path / "text_cache").exists()


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize("keys", [{"text": None}, {"model": {"name": "markov"}}])
def test_a_run_without_texts(tmp_path: Path, keys: dict[str, Any]) -> None:
    this = job(tmp_path, **keys)
    assert this.text(this.open("train")) is None
    assert "text" not in json.loads((tmp_path / "run" / "data.json").read_text())


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"first": "blue hat"}, "text: other ids or texts"),
        (
            {"text_columns": ["title"]},
            r"text, columns: there \['title', 'brand'\], here \['title'\]",
        ),
        (
            {"encoder": {"name": "hashed", "dimensions": 8}},
            "text, encoder: there .*256}, here .*8}",
        ),
    ],
)
def test_other_texts_are_other_data(tmp_path: Path, keys: dict[str, Any], told: str) -> None:
    job(tmp_path, text=write_texts(tmp_path)).open("train")
    file = write_texts(tmp_path, keys.pop("first", "red hat"))
    with pytest.raises(ValueError, match=rf"run: the data has changed since\s+{told}\n"):
        job(tmp_path, text=file, **keys).open("train")


@pytest.mark.usefixtures("shop")
def test_texts_that_were_not_there(tmp_path: Path) -> None:
    job(tmp_path, text=None).open("train")
    with pytest.raises(ValueError, match="text: none there, but here"):
        job(tmp_path).open("train")


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("encoder=http", "given; --help shows examples\n  encoder.url: must be given; [^\n]+$"),
        ("text=''", "text='': expected a text, or null"),
        ("text_id=sku", r"text_id='sku': expected null with text=null or text=auto"),
        ("text_columns=[title]", r"text_columns=\['title'\]: expected null with text=null or"),
        ("text=x.csv text_columns=[]", r"text_columns=\[\]: expected a list of columns, or null"),
        ("text=x.csv text_columns=title", "text_columns='title': expected a list of columns"),
        ("text=x.csv text_id=3", "text_id=3: expected a text, or null"),
        ("encoder=hashed encoder.dimensions=0", "encoder.dimensions=0: expected a whole number >="),
        ("encoder.name=none", r"encoder\.name must be one of .*hashed.* \(got 'none'\)"),
    ],
)
def test_keys_are_checked_before_anything_is_loaded(
    tmp_path: Path, override: str, told: str
) -> None:
    config = tiny_config(tmp_path, *override.split())
    with pytest.raises(ValueError, match=told):
        validate_run(config)


def test_an_encoder_that_is_not_used_need_not_be_there(tmp_path: Path) -> None:
    config = tiny_config(tmp_path, "text=null", "encoder.name=none")
    validate_run(config)


def test_a_file_that_is_missing_is_told_before_the_log_is_prepared(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"text=none\.csv: none\.csv: there is no such file"):
        job(tmp_path, text="none.csv").open("train")
    assert not (tmp_path / "shop").exists()


@pytest.fixture(scope="module")
def shop_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A click log of thirty items, and a file with the texts of all but one and of a new one."""
    folder = tmp_path_factory.mktemp("shop")
    draw = random.Random(3)
    with (folder / "clicks.csv").open("w") as log:
        log.write("session,item,time\n")
        for session in range(200):
            for click in range(draw.randint(2, 5)):
                log.write(
                    f"{session},i{draw.randrange(ITEMS):02},{1_700_000_000 + session + click}\n"
                )
    texts = "".join(
        f"i{item:02},colour {item % 5} thing {item},Acme\n" for item in range(1, ITEMS + 1)
    )
    (folder / "items.csv").write_text(f"item,title,brand\n{texts}")
    return folder


def command(folder: Path, *more: str) -> list[str]:
    log = [f"dataset.path={folder / 'clicks.csv'}", f"dataset.root={folder}"]
    return ["dataset=click_log", *log, "dataset.min_support=1", "baselines=[]", *SMALL, *more]


@pytest.mark.slow
def test_from_the_file_to_the_model_card(shop_folder: Path, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    keys = [f"text={shop_folder / 'items.csv'}", "encoder=hashed", f"hydra.run.dir={run_dir}"]
    result = run(train.main, "srgnn-train", *command(shop_folder, *keys))
    assert result.status == 0, result.err
    told = "29 of 30 items, columns title, brand; encoder hashed 1, 256 dimensions"
    log = (run_dir / "train.log").read_text()
    assert told in log and "items.csv: id=item (guessed), text=title, brand (guessed)" in log
    assert "1 are of items that are not in the catalogue" in log
    assert "by the target's clicks in training" in log

    checkpoint = Checkpoint.load(run_dir)
    assert checkpoint.text is not None and checkpoint.data is not None
    assert checkpoint.text["items"] == 29 and checkpoint.text["dimensions"] == 256
    assert checkpoint.settings["text_channels"] == 256
    assert checkpoint.text["encoder"] == {"name": "hashed", "version": "1", "dimensions": 256}
    assert checkpoint.data["text"]["content"] == checkpoint.text["content"]
    assert json.loads((run_dir / "metrics.json").read_text())["data"] == checkpoint.data

    export(checkpoint, tmp_path / "export")
    card = " ".join((tmp_path / "export" / "model_card.md").read_text().split())
    assert (
        "Text of 29 of 30 items, from `items.csv`, columns `title`, `brand`: encoder `hashed` 1 "
        "dimensions=256, 256 dimensions. No text left the machine" in card
    )
    assert "nothing of who clicks, of earlier sessions, of prices or times" in card

    manifest = json.loads((tmp_path / "export" / "manifest.json").read_text())
    sent = checkpoint.text | {"encoder": {"name": "http", "version": "1", "model": "m"}}
    card = model_card(replace(checkpoint, text=sent), manifest, 0.0)
    assert "encoder `http` 1 model=m, 256 dimensions. The texts were sent to this encoder's" in card

    # It evaluates without the texts.
    (shop_folder / "items.csv").rename(shop_folder / "away.csv")
    result = run(
        evaluate.main, "srgnn-evaluate", f"checkpoint={run_dir}", f"hydra.run.dir={tmp_path / 'e'}"
    )
    assert result.status == 0, result.err
    assert "by the target's clicks in training" in result.out
    (shop_folder / "away.csv").rename(shop_folder / "items.csv")


@pytest.mark.usefixtures("shop")
def test_an_encoder_is_opened_once_and_loads_its_model_in_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Fake] = []

    class Loading(Fake):
        def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
            self.loaded = True
            return super().encode(texts)

    def open_fake(**settings: Any) -> Fake:
        del settings["name"]
        opened.append(Loading(**settings))
        return opened[-1]

    monkeypatch.setattr(item_text, "open_encoder", open_fake)
    this = job(tmp_path, encoder={"name": "loading"})
    for split in ("train", "valid", "train"):
        assert this.text(this.open(split)) is not None
    (encoder,) = opened
    assert not hasattr(encoder, "loaded") and encoder.asked == ["red hat", "red shoe"]


@pytest.mark.usefixtures("shop")
def test_an_encoder_that_nobody_asked_for_can_be_avoided(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Shop, "text_encoder", "none")
    told = r"\(got 'none'\); encoder=hashed needs nothing, and text=null takes no texts$"
    with pytest.raises(ValueError, match=told):
        job(tmp_path).open("train")


def test_keys_without_effect_may_differ_when_a_run_is_resumed(tmp_path: Path) -> None:
    claim(tmp_path, tiny_config(tmp_path, "text=null"))
    claim(tmp_path, tiny_config(tmp_path, "text=null", "encoder=hashed", "encoder.dimensions=9"))
    with pytest.raises(ValueError, match=r"text: there None, here auto"):
        claim(tmp_path, tiny_config(tmp_path, "text=auto", "encoder=hashed"))
