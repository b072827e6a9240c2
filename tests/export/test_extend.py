"""Exports that are written again with new items."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor

from pyg_srgnn import Recommender
from pyg_srgnn.checkpoint import Checkpoint, describe_training
from pyg_srgnn.commands import export as command
from pyg_srgnn.commands import recommend
from pyg_srgnn.inference.artifact import Artifact
from pyg_srgnn.utils.files import sha256_of
from tests.commands import Result, run
from tests.export.texts import COLD, IDS, TEXTS, TRAINED, checkpoint, sessions, text_vectors

pytestmark = pytest.mark.slow

BEFORE = COLD - 5
KNOWN = TRAINED + BEFORE


def saved(trained: Checkpoint, file: Path) -> Path:
    """A checkpoint as a file."""
    weights = {f"model.{name}": tensor for name, tensor in trained.model.state_dict().items()}
    entries = describe_training(
        *(trained.settings, trained.vocabulary, trained.clicks, trained.dataset),
        *(trained.split, trained.protocol),
        text=trained.text,
    )
    torch.save({"epoch": 1, "state_dict": weights, **entries}, file)
    return file


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a model that knows all but the last items."""
    folder = tmp_path_factory.mktemp("run")
    return saved(checkpoint(cold=BEFORE), folder / "best.ckpt")


def table(path: Path, rows: range) -> Path:
    """A file of texts."""
    ids, titles = [IDS[row] for row in rows], [TEXTS[row] for row in rows]
    pl.DataFrame({"sku": ids, "other": ["odd"] * len(ids), "title": titles}).write_csv(path)
    return path


def exported(source: Path, output: Path, *arguments: str) -> Result:
    return run(command.main, "srgnn-export", f"checkpoint={source}", f"output={output}", *arguments)


def scores_of(folder: Path) -> Tensor:
    return Artifact.load(folder).scorer.scores(sessions())


@pytest.mark.parametrize("kind", ["onnx", "torch_export"])
def test_one_night_and_the_next(file: Path, tmp_path: Path, kind: str) -> None:
    """A run is exported with items, its export with more: as if all had been there before."""
    folder = tmp_path / "export"
    first = table(tmp_path / "first.csv", range(KNOWN, KNOWN + 2))
    result = exported(file, folder, f"add_items={first}", f"format={kind}")
    assert result.status == 0, result.err
    assert "new items: 2\n" in result.out
    assert {path.name for path in tmp_path.iterdir()} == {"first.csv", "export"}
    (folder / "names.csv").write_text("id,name\n")
    every = table(tmp_path / "every.csv", range(TRAINED, len(IDS)))
    result = exported(folder, folder, f"add_items={every}", "known=skip")
    assert result.status == 0, result.err
    assert f"new items: 3; left out: {COLD - 3} known already\n" in result.out
    wanted = checkpoint().scorer.scores(sessions())
    torch.testing.assert_close(scores_of(folder), wanted, atol=1e-5, rtol=0)
    recommender = Recommender.load(folder)
    assert (recommender.vocabulary.ids, recommender.cold) == (IDS, frozenset(IDS[TRAINED:]))
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (folder / "names.csv").read_text() == "id,name\n"  # of others, and not exported
    there = {path.name for path in folder.iterdir()} - {"manifest.json", "names.csv"}
    assert manifest["files"] == {name: sha256_of(folder / name) for name in there}
    assert (manifest["export"], manifest["added_items"]) == (kind, 5)
    assert manifest["text"]["items"] == len(IDS) - 2
    card = (folder / "model_card.md").read_text()
    assert f"Cold items, without a click in training: {BEFORE}" in card
    assert card.count("## Items added") == 1
    assert "5 items were added" in card and f"{len(IDS)} items, of which {COLD} are cold" in card
    for name in there - {"model_card.md"}:
        assert card.count(f"| `{name}` | `{manifest['files'][name]}` |") == 1


def test_ready_made_vectors_and_columns_of_other_names(file: Path, tmp_path: Path) -> None:
    wanted = checkpoint().scorer.scores(sessions())
    np.save(tmp_path / "new.npy", text_vectors()[KNOWN:].numpy())
    (tmp_path / "new.ids.txt").write_text("\n".join(IDS[KNOWN:]))
    renamed = pl.DataFrame({"key": IDS[KNOWN:], "name": TEXTS[KNOWN:]})
    renamed.write_parquet(tmp_path / "new.parquet")
    keys = ["text_id=key", "text_columns=[name]"]
    for name, arguments in (("new.npy", []), ("new.parquet", keys)):
        result = exported(file, tmp_path / "export", f"add_items={tmp_path / name}", *arguments)
        assert result.status == 0, result.err
        torch.testing.assert_close(scores_of(tmp_path / "export"), wanted, atol=1e-5, rtol=0)


def test_what_is_refused(file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "export"
    known = table(tmp_path / "known.csv", range(KNOWN - 7, KNOWN + 1))
    other = tmp_path / "other.csv"
    pl.DataFrame({"id": ["new"], "name": ["oak"]}).write_csv(other)
    wrong = {
        f"add_items={known}": "catalogue already: 'item 26', .* and 2 more; known=skip leaves",
        f"add_items={other}": "no column 'title' .text_columns",
        f"add_items={tmp_path / 'none.csv'}": "there is no such file",
        "known=odd": "known=",
        "text_id=key": "text_id='?key'?: expected null without add_items=FILE",
    }
    for argument, message in wrong.items():
        result = exported(file, folder, argument)
        assert result.status == 1 and not folder.exists(), argument
        assert re.search(message, result.out + result.err), result.out + result.err
    assert exported(file, folder).status == 0
    before = sha256_of(folder / "manifest.json")
    result = exported(folder, tmp_path / "more")
    assert result.status == 1 and "is an export already" in result.out + result.err
    result = exported(folder, folder, f"add_items={known}")
    assert result.status == 1 and sha256_of(folder / "manifest.json") == before


def test_a_card_that_lies_elsewhere(file: Path, tmp_path: Path) -> None:
    """The new export would have what the link of somebody else leads to."""
    folder = tmp_path / "export"
    assert exported(file, folder).status == 0
    (tmp_path / "secret").write_text("the key")
    (folder / "model_card.md").unlink()
    (folder / "model_card.md").symlink_to(tmp_path / "secret")
    new = table(tmp_path / "new.csv", range(KNOWN, KNOWN + 2))
    result = exported(folder, tmp_path / "more", f"add_items={new}")
    assert result.status == 1 and "lies outside of its folder" in result.out + result.err
    assert not (tmp_path / "more").exists()


def test_items_without_a_text_are_left_out_and_counted(file: Path, tmp_path: Path) -> None:
    new = tmp_path / "new.csv"
    pl.DataFrame({"id": IDS[KNOWN : KNOWN + 2], "title": [TEXTS[KNOWN], None]}).write_csv(new)
    result = exported(file, tmp_path / "export", f"add_items={new}")
    assert "new items: 1; left out: 1 without a text" in result.out, result.err
    assert Recommender.load(tmp_path / "export").vocabulary.ids == IDS[: KNOWN + 1]


def test_cold_items_are_marked(file: Path, tmp_path: Path) -> None:
    arguments = f"checkpoint={file}", f"items=[{IDS[0]}]", f"k={KNOWN}"
    result = run(recommend.main, "srgnn-recommend", *arguments)
    lines = [line for line in result.out.splitlines() if line.endswith("  cold")]
    marked = {line[4:].rsplit("  ", 2)[0].strip() for line in lines}
    assert marked and marked <= set(IDS[TRAINED:KNOWN])
    pl.DataFrame({"clicks": [IDS[:2], ["unknown"]]}).write_parquet(tmp_path / "sessions.parquet")
    for output in ("top.parquet", "top.jsonl"):
        arguments = f"checkpoint={file}", f"input={tmp_path / 'sessions.parquet'}", f"k={KNOWN}"
        result = run(recommend.main, "srgnn-recommend", *arguments, f"output={tmp_path / output}")
        assert result.status == 0, result.err
        read = pl.read_parquet if output.endswith("parquet") else pl.read_ndjson
        for row in read(tmp_path / output).iter_rows(named=True):
            assert row["cold"] == [item in IDS[TRAINED:KNOWN] for item in row["items"]]
