"""SRGNNRecommender: what it learns, what it takes, what it refuses."""

from __future__ import annotations

import copy
import pickle
import tempfile
import uuid
import warnings
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from pyg_srgnn import SRGNNRecommender
from pyg_srgnn.checkpoint import Checkpoint
from pyg_srgnn.clicklog.spec import Preparation
from pyg_srgnn.estimator.configuration import compose_training
from pyg_srgnn.estimator.frames import read_sessions, write_frame
from pyg_srgnn.export.write import export
from pyg_srgnn.inference import Clicks
from pyg_srgnn.inference.recommender import UnknownItemWarning
from tests.estimator.logs import SETTINGS, clicks, lists
from tests.results import run_result

pd = pytest.importorskip("pandas")


@pytest.fixture(scope="module")
def fitted() -> SRGNNRecommender:
    return SRGNNRecommender(epochs=8, settings=SETTINGS).fit(clicks())


SESSIONS = pl.DataFrame(
    {
        "session": [7, 7, 9],
        "item": ["item 3", "item 4", "item 11"],
        "time": [1_800_000_020, 1_800_000_010, 1_800_000_030],
    }
)


@pytest.mark.slow
def test_it_learns(fitted: SRGNNRecommender) -> None:
    assert fitted.valid_ is not None and fitted.valid_["hr@5"] > 0.8
    best = lists(fitted.recommend(SESSIONS.drop("time"), k=3))
    assert best[7][0] == "item 5" and best[9][0] == "item 12"
    assert [len(items) for items in best.values()] == [3, 3]


@pytest.mark.slow
def test_all_sessions_are_trained_on_and_none_tests(fitted: SRGNNRecommender) -> None:
    log = clicks()
    trained = fitted.recommender_.trained
    assert isinstance(trained, Checkpoint) and trained.split == "trainval"
    counts = log["item"].value_counts()
    wanted = dict(zip(counts["item"], counts["count"], strict=True))
    assert dict(zip(trained.vocabulary.ids, trained.clicks.tolist(), strict=True)) == wanted
    assert trained.metrics is not None and set(trained.metrics) == {"valid"}


@pytest.mark.slow
def test_the_validation_sessions_are_the_last_and_teach_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Changed validation sessions leave the weights of a model without a refit as they are."""
    weights = []
    for items in (("item 1", "item 2"), ("item 7", "item 15")):
        log = clicks().filter(pl.col("session") < 180)
        late = [600 * n + 1_700_000_000 for n in range(200, 220) for _ in items]
        tail = {"session": [n for n in range(200, 220) for _ in items], "item": [*items] * 20}
        log = pl.concat([log, pl.DataFrame(tail | {"time": late})])
        made = SRGNNRecommender(epochs=1, refit=False, settings=SETTINGS).fit(log)
        weights.append(made.recommender_.scorer.model.state_dict())
    same = {name: torch.equal(weights[0][name], weights[1][name]) for name in weights[0]}
    assert all(same.values()), same


@pytest.mark.slow
def test_times_order_the_clicks_and_rows_where_there_are_none(fitted: SRGNNRecommender) -> None:
    turned = lists(fitted.recommend(SESSIONS, k=12))  # of session 7, item 3 is the last click
    forward = lists(fitted.recommend(SESSIONS.drop("time"), k=12))
    assert turned[9] == forward[9] and turned[7] != forward[7]
    assert turned == lists(fitted.recommend(SESSIONS.reverse(), k=12))


@pytest.mark.slow
def test_frames_of_pandas_and_lazy_frames(fitted: SRGNNRecommender) -> None:
    wanted = fitted.recommend(SESSIONS, k=3)
    assert wanted.columns == ["session", "rank", "item", "score"]
    assert fitted.recommend(SESSIONS.lazy(), k=3).equals(wanted)
    given = pd.DataFrame(SESSIONS.to_dict(as_series=False)).set_index(pd.Index([5, 5, 5]))
    given["time"] = pd.to_datetime(given["time"], unit="s", utc=True)
    assert lists(fitted.recommend(given, k=3)) == lists(wanted)
    given["item"] = given["item"].astype("category")
    found = fitted.recommend(given, k=3)
    assert isinstance(found, pd.DataFrame) and lists(found) == lists(wanted)


@pytest.mark.slow
def test_pandas_and_polars_are_prepared_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sessions and settings of the training do not depend on the library of the frame."""
    held: list[Any] = []

    def stop(config: Any, folder: Path) -> None:
        held.append(pl.read_parquet(Path(config.dataset.path) / "training.parquet"))
        raise _Stopped

    monkeypatch.setattr("pyg_srgnn.estimator.recommender.train", stop)
    log = clicks()
    frame = pd.DataFrame(log.to_dict(as_series=False))
    zoned = frame.assign(time=pd.to_datetime(frame["time"], unit="s", utc=True))
    for one in (log, log.lazy(), frame, zoned.rename(columns={"item": "Product ID"})):
        with pytest.raises(_Stopped):
            SRGNNRecommender().fit(one)
    assert all(one.equals(held[0]) for one in held) and len(held) == 4


@pytest.mark.slow
def test_what_is_left_out_and_what_is_allowed(fitted: SRGNNRecommender) -> None:
    best = lists(fitted.recommend(SESSIONS, 5, exclude_seen=True, deny=["item 12"]))
    assert not {"item 3", "item 4"} & set(best[7]) and "item 12" not in best[9]
    assert set(lists(fitted.recommend(SESSIONS, 5, allow=["item 1"]))[7]) == {"item 1"}
    strange = pl.DataFrame({"session": [1], "item": ["no such thing"]})
    with pytest.warns(UnknownItemWarning, match="no such thing"):
        assert len(fitted.recommend(strange, k=4)) == 4


@pytest.mark.slow
def test_a_saved_one_recommends_the_same(fitted: SRGNNRecommender, tmp_path: Path) -> None:
    folder = fitted.save(tmp_path / "model")
    loaded = SRGNNRecommender.load(folder)
    assert loaded.recommend(SESSIONS).equals(fitted.recommend(SESSIONS))
    assert loaded.get_params() == fitted.get_params()
    export(Checkpoint.load(folder), tmp_path / "export", "torch_export")
    exported = SRGNNRecommender.load(tmp_path / "export")
    assert lists(exported.recommend(SESSIONS)) == lists(fitted.recommend(SESSIONS))
    assert (exported.session, exported.item, exported.time) == ("session", "item", "time")


COPIES: dict[str, Callable[[Any], Any]] = {
    "pickled": lambda given: pickle.loads(pickle.dumps(given)),
    "copied": copy.deepcopy,
}


@pytest.mark.slow
@pytest.mark.parametrize("way", COPIES)
def test_a_copy_recommends_the_same(fitted: SRGNNRecommender, way: str) -> None:
    made = COPIES[way](fitted)
    assert made.get_params() == fitted.get_params() and made.valid_ == fitted.valid_
    assert made.recommend(SESSIONS).equals(fitted.recommend(SESSIONS))


@pytest.mark.slow
def test_joblib_keeps_it(fitted: SRGNNRecommender, tmp_path: Path) -> None:
    joblib = pytest.importorskip("joblib")
    joblib.dump(fitted, tmp_path / "model")
    made = joblib.load(tmp_path / "model")
    assert made.recommend(SESSIONS).equals(fitted.recommend(SESSIONS))


@pytest.mark.slow
def test_arguments_that_are_kept_and_forgotten(
    fitted: SRGNNRecommender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pyg_srgnn.estimator.recommender.compose_training", _stop)
    rules = {"dataset.where": {"item": ("item 1", "item 2")}, "patience": np.int64(3)}
    given = SRGNNRecommender(model="gru4rec", epochs=3, refit=False, settings=rules)
    given.recommender_ = fitted.recommender_
    folder = given.save(tmp_path / "model")
    loaded = SRGNNRecommender.load(folder)
    assert (loaded.model, loaded.epochs, loaded.refit) == ("gru4rec", 3, False)
    plain = {"dataset.where": {"item": ["item 1", "item 2"]}, "patience": 3}
    assert loaded.settings == plain
    with warnings.catch_warnings(action="error"), pytest.raises(_Stopped):
        loaded.fit(clicks())
    named = '{"settings": {"optimizer.lr": 0.1, "callbacks": [{"_target_": "os.getcwd"}]}}'
    (folder / "estimator.json").write_text(named)
    with pytest.warns(UserWarning, match="callbacks are code") as warned:
        assert SRGNNRecommender.load(folder).settings == {"optimizer.lr": 0.1}
    assert warned[0].filename == __file__
    (folder / "estimator.json").write_text('{"modle": "srgnn"}')
    with pytest.raises(ValueError, match=r"estimator\.json does not hold arguments .*'modle'"):
        SRGNNRecommender.load(folder)
    (folder / "estimator.json").unlink()
    older = SRGNNRecommender.load(folder).set_params(model="gru4rec")
    said = "does not keep epochs, refit, seed, settings of its training"
    with pytest.warns(UserWarning, match=said), pytest.raises(_Stopped):
        older.fit(clicks())
    assert not (older.save(tmp_path / "older") / "estimator.json").exists()


class _Stopped(Exception):
    pass


def _stop(*_: Any) -> None:
    raise _Stopped


@pytest.mark.slow
def test_texts_of_the_items_and_new_ones(tmp_path: Path) -> None:
    texts = pl.DataFrame(
        {"item": [f"item {n}" for n in range(20)], "title": [f"thing {n}" for n in range(20)]}
    )
    settings = SETTINGS | {"encoder": "hashed"}
    made = SRGNNRecommender(epochs=1, settings=settings).fit(clicks(), items=texts)
    made.recommender_.add_items(["new"], {"title": ["thing 3"]})
    assert made.recommender_.recommend([["new"]])[0]
    with pytest.raises(ValueError, match=r"1 items were added .*add_items=FILE"):
        made.save(tmp_path / "model")


@pytest.mark.slow
def test_a_users_clicks_are_cut_at_a_silence() -> None:
    log = clicks().rename({"session": "user"}).with_columns(pl.col("user") // 20)
    made = SRGNNRecommender(gap="5m", epochs=1, settings=SETTINGS).fit(log)
    found = made.recommend(log.filter(pl.col("user") < 3), k=2)
    assert sorted(set(found["user"])) == [0, 1, 2] and len(found) == 6


@pytest.mark.slow
def test_types_and_pauses_of_the_clicks() -> None:
    views = pl.when(pl.col("time") % 20 == 0).then(pl.lit("view"))
    log = clicks().with_columns(kind=views.otherwise(pl.lit("buy")))
    rules = {"event": "kind", "events": {"view": 1, "buy": 1}, "pauses": "time"}
    settings = SETTINGS | {f"dataset.{key}": value for key, value in rules.items()}
    made = SRGNNRecommender(epochs=2, settings=settings).fit(log)
    one = pl.DataFrame(
        {
            "session": [1, 1],
            "item": ["item 3", "item 4"],
            "time": [1_800_000_000, 1_800_000_300],
            "kind": ["view", "buy"],
        }
    )
    marks = {"types": ["view", "buy"], "times": [0, 300]}
    for frame, known in ((one, marks), (one.drop("time"), {"types": marks["types"]})):
        (wanted,) = made.recommender_.recommend([Clicks(["item 3", "item 4"], **known)], 20)
        found = made.recommend(frame, 20)
        assert found["item"].to_list() == [item for item, _ in wanted]
        assert found["score"].to_list() == pytest.approx([score for _, score in wanted])
    with pytest.warns(UserWarning, match="sessions has no column 'kind': its clicks have no types"):
        found = made.recommend(one.drop("time", "kind"), 20)
    (wanted,) = made.recommender_.recommend([["item 3", "item 4"]], 20)
    assert found["item"].to_list() == [item for item, _ in wanted]
    found = made.recommend(one.drop("time"), 20)
    plain = made.recommend(one.drop("time").with_columns(kind=pl.lit("view")), 20)
    assert not plain.equals(found), "the case needs types that matter"


@pytest.mark.slow
def test_users_are_said_to_be_unknown_later(tmp_path: Path) -> None:
    log = clicks().with_columns(user=pl.col("session") % 9)
    said = r"user='user': .* recommend\(\) passes none; .*Clicks\(items, earlier="
    with pytest.warns(UserWarning, match=said):
        made = SRGNNRecommender(user="user", epochs=1, settings=SETTINGS).fit(log)
    with pytest.warns(UserWarning, match=said):
        SRGNNRecommender.load(made.save(tmp_path / "model"))


def test_sessions_without_times_need_no_rule_about_them(tmp_path: Path) -> None:
    rules = {"time_zone": "Europe/Berlin", "time_format": "%d.%m.%Y %H:%M", "pauses": "time"}
    trained = Preparation(time="when", dedupe=True, **rules)
    rows = pl.DataFrame({"session": [1, 1, 1], "item": ["a", "b", "a"]})
    found, names = read_sessions(rows, trained, False, tmp_path)
    assert found.to_dicts() == [{"session": 1, "items": ["a", "b", "a"]}]
    assert names == ("session", "item")
    with pytest.raises(ValueError, match="there is no column 'when'"):
        read_sessions(
            rows, Preparation(time="when", pauses="order", order="place"), False, tmp_path
        )


@pytest.mark.parametrize("kind", ["polars", "pandas"])
def test_times_with_a_zone_keep_it(tmp_path: Path, kind: str) -> None:
    frame = clicks().with_columns(time=pl.from_epoch("time").dt.replace_time_zone("Asia/Tokyo"))
    given = frame
    if kind == "pandas":
        given = pd.DataFrame(frame.drop("time").to_dict(as_series=False))
        given["time"] = pd.to_datetime(frame["time"].dt.epoch("us").to_list(), unit="us", utc=True)
    table = pl.read_parquet(write_frame(given, tmp_path, "clicks"))
    assert table["time"].dtype == pl.Datetime("us", "UTC")
    assert table["time"].equals(frame["time"].dt.convert_time_zone("UTC"))


WITHOUT = {
    "no columns": (clicks().rename({"item": "thing"}), r"clicks: there is no column known to be "
        r"the item; its columns are 'session', 'thing', 'time'. Give item=COLUMN"),
    "a null": (clicks().with_columns(item=pl.when(pl.col("item") != "item 3").then("item")),
        r"item is empty, expected an id"),
    "NaN": (clicks().with_columns(time=pl.when(pl.col("session") == 3).then(float("nan"))
        .otherwise("time")), r"time is empty"),
    "no row": (clicks().head(0), r"clicks has no row; expected one row per click"),
    "users": (clicks().rename({"session": "user"}), r"give gap=30m .* or session=COLUMN"),
    "few clicks": (clicks(3), r"none passes the rule .*; lower min_support"),
}  # fmt: skip


@pytest.mark.parametrize("kind", ["polars", "pandas"])
@pytest.mark.parametrize("name", WITHOUT)
def test_frames_that_are_refused(name: str, kind: str) -> None:
    frame, said = WITHOUT[name]
    given = frame if kind == "polars" else pd.DataFrame(frame.to_dict(as_series=False))
    if name == "NaN" and kind == "pandas":
        assert given["time"].isna().any()
    with pytest.raises(ValueError, match=said) as error:
        SRGNNRecommender().fit(given)
    assert tempfile.gettempdir() not in str(error.value) and "dataset.time" not in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            {"model": "srgn"},
            "^model='srgn': has no weights .* expected srgnn, srgnn_plain or gru4rec$",
        ),
        ({"model": None}, "model=None: has no weights"),
        ({"model": "mixture"}, "model='mixture': has no weights"),
        ({"min_support": 0}, "min_support"),
        ({"settings": {"model.chanels": 3}}, "no key 'model.chanels'; did you mean model.channels"),
        ({"settings": {"model.channels": -1}}, r"model.channels=-1: expected"),
        ({"settings": {"dataset.colapse": True}}, "did you mean dataset.collapse"),
        ({"epochs": 0}, "trainer.max_epochs"),
        ({"model": "vsknn"}, "model='vsknn': has no weights"),
        ({"settings": {"optimizer": "adma"}}, "^optimizer='adma': expected one of adam"),
        ({"settings": {"dataset.path": "no.csv"}}, "'dataset.path' cannot be set: .* fit.clicks"),
        ({"settings": {"dataset": "synthetic"}}, "'dataset' cannot be set: .* fit.clicks"),
        ({"settings": {"dataset.test": 0.5}}, "'dataset.test' .* no session out for a test"),
        ({"settings": {"test": True}}, "'test' cannot be set"),
        ({"settings": {"dataset.vocabulary": "runs"}}, "'dataset.vocabulary' .* warm_start=RUN"),
        ({"settings": {"checkpoint": "latest"}}, "'checkpoint' .* warm_start=RUN"),
        ({"settings": {"trainer.max_epochs": 3}}, "'trainer.max_epochs' is the argument epochs="),
        ({"settings": {"trainer": {"max_epochs": 3}}}, "'trainer.max_epochs' is the argument"),
        ({"settings": {"dataset.item": "sku"}}, "'dataset.item' is the argument item="),
    ],
)
def test_arguments_that_are_refused(
    monkeypatch: pytest.MonkeyPatch, arguments: dict[str, Any], said: str
) -> None:
    """Before the frame is read, but for what the rules of a preparation refuse."""
    monkeypatch.setattr("pyg_srgnn.estimator.recommender.prepare", None)
    with pytest.raises(ValueError, match=said):
        SRGNNRecommender(**arguments).fit(clicks())


def test_texts_are_given_once() -> None:
    with pytest.raises(ValueError, match="'text' is what fit"):
        SRGNNRecommender(settings={"text": "items.csv"}).fit(clicks(), items=clicks())


def test_a_run_is_named_as_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = {"warm_start": "latest", "distil": "runs/click_log"}
    with pytest.raises(FileNotFoundError, match="warm_start=latest: there is no finished run"):
        SRGNNRecommender(settings=settings).fit(clicks())
    folder = Path("runs/click_log/one")
    folder.mkdir(parents=True)
    run_result(checkpoint="best.ckpt").write(folder)
    (folder / "best.ckpt").touch()
    found = compose_training(
        {"model": "srgnn", "dataset": "click_log", "dataset.path": "."} | settings
    )
    assert found.warm_start == found.distil == str(folder)


def test_what_is_no_frame() -> None:
    with pytest.raises(
        TypeError, match=r"clicks must be a data frame .* of pandas or Polars .*list"
    ):
        SRGNNRecommender().fit([[1, 2]])
    with pytest.raises(ValueError, match="not fitted yet"):
        SRGNNRecommender().recommend(clicks())


@pytest.mark.slow
def test_sessions_that_are_refused(fitted: SRGNNRecommender) -> None:
    for frame, said in (
        (SESSIONS.rename({"item": "thing"}), "sessions: there is no column 'item'"),
        (SESSIONS.with_columns(item=pl.lit(None, pl.String)), "item is empty, expected an id"),
        (SESSIONS.clear(), "sessions has no row"),
    ):
        with pytest.raises(ValueError, match=said):
            fitted.recommend(frame)


def test_a_column_that_might_be_another_one_is_said() -> None:
    log = clicks().rename({"session": "sid", "item": "sku", "time": "ts"})
    log = log.with_columns(item_id=pl.lit(1), session_id="sid")
    said = (
        "clicks: session=session_id is a guess, and might be sid; session=COLUMN settles it",
        "clicks: item=item_id is a guess, and might be sku; item=COLUMN settles it",
    )
    with (
        pytest.warns(UserWarning) as warned,
        pytest.raises(ValueError, match=r"clicks: in the column 'item_id' one item is left, 1; .*"),
    ):
        SRGNNRecommender().fit(log)
    assert [str(one.message) for one in warned] == [*said]
    assert {one.filename for one in warned} == {__file__}


@pytest.mark.slow
def test_bad_rows_name_the_frame(fitted: SRGNNRecommender) -> None:
    bad = SESSIONS.with_columns(item=pl.when(pl.col("session") == 7).then("item"))
    remedy = r"""settings={"dataset.on_bad_rows": "skip"} leaves such rows out"""
    with pytest.raises(ValueError) as error:
        fitted.recommend(bad)
    assert "sessions, row 3: item is empty" in str(error.value) and remedy in str(error.value)
    loaded = copy.copy(fitted.recommender_)
    trained = loaded.trained
    assert isinstance(trained, Checkpoint) and trained.preparation is not None
    skipping = trained.preparation | {"on_bad_rows": "skip"}
    loaded.trained = replace(trained, preparation=skipping)
    made = SRGNNRecommender()
    made.recommender_ = loaded
    with pytest.warns(UserWarning, match="bad rows are left out") as warned:
        made.recommend(bad)
    (warning,) = warned
    assert "sessions, row 3: item is empty" in str(warning.message)
    assert tempfile.gettempdir() not in str(warning.message) and warning.filename == __file__


def test_arguments_as_scikit_learn_has_them() -> None:
    made = SRGNNRecommender(item="sku", epochs=3)
    assert made.get_params()["item"] == "sku" and made.get_params()["refit"] is True
    assert made.set_params(epochs=4, seed=1) is made and made.epochs == 4
    assert repr(made) == "SRGNNRecommender(item='sku', epochs=4, seed=1)"
    with pytest.raises(ValueError, match=r"no argument 'epoch'; expected one of session, user"):
        made.set_params(epoch=3)
    sklearn = pytest.importorskip("sklearn.base")
    other = sklearn.clone(made)
    assert other is not made and other.get_params() == made.get_params()


def test_columns_that_pandas_alone_knows(tmp_path: Path) -> None:
    times = pd.to_datetime(pd.Series(["2026-01-01", None]))
    ids = [uuid.UUID(int=1), uuid.UUID(int=2)]
    frame = pd.DataFrame({"session": ids, "bought": times, 7: [{1}, None]})
    table = pl.read_parquet(write_frame(frame, tmp_path, "clicks"))
    assert table["session"].to_list() == [str(one) for one in ids]
    assert table["bought"].to_list() == [datetime(2026, 1, 1), None]
    assert table["7"].to_list() == ["{1}", None]
