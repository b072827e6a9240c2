"""Recommendations for whole files: the same as one session at a time, and kept when interrupted."""

from __future__ import annotations

import random
import warnings

import polars as pl
import pytest
import torch

from pyg_srgnn import Recommender, batch
from pyg_srgnn.batch import recommend_file
from pyg_srgnn.data import Vocabulary
from pyg_srgnn.data.preparation import Preparation
from pyg_srgnn.nn import SRGNN
from pyg_srgnn.nn.scorer import ModelScorer
from tests.reference.names import randomise

IDS = {"int": [3 * i for i in range(1, 20)], "str": [f"shoe {i}" for i in range(1, 20)]}


@pytest.fixture(params=IDS)
def recommender(request: pytest.FixtureRequest) -> Recommender:
    model = randomise(SRGNN(19, 5), 0, 0.3)
    return Recommender(ModelScorer(model), Vocabulary(IDS[request.param]), torch.arange(19))


def sessions_of(recommender: Recommender, count: int = 23) -> list[list[int | str]]:
    """Ragged sessions; one is empty, one unknown, and some hold an unknown item."""
    draw = random.Random(5)
    ids = [*recommender.vocabulary.ids, 999 if recommender.vocabulary.ids[0] == 3 else "hat"]
    found = [[draw.choice(ids) for _ in range(draw.randint(1, 7))] for _ in range(count)]
    return [*found, [], [ids[-1]] * 2]


def one_by_one(
    recommender: Recommender, sessions: list[list[int | str]], k: int
) -> list[list[tuple[int | str, float]]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [recommender.recommend([session], k)[0] for session in sessions]


def holds(
    rows: pl.DataFrame, recommender: Recommender, sessions: list[list[int | str]], k: int
) -> None:
    known = set(recommender.vocabulary.ids)
    wanted = one_by_one(recommender, sessions, k)
    assert rows["items"].to_list() == [[item for item, _ in best] for best in wanted]
    for scores, best in zip(rows["scores"].to_list(), wanted, strict=True):
        assert scores == pytest.approx([score for _, score in best], abs=1e-5)
    unknown = [sum(item not in known for item in session) for session in sessions]
    assert rows["unknown"].to_list() == unknown
    assert rows["popular"].to_list() == [not known & set(session) for session in sessions]


@pytest.mark.parametrize("at_once", [1, 7, 1000])
@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_a_file_of_sessions(recommender, tmp_path, at_once, kind):
    sessions = sessions_of(recommender)
    numbers = list(range(100, 125))
    file = tmp_path / "in.parquet"
    pl.DataFrame({"customer": numbers, "clicks": sessions}).write_parquet(file)
    output = tmp_path / "new" / f"top.{kind}"
    assert recommend_file(recommender, file, output, 4, sessions_at_once=at_once) == 25
    rows = pl.read_parquet(output) if kind == "parquet" else pl.read_ndjson(output)
    assert rows.columns == ["customer", "items", "scores", "unknown", "popular"]
    assert rows["customer"].to_list() == numbers
    holds(rows, recommender, sessions, 4)
    assert list(output.parent.iterdir()) == [output], "the parts are removed"


@pytest.mark.parametrize("name", ["in.pq", "IN.PARQUET", "part-0"])
def test_a_file_is_told_by_its_content(recommender, tmp_path, name):
    sessions = sessions_of(recommender)
    pl.DataFrame({"clicks": sessions}).write_parquet(tmp_path / name)
    assert recommend_file(recommender, tmp_path / name, tmp_path / "top.parquet", 4) == 25
    holds(pl.read_parquet(tmp_path / "top.parquet"), recommender, sessions, 4)


def test_a_click_log_has_a_row_a_session(recommender, tmp_path, monkeypatch):
    """Whatever the rows' order, and in several pieces."""
    monkeypatch.setattr(batch, "_CLICKS_AT_ONCE", 30)
    sessions = [session for session in sessions_of(recommender) if session]
    clicks = [
        (f"s{number:02d}", 1_400_000_000 + 60 * step, item)
        for number, session in enumerate(sessions)
        for step, item in enumerate(session)
    ]
    random.Random(0).shuffle(clicks)
    file = tmp_path / "log.csv"
    pl.DataFrame(clicks, ["session", "time", "item"], orient="row").write_csv(file)
    assert recommend_file(recommender, file, tmp_path / "top.parquet", 5) == len(sessions)
    rows = pl.read_parquet(tmp_path / "top.parquet").sort("session")
    assert rows["session"].to_list() == [f"s{number:02d}" for number in range(len(sessions))]
    holds(rows, recommender, sessions, 5)


def test_the_rules_of_a_session_apply(recommender, tmp_path):
    a, b, c, d = recommender.vocabulary.ids[:4]
    log = [
        ("u", 0, a),
        ("u", 60, b),
        ("u", 9000, c),
        ("u", 9001, c),
        ("u", 9002, d),
        ("u", 9003, a),
    ]
    file = tmp_path / "log.csv"
    columns = ["user", "time", "item"]
    rows = [(user, 1_400_000_000 + time, item) for user, time, item in log]
    pl.DataFrame(rows, columns, orient="row").write_csv(file)
    for rules, session in (
        ({"gap": "30m"}, [c, c, d, a]),
        ({"gap": "30m", "collapse": True}, [c, d, a]),
        ({"gap": "30m", "max_length": 2}, [d, a]),
        ({"gap": "30m", "collapse": True, "max_length": 3}, [c, d, a]),
    ):
        recommend_file(
            recommender, file, tmp_path / "o.parquet", 4, preparation=Preparation(**rules)
        )
        holds(pl.read_parquet(tmp_path / "o.parquet"), recommender, [session], 4)


def test_an_interrupted_run_goes_on(recommender, tmp_path, monkeypatch):
    sessions = sessions_of(recommender)
    file, output = tmp_path / "in.parquet", tmp_path / "top.parquet"
    pl.DataFrame({"clicks": sessions}).write_parquet(file)
    recommend_file(recommender, file, tmp_path / "whole.parquet", 4, sessions_at_once=5)
    right, calls = batch._recommended, []

    def stopped(*args):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return right(*args)

    monkeypatch.setattr(batch, "_recommended", stopped)
    with pytest.raises(KeyboardInterrupt):
        recommend_file(recommender, file, output, 4, sessions_at_once=5)
    assert not output.exists()
    recommend_file(recommender, file, output, 4, sessions_at_once=5)
    assert len(calls) == 6, "three parts of five were made before, and are not made again"
    whole = pl.read_parquet(tmp_path / "whole.parquet")
    assert pl.read_parquet(output).equals(whole)


@pytest.mark.parametrize("change", ["k", "key", "file"])
def test_parts_of_another_task_are_not_taken(recommender, tmp_path, monkeypatch, change):
    sessions = sessions_of(recommender)
    file, output = tmp_path / "in.parquet", tmp_path / "top.parquet"
    pl.DataFrame({"clicks": sessions}).write_parquet(file)
    right = batch._recommended

    def stopped(*args):
        monkeypatch.setattr(batch, "_recommended", fails)
        return right(*args)

    def fails(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(batch, "_recommended", stopped)
    with pytest.raises(OSError, match="No space"):
        recommend_file(recommender, file, output, 4, sessions_at_once=5, key="a")
    monkeypatch.setattr(batch, "_recommended", right)
    if change == "file":
        sessions = sessions[::-1]
        pl.DataFrame({"clicks": sessions}).write_parquet(file)
    k = 3 if change == "k" else 4
    key = "b" if change == "key" else "a"
    recommend_file(recommender, file, output, k, sessions_at_once=5, key=key)
    holds(pl.read_parquet(output), recommender, sessions, k)


def test_what_cannot_be_understood(recommender, tmp_path):
    file = tmp_path / "in.parquet"
    with pytest.raises(
        ValueError, match=r"top.csv: expected a file that ends in .parquet or .jsonl"
    ):
        recommend_file(recommender, file, tmp_path / "top.csv")
    with pytest.raises(FileNotFoundError, match=r"in\.parquet"):
        recommend_file(recommender, file, tmp_path / "top.parquet")
    pl.DataFrame({"a": [[1]], "b": [[2]]}).write_parquet(file)
    with pytest.raises(ValueError, match="columns a, b hold lists; expected one"):
        recommend_file(recommender, file, tmp_path / "top.parquet")
    pl.DataFrame({"a": [[1.5]]}).write_parquet(file)
    with pytest.raises(ValueError, match="column 'a' holds lists of Float64"):
        recommend_file(recommender, file, tmp_path / "top.parquet")


def test_no_session_at_all(recommender, tmp_path):
    file, output = tmp_path / "in.parquet", tmp_path / "top.jsonl"
    pl.DataFrame({"a": []}, {"a": pl.List(pl.Int64)}).write_parquet(file)
    assert recommend_file(recommender, file, output) == 0
    assert output.read_text() == ""
