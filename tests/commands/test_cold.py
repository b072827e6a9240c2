"""Cold items, from a log to recommendations: kept, ranked, counted, and known to the next run."""

from __future__ import annotations

import json
import math
from pathlib import Path

import polars as pl
import pytest
import torch

from pyg_srgnn import Recommender
from pyg_srgnn.baselines import BASELINES
from pyg_srgnn.commands import evaluate, train
from pyg_srgnn.datasets import ClickLog
from pyg_srgnn.evaluation.rank_table import describe_rows
from tests.commands import run
from tests.commands.test_click_log import COLOURS, SMALL, THINGS, write

START, LATER, LAST = 1_704_067_200, 1_706_000_000, 1_708_000_000
RULES = {"gap": "30m", "min_support": 1, "cold": "keep"}
COLD = {f"{colour} scarf" for colour in COLOURS}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log whose last sessions, all of the test part, are the first with scarves."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "log").mkdir()
    write(folder / "log" / "1.csv", 270, THINGS, START, seed=1)
    write(folder / "log" / "2.csv", 30, [*THINGS, "scarf"], LATER, seed=2)
    return folder


@pytest.fixture(scope="module")
def training(folder: Path) -> ClickLog:
    return ClickLog(folder, "trainval", path=folder / "log", **RULES)


@pytest.fixture(scope="module")
def held_out(folder: Path) -> ClickLog:
    return ClickLog(folder, "test", path=folder / "log", **RULES)


def test_they_are_the_last_of_the_catalogue(training: ClickLog, held_out: ClickLog) -> None:
    assert set(training.vocabulary.ids[25:]) == COLD and training.num_items == 30
    assert int(training.sessions.items.max()) == 24 and int(held_out.sessions.items.max()) == 29
    unseen = training.report["distributions"]["unseen_test_items"]
    assert unseen["items"] == 5 and unseen["clicks"] == int((held_out.sessions.items > 24).sum())


@pytest.mark.parametrize("kind", BASELINES)
def test_counts_rank_them_as_items_without_clicks(
    training: ClickLog, held_out: ClickLog, kind: str
) -> None:
    baseline = BASELINES[kind].fit(training.sessions, training.num_items)
    scores = baseline.scores(held_out.batch(range(len(held_out))))
    assert scores.shape == (len(held_out), 30) and bool(torch.isfinite(scores).all())
    if kind == "popularity":
        assert scores[0].argsort(descending=True)[25:].sort().values.tolist() == [*range(25, 30)]


def test_they_are_unseen_targets(training: ClickLog, held_out: ClickLog) -> None:
    rows = describe_rows(held_out, training.sessions)
    cold = held_out.batch(range(len(held_out))).y.numpy() > 24
    assert cold.any() and not cold.all()
    assert rows["seen"].to_list() == (~cold).tolist()
    assert (rows["decile"].is_null().to_numpy() == cold).all()


@pytest.fixture(scope="module")
def trained(folder: Path) -> Path:
    keys = [f"dataset.{key}={value}" for key, value in RULES.items()]
    places = [f"dataset.path={folder / 'log'}", f"dataset.root={folder}"]
    where = f"hydra.run.dir={folder / 'run'}"
    result = run(train.main, "srgnn-train", "dataset=click_log", *keys, *places, *SMALL, where)
    assert result.status == 0, result.err
    return folder / "run"


@pytest.mark.slow
def test_a_run_ranks_them_and_is_evaluated(
    trained: Path, held_out: ClickLog, tmp_path: Path
) -> None:
    ranks = pl.read_parquet(trained / "ranks.parquet")
    assert ranks.height == len(held_out) and 0 < ranks["seen"].sum() < ranks.height
    assert ranks.filter(~pl.col("seen"))["rank"].is_between(1, 30).all()
    result = run(
        evaluate.main, "srgnn-evaluate", f"checkpoint={trained}", f"hydra.run.dir={tmp_path}"
    )
    assert result.status == 0, result.err
    again = json.loads((tmp_path / "evaluation.json").read_text())
    assert again["metrics"]["model"] == json.loads((trained / "metrics.json").read_text())["test"]


@pytest.mark.slow
def test_sessions_with_them_have_recommendations(trained: Path) -> None:
    (best,) = Recommender.load(trained).recommend([["red scarf", "red shoe"]], 30)
    # Known by ids alone, of which they have none that is trained: only a click is repeated.
    assert {item for item, score in best if score > -math.inf} & COLD == {"red scarf"}


@pytest.mark.slow
def test_the_next_run_knows_them(trained: Path, folder: Path, training: ClickLog) -> None:
    """They keep their number; items that only its own test part has come after all others."""
    (folder / "next").mkdir()
    write(folder / "next" / "1.csv", 270, [*THINGS, "scarf", "glove"], LATER, seed=3)
    write(folder / "next" / "2.csv", 30, [*THINGS, "belt"], LAST, seed=4)
    keys = [f"dataset.{key}={value}" for key, value in RULES.items()]
    places = [f"dataset.path={folder / 'next'}", f"dataset.root={folder}"]
    start = [f"dataset.vocabulary={trained}", f"warm_start={trained}"]
    where = f"hydra.run.dir={folder / 'run2'}"
    result = run(
        train.main, "srgnn-train", "dataset=click_log", *keys, *places, *start, *SMALL, where
    )
    assert result.status == 0, result.err
    # Without texts, those that were cold have no trained vector yet.
    assert "25 items known, 10 new from neighbours, 5 new by init" in result.out + result.err
    ids = json.loads((folder / "run2" / "vocabulary.json").read_text())
    assert ids[:30] == training.vocabulary.ids
    assert {item.split()[1] for item in ids[30:35]} == {"glove"}
    assert {item.split()[1] for item in ids[35:]} == {"belt"} and len(ids) == 40
