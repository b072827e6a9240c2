"""A run that starts from the weights of another: items matched by raw id, new ones placed."""

from __future__ import annotations

import json
import logging
import random
import shutil
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from omegaconf import DictConfig
from torch import Tensor

from pyg_srgnn.checkpoint import Checkpoint
from pyg_srgnn.data import Sessions, Vocabulary, session_graphs
from pyg_srgnn.datasets import DATASETS, Synthetic, open_dataset
from pyg_srgnn.functional.metrics import KS
from pyg_srgnn.nn import build_model
from pyg_srgnn.training import train
from pyg_srgnn.training.callbacks import EpochLog
from pyg_srgnn.training.warm_start import last_places, neighbour_means, warm_start
from tests.tiny import tiny_config

pytestmark = pytest.mark.slow

NEW = (7, 16, 23, 31)  # a tenth of the catalogue's items, and
GONE = (2, 40)  # what the shop no longer has


class Shop(Synthetic):
    """The tiny sessions in one of a shop's catalogues, each numbered in its own way."""

    def __init__(self, *args: Any, catalogue: str = "old", **kwargs: Any) -> None:
        self.catalogue = catalogue
        super().__init__(*args, **kwargs)

    def parameters(self) -> dict[str, Any]:
        return super().parameters() | {"catalogue": self.catalogue}

    def read(self) -> tuple[Sessions, Sessions, Vocabulary]:
        training, test, vocabulary = super().read()
        self.texts = None  # they are those of the whole catalogue
        left_out = {"old": NEW, "new": GONE}.get(self.catalogue, ())
        ids: list[Any] = [raw for raw in vocabulary.ids if raw not in left_out]
        random.Random(self.catalogue).shuffle(ids)
        parts = []
        for part in (training, test):
            rows = [[raw for raw in vocabulary.decode(s) if raw in ids] for s in part.to_lists()]
            kept = [i for i, row in enumerate(rows) if len(row) > 1]
            times = [int(part.times[i]) for i in kept]
            parts.append(
                Sessions.from_lists([[ids.index(r) for r in rows[i]] for i in kept], times)
            )
        if self.catalogue == "texts":
            ids = [str(raw) for raw in ids]
        if self.catalogue == "another":
            ids = [raw + 1000 for raw in ids]
        return parts[0], parts[1], Vocabulary(ids)

    def optimum_by_target(
        self, groups: Mapping[str, Tensor], ks: Sequence[int] = KS
    ) -> dict[str, dict[str, float]]:
        return {name: {} for name in groups}  # that of the whole catalogue is numbered otherwise


@pytest.fixture(autouse=True)
def _shop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DATASETS, "synthetic", Shop)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("datasets")


def shop(root: Path, catalogue: str, *overrides: str) -> DictConfig:
    # What the other ingredients count in the sessions is another catalogue's, so are their scores.
    plain = "model=srgnn_plain"
    return tiny_config(root, f"+dataset.catalogue={catalogue}", plain, *overrides)


@pytest.fixture(scope="module")
def old_run(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_dir = tmp_path_factory.mktemp("runs") / "old"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(DATASETS, "synthetic", Shop)
        train(shop(root, "old", "refit=true"), run_dir)
    return run_dir


def started(
    config: DictConfig, path: Path, new_items: str = "neighbours", split: str = "train"
) -> tuple[Any, Any, Any]:
    """A model after its warm start, its table as it was drawn, and its training sessions."""
    training = open_dataset(config.dataset, split)
    settings = {**config.model, "num_items": training.num_items}
    torch.manual_seed(3)
    model = build_model(settings)
    drawn = model.embedding.weight.detach().clone()
    warm_start(model, settings, training, path, new_items)
    return model.eval(), drawn, training


def naive_means(
    sessions: list[list[int]], row: list[int], trained: Tensor
) -> dict[int, list[float]]:
    """The neighbours of every new item, one click after another."""
    met: dict[int, list[int]] = defaultdict(list)
    for session in sessions:
        for at, item in enumerate(session):
            if row[item] >= 0:
                continue
            for beside in (at - 1, at + 1):
                if 0 <= beside < len(session) and row[session[beside]] >= 0:
                    met[item].append(row[session[beside]])
    return {
        item: [sum(float(trained[r, c]) for r in rows) / len(rows) for c in range(trained.shape[1])]
        for item, rows in met.items()
    }


# Neighbours.


@pytest.mark.parametrize("seed", range(5))
def test_neighbour_means_are_those_of_a_loop(seed: int) -> None:
    draw = random.Random(seed)
    sessions = [
        [draw.randrange(30) for _ in range(draw.choice([1, 2, 2, 3, 8]))] for _ in range(80)
    ]
    row = [draw.randrange(12) if draw.random() < 0.6 else -1 for _ in range(30)]
    trained = torch.randn(12, 4, generator=torch.Generator().manual_seed(seed))
    items, means = neighbour_means(Sessions.from_lists(sessions), torch.tensor(row), trained)
    expected = naive_means(sessions, row, trained)
    assert items.tolist() == sorted(expected) and len(expected) > 3
    torch.testing.assert_close(means, torch.tensor([expected[i] for i in items.tolist()]))


def test_neighbours_count_as_often_as_they_were_clicked_beside_it() -> None:
    """Items 0 and 1 are known, 2 to 5 new; what the borders of sessions part is not beside."""
    trained = torch.tensor([[0.0], [12.0]])
    row = torch.tensor([0, 1, -1, -1, -1, -1])
    sessions = [[0, 2, 1], [1, 2], [2, 0, 3, 4], [1], [5], [0, 1]]
    items, means = neighbour_means(Sessions.from_lists(sessions), row, trained)
    assert items.tolist() == [2, 3]  # 4 has a new item beside it, 5 is alone
    assert means.flatten().tolist() == [6.0, 0.0]


@pytest.mark.parametrize("sessions", [[], [[0]], [[0], [1]], [[1, 1]], [[0, 0]]])
def test_no_new_item_has_a_neighbour(sessions: list[list[int]]) -> None:
    items, means = neighbour_means(
        Sessions.from_lists(sessions), torch.tensor([0, -1]), torch.ones(1, 3)
    )
    assert items.shape == (0,) and means.shape == (0, 3)


# Weights.


def scores(model: Any, ids: list[Any], sessions: list[list[int]]) -> Tensor:
    """Scores of the raw ids in ascending order, after sessions of raw ids."""
    raw = Vocabulary(ids)
    items = torch.tensor([i for session in sessions for i in raw.encode(session)])
    graphs = session_graphs(items, torch.tensor([len(session) for session in sessions]))
    with torch.no_grad():
        scored: Tensor = model.scores(graphs)
    return scored[:, raw.encode(sorted(ids))]


@pytest.mark.parametrize("catalogue", ["old", "new"])
def test_known_items_have_the_scores_of_the_trained_model(
    root: Path, tmp_path: Path, old_run: Path, catalogue: str
) -> None:
    """The same catalogue, and one with other numbers, other items, and some items less."""
    model, _, training = started(shop(root, catalogue), old_run)
    old = Checkpoint.load(old_run)
    assert (training.vocabulary == old.vocabulary) == (catalogue == "old")
    both = sorted(set(training.vocabulary.ids) & set(old.vocabulary.ids))
    assert len(both) == (36 if catalogue == "old" else 34)
    draw = random.Random(0)
    sessions = [draw.choices(both, k=1 + n % 5) for n in range(40)]
    here = scores(model, training.vocabulary.ids, sessions)
    there = scores(old.model, old.vocabulary.ids, sessions)
    at_here = Vocabulary(sorted(training.vocabulary.ids)).encode(both)
    at_there = Vocabulary(sorted(old.vocabulary.ids)).encode(both)
    torch.testing.assert_close(here[:, at_here], there[:, at_there], rtol=1e-6, atol=1e-7)
    assert here[:, at_here].std() > 0.01, "the case needs scores that tell items apart"


@pytest.mark.parametrize("new_items", ["neighbours", "init"])
def test_where_new_items_start(root: Path, old_run: Path, new_items: str) -> None:
    model, drawn, training = started(shop(root, "new"), old_run, new_items)
    old = Checkpoint.load(old_run)
    row = old.vocabulary.encode(training.vocabulary.ids)
    new = [item for item, there in enumerate(row) if there < 0]
    assert sorted(training.vocabulary.decode(new)) == sorted(NEW)
    found = model.embedding.weight.detach()[new]
    if new_items == "init":
        assert torch.equal(found, drawn[new])
    else:
        means = naive_means(training.sessions.to_lists(), row, old.model.embedding.weight.detach())
        torch.testing.assert_close(found, torch.tensor([means[item] for item in new]))


def test_the_output_side(root: Path, tmp_path: Path) -> None:
    """Known items keep bias and difference, new ones have none, popularity is counted anew."""
    keys = "item_bias=true", "output_table=delta", "popularity=[0.3]"
    overrides = [f"model.{key}" for key in keys]
    train(shop(root, "old", *overrides), tmp_path)
    model, _, training = started(shop(root, "new", *overrides), tmp_path)
    old = Checkpoint.load(tmp_path)
    row = torch.tensor(old.vocabulary.encode(training.vocabulary.ids))
    known = row >= 0
    for name, there in old.model.output.named_parameters(recurse=False):
        here = model.output.tables()[name]
        assert there.abs().min() > 0, "the case needs what is learned"
        assert torch.equal(here[known], there[row[known]]) and not here[~known].any()
    counted = build_model({**shop(root, "new", *overrides).model, "num_items": training.num_items})
    counted.set_training(training.sessions)
    lin = old.model.output.lin
    assert lin is not None and torch.equal(model.output.lin.weight, lin.weight)
    model.set_training(training.sessions)
    assert torch.equal(model.output.popularity, counted.output.popularity)


def test_a_checkpoint_of_a_version_without_a_key(root: Path, old_run: Path, tmp_path: Path) -> None:
    """What it has not is at its default, and other values are refused."""
    run = shutil.copytree(old_run, tmp_path / "run")
    for path in (run / "checkpoints").glob("*.ckpt"):
        held = torch.load(path, weights_only=True)
        # Keys of texts have other defaults in the configuration; without texts they do not matter.
        for key in ("item_bias", "text_neighbours", "text_edges", "text_expert", "text_similarity"):
            del held["model"][key]
        torch.save(held, path)
    started(shop(root, "old"), run)
    with pytest.raises(ValueError, match=r"model\.item_bias: there False, here True"):
        started(shop(root, "old", "model.item_bias=true"), run)


def test_a_new_item_without_a_known_neighbour_starts_as_drawn(
    root: Path, old_run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = shop(root, "new")
    training = open_dataset(config.dataset, "train")
    lonely = training.vocabulary.encode([NEW[0]])[0]
    training.sessions = Sessions.from_lists(
        [session for session in training.sessions.to_lists() if lonely not in session]
    )
    settings = {**config.model, "num_items": training.num_items}
    model = build_model(settings)
    drawn = model.embedding.weight.detach().clone()
    with caplog.at_level(logging.INFO):
        warm_start(model, settings, training, old_run, "neighbours")
    moved = (model.embedding.weight.detach() != drawn).any(1)
    assert (~moved).nonzero().flatten().tolist() == [lonely]
    assert "34 items known, 3 new from neighbours, 1 new by init, 2 old items gone" in caplog.text


def test_everything_but_the_table_is_the_trained_models(root: Path, old_run: Path) -> None:
    model, _, _ = started(shop(root, "new", "model.init=paper", "model.loss=binary"), old_run)
    trained, found = Checkpoint.load(old_run).model.state_dict(), model.state_dict()
    assert found.keys() == trained.keys()
    others = [name for name in trained if name != "embedding.weight"]
    assert others and all(torch.equal(found[name], trained[name]) for name in others)


def test_a_model_that_has_seen_the_validation_sessions_is_told(
    root: Path, old_run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    started(shop(root, "old"), old_run / "checkpoints" / "best.ckpt")
    started(shop(root, "old"), old_run, split="trainval")  # which nothing validates
    assert "too good" not in caplog.text
    started(shop(root, "old"), old_run)
    started(shop(root, "new"), old_run)  # with other items, as a longer log has
    said = "on validation are too good: validate on sessions later than its log alone (dataset.val"
    assert caplog.text.count(said) == 2


# Runs.


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Tensor]]:
    """The model's tensors at the start of every fit."""
    seen: list[dict[str, Tensor]] = []
    fit = lightning.Trainer.fit

    def watched(self: Any, module: Any, *args: Any, **kwargs: Any) -> None:
        seen.append({k: v.detach().clone() for k, v in module.model.state_dict().items()})
        fit(self, module, *args, **kwargs)

    monkeypatch.setattr(lightning.Trainer, "fit", watched)
    return seen


def untimed(run_dir: Path) -> dict[str, Any]:
    metrics = json.loads((run_dir / "metrics.json").read_text())
    return {k: v for k, v in metrics.items() if k not in ("samples_per_second", "train_seconds")}


def test_new_items_come_and_training_resumes(
    root: Path, tmp_path: Path, old_run: Path, fits: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    config = shop(root, "new", f"warm_start={old_run}", "refit=true")
    with caplog.at_level(logging.INFO):
        result = train(config, tmp_path)
    line = "34 items known, 4 new from neighbours, 0 new by init, 2 old items gone"
    assert caplog.text.count(line) == 2, "the refit starts warm, too"
    assert f"warm start from {old_run / 'checkpoints' / 'refit.ckpt'}" in caplog.text

    model, _, training = started(config, old_run)
    assert len(fits) == 2 and fits[0].keys() == model.state_dict().keys()
    assert all(torch.equal(fits[0][name], t) for name, t in model.state_dict().items())
    known = [i for i, raw in enumerate(training.vocabulary.ids) if raw not in NEW]
    table = model.embedding.weight.detach()
    assert torch.equal(fits[1]["embedding.weight"][known], table[known])
    # The refit's new items have the neighbours of the validation sessions, too.
    assert not torch.equal(fits[1]["embedding.weight"], table)

    last = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["epoch"] == 1 and result.epochs == 2, "epochs are counted from the start"
    assert last["vocabulary"] == training.vocabulary.ids
    assert (tmp_path / "config.yaml").read_text().count(f"warm_start: {old_run}\n") == 1
    with pytest.raises(ValueError, match=r"warm_start: there .*old, here None"):
        train(shop(root, "new", "refit=true"), tmp_path)


@pytest.mark.parametrize("cut_in", ["valid", "refit"])
def test_a_resumed_run_equals_an_uninterrupted_one(
    root: Path,
    tmp_path: Path,
    old_run: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    cut_in: str,
) -> None:
    moved = shutil.copytree(old_run, tmp_path / "old")
    overrides = (f"warm_start={moved}", "refit=true", "trainer.max_epochs=3", "monitor=mrr@20")
    config = shop(root, "new", *overrides)
    whole = train(config, tmp_path / "whole")
    assert whole.best_epoch > 1, "the case needs an epoch to break in"
    unbroken = EpochLog.on_train_epoch_end

    def breaking(self: EpochLog, trainer: Any, module: Any) -> None:
        if (module.part, trainer.current_epoch) == (cut_in, 1):
            raise RuntimeError("power cut")
        unbroken(self, trainer, module)

    run_dir = tmp_path / "run"
    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="power cut"):
        patch.setattr(EpochLog, "on_train_epoch_end", breaking)
        train(config, run_dir)
    caplog.clear()
    if cut_in == "refit":
        shutil.rmtree(moved)  # both fits have begun: nothing is asked of the old run any more
    with caplog.at_level(logging.INFO):
        train(config, run_dir)
    assert caplog.text.count("warm start from") == (1 if cut_in == "valid" else 0)
    assert untimed(run_dir) == untimed(tmp_path / "whole")
    for name in ("best", "last", "refit"):
        ours, theirs = (
            torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)["state_dict"]
            for folder in (run_dir, tmp_path / "whole")
        )
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


# What cannot be started from.


@pytest.mark.parametrize(
    ("catalogue", "overrides", "parts"),
    [
        ("new", ["model.channels=9"], ["model.channels: there 8, here 9"]),
        (
            "new",
            ["model.num_steps=2", "model.reset_after=true", "model.readout=local"],
            [
                "model.num_steps: there 1, here 2",
                "model.reset_after: there False, here True",
                "model.readout: there hybrid, here local",
            ],
        ),
        ("texts", [], ["ids are whole numbers, such as ", "dataset texts, such as '", "one type"]),
        ("another", [], ["none of its 36 items", "among the 40", "at least one must be"]),
    ],
)
def test_another_model_or_other_items(
    root: Path,
    tmp_path: Path,
    old_run: Path,
    catalogue: str,
    overrides: list[str],
    parts: list[str],
) -> None:
    config = shop(root, catalogue, f"warm_start={old_run}", *overrides)
    with pytest.raises(ValueError) as error:
        train(config, tmp_path)
    message = str(error.value)
    assert message.startswith(f"warm_start={old_run}: ")
    for part in parts:
        assert part in message
    assert message.count("there ") == sum("there " in part for part in parts)
    assert not (tmp_path / "checkpoints").exists()


def test_no_checkpoint(root: Path, tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("no model")
    (tmp_path / "empty").mkdir()
    for path, message in {
        text: "is not a checkpoint that srgnn-train wrote",
        tmp_path / "nowhere": "there is no such run directory or file",
        tmp_path / "empty": r"there is no checkpoints/best\.ckpt in it",
    }.items():
        with pytest.raises(ValueError, match=message) as error:
            train(shop(root, "new", f"warm_start={path}"), tmp_path / "run" / path.name)
        assert str(error.value).startswith(f"warm_start={path}: ")
        assert "checkpoint=" not in str(error.value)


def test_places_of_earlier_clicks_that_both_have() -> None:
    three, five = torch.arange(3.0)[:, None], 10 + torch.arange(5.0)[:, None]
    assert last_places(three, five).flatten().tolist() == [0, 1, 2, 13, 14]
    assert last_places(five, three).flatten().tolist() == [10, 11, 12]
