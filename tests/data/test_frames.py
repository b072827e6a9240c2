"""Sessions from frames and back: nothing is lost, and what is wrong is named."""

import importlib.util
from datetime import UTC, datetime, timedelta, timezone

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyg_srgnn.data import Sessions, Vocabulary

pandas_needed = pytest.mark.skipif(
    importlib.util.find_spec("pandas") is None, reason="pandas is not installed"
)
backends = pytest.mark.parametrize(
    "backend", ["polars", pytest.param("pandas", marks=pandas_needed)]
)
steady = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

ITEMS = 6
VOCABULARIES = (Vocabulary([7, -3, 10**12, 0, 5, 1]), Vocabulary(["b", "a", "", "1", "é", "x y"]))


def frame_of(columns, backend="polars"):
    if backend == "polars":
        return pl.DataFrame(columns)
    import pandas

    return pandas.DataFrame(columns)


def read(frame, **kwargs):
    """By the method of the frame's own kind."""
    if isinstance(frame, pl.DataFrame | pl.LazyFrame):
        return Sessions.from_polars(frame, **kwargs)
    return Sessions.from_pandas(frame, **kwargs)


def write(sessions, backend, **kwargs):
    return getattr(sessions, f"to_{backend}")(**kwargs)


@st.composite
def any_sessions(draw):
    lists = draw(st.lists(st.lists(st.integers(0, ITEMS - 1), min_size=1, max_size=6), max_size=6))
    times = st.lists(st.integers(-(2**40), 2**40), min_size=len(lists), max_size=len(lists))
    return Sessions.from_lists(lists, draw(st.none() | times))


@pytest.mark.slow
@backends
@steady
@given(any_sessions(), st.none() | st.sampled_from(VOCABULARIES))
def test_there_and_back(backend, sessions, vocabulary):
    frame = write(sessions, backend, vocabulary=vocabulary)
    assert read(frame, vocabulary=vocabulary) == sessions
    assert len(frame) == sessions.num_clicks
    expected = ["session", "item"] + (["time"] if sessions.times is not None else [])
    assert list(frame.columns) == expected
    if backend == "pandas":
        assert frame.index.tolist() == list(range(len(frame)))
    if vocabulary is not None:
        clicks = [raw for session in sessions.to_lists(vocabulary) for raw in session]
        assert frame["item"].to_list() == clicks


@steady
@given(any_sessions(), st.none() | st.sampled_from(VOCABULARIES))
def test_parquet_there_and_back(tmp_path, sessions, vocabulary):
    path = tmp_path / "clicks.parquet"
    sessions.to_parquet(path, vocabulary=vocabulary)
    assert Sessions.from_parquet(path, vocabulary=vocabulary) == sessions
    assert [file.name for file in tmp_path.iterdir()] == ["clicks.parquet"]


@steady
@given(any_sessions(), st.sampled_from(VOCABULARIES))
def test_lists_there_and_back(sessions, vocabulary):
    times = None if sessions.times is None else sessions.times.tolist()
    assert Sessions.from_lists(sessions.to_lists(), times) == sessions
    assert Sessions.from_lists(sessions.to_lists(vocabulary), times, vocabulary) == sessions


rows = st.lists(
    st.tuples(st.sampled_from("pqrs"), st.integers(0, ITEMS - 1), st.integers(-9, 9)), max_size=25
)


@backends
@steady
@given(rows)
def test_rows_in_any_order_against_a_loop(backend, rows):
    """One session spread over the frame: a dict keeps both orders by itself."""
    clicks, times = {}, {}
    for session, item, time in rows:
        clicks.setdefault(session, []).append(item)
        times[session] = time
    columns = {name: [row[i] for row in rows] for i, name in enumerate("sit")}
    if backend == "polars":
        frame = pl.DataFrame(columns, {"s": pl.String, "i": pl.Int32, "t": pl.Int16})
    else:
        frame = frame_of(columns, backend).astype({"s": str, "i": "int32", "t": "int16"})
    found = read(frame, session="s", item="i", time="t")
    assert found == Sessions.from_lists(list(clicks.values()), [times[s] for s in clicks])


@backends
def test_columns_of_other_names(backend):
    sessions = Sessions.from_lists([[0, 1], [2]], [5, 6])
    names = {"session": "visit", "item": "sku", "time": "at"}
    frame = write(sessions, backend, **names)
    assert list(frame.columns) == ["visit", "sku", "at"]
    assert read(frame, **names) == sessions
    assert read(frame, session="visit", item="sku").times is None
    assert read(frame, session="visit", item="sku", time=None).times is None


def test_parquet_with_columns_of_other_names(tmp_path):
    names = {"session": "visit", "item": "sku", "time": "at"}
    sessions = Sessions.from_lists([[0, 1], [2]], [5, 6])
    sessions.to_parquet(tmp_path / "a.parquet", **names)
    assert Sessions.from_parquet(tmp_path / "a.parquet", **names) == sessions


@backends
@pytest.mark.parametrize("ids", [[3, 1, 3], ["b", "a", "b"], [0.5, 0.25, 0.5], [True, False, True]])
def test_session_ids_of_any_type(backend, ids):
    frame = frame_of({"session": ids, "item": [0, 1, 2], "time": [9, 8, 7]}, backend)
    assert read(frame) == Sessions.from_lists([[0, 2], [1]], [7, 8])


UTC = UTC


@backends
@pytest.mark.parametrize("zone", [None, UTC, timezone(timedelta(hours=2))], ids=str)
def test_times_as_dates(backend, zone):
    """To whole seconds, downwards also before 1970; without a zone they are UTC."""
    instants = [
        datetime(2014, 4, 7, 10, 51, 9, 277_000, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 500_000, tzinfo=UTC),
    ]
    shown = [t.replace(tzinfo=None) if zone is None else t.astimezone(zone) for t in instants]
    frame = frame_of({"session": [1, 2], "item": [0, 1], "time": shown}, backend)
    assert read(frame).times.tolist() == [1_396_867_869, -1]


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_units_of_dates(unit):
    frame = pl.DataFrame({"session": [1], "item": [0], "time": [datetime(2014, 4, 7)]})
    frame = frame.with_columns(pl.col("time").cast(pl.Datetime(unit)))
    assert read(frame).times.tolist() == [1_396_828_800]


def test_a_lazy_frame():
    frame = pl.LazyFrame({"session": [1, 1], "item": [0, 1], "time": [3, 4]})
    assert read(frame) == Sessions.from_lists([[0, 1]], [4])


@pytest.mark.parametrize("kind", [pl.Categorical, pl.Enum(["a", "b"])])
def test_raw_ids_as_categories(kind):
    frame = pl.DataFrame({"session": [1, 1], "item": pl.Series(["b", "a"], dtype=kind)})
    assert read(frame, vocabulary=Vocabulary(["a", "b"])).to_lists() == [[1, 0]]


def test_no_rows():
    frame = pl.DataFrame(schema={"session": pl.String, "item": pl.Int64, "time": pl.Int64})
    assert read(frame) == Sessions.from_lists([], [])
    assert read(frame.drop("time")) == Sessions.from_lists([])


# Several Parquet files.


@pytest.mark.parametrize("where", ["", "*.parquet", "part-0000[01].parquet"])
def test_a_folder_or_a_glob_in_the_order_of_names(tmp_path, where):
    """As an engine writes a folder: a session may go on in the next file."""
    sessions = Sessions.from_lists([[0, 1, 2], [3, 4], [5]], [1, 2, 3])
    frame = sessions.to_polars()
    frame[3:].write_parquet(tmp_path / "part-00001.parquet")
    frame[:3].write_parquet(tmp_path / "part-00000.parquet")
    (tmp_path / "_SUCCESS").touch()
    (tmp_path / ".part-00000.parquet.crc").touch()
    if not where:  # told by the content
        frame[:3].write_parquet(tmp_path / ".part-00000.parquet")
        (tmp_path / "part-00001.parquet").rename(tmp_path / "part-00001")
        (tmp_path / "README.parquet").write_text("clicks")
    assert Sessions.from_parquet(tmp_path / where) == sessions


def test_a_file_whose_name_looks_like_a_glob(tmp_path):
    sessions = Sessions.from_lists([[0, 1]])
    sessions.to_parquet(tmp_path / "a[1].parquet")
    assert Sessions.from_parquet(tmp_path / "a[1].parquet") == sessions


@pytest.mark.parametrize("where", ["", "nothing.parquet", "*.parquet"])
def test_no_parquet_file(tmp_path, where):
    with pytest.raises(FileNotFoundError, match="no Parquet file"):
        Sessions.from_parquet(tmp_path / where)


def test_a_parquet_error_names_the_file(tmp_path):
    pl.DataFrame({"visit": [1], "item": [0]}).write_parquet(tmp_path / "{a}.parquet")
    with pytest.raises(ValueError) as error:
        Sessions.from_parquet(tmp_path / "{a}.parquet")
    assert str(error.value).startswith(f"{tmp_path / '{a}.parquet'}: there is no column 'session'")


# What is wrong.

GOOD = {"session": [1, 1, 2, 2], "item": [0, 1, 2, 3], "time": [1, 2, 3, 4]}
TEXT = Vocabulary(["a", "b"])


def refused(frame, **kwargs):
    with pytest.raises(ValueError) as error:
        read(frame, **kwargs)
    return str(error.value)


@backends
@pytest.mark.parametrize("missing", ["session", "item", "at"])
def test_a_missing_column(backend, missing):
    columns = {name: values for name, values in GOOD.items() if name != missing}
    kwargs = {"time": "at"} if missing == "at" else {}
    said = refused(frame_of(columns, backend), **kwargs)
    assert f"no column {missing!r}" in said
    assert ", ".join(map(repr, columns)) in said


@backends
@pytest.mark.parametrize("name", ["session", "item", "time"])
def test_nulls(backend, name):
    columns = {**GOOD, name: [1, None, 2, None]}
    said = refused(frame_of(columns, backend))
    for part in (f"column {name!r}", "in row 1,", "expected a value", "1 more"):
        assert part in said


@backends
def test_a_negative_index(backend):
    said = refused(frame_of({**GOOD, "item": [0, 1, -1, 2]}, backend))
    assert "'item' holds -1 in row 2," in said and "at least 0" in said and "more" not in said


@backends
@pytest.mark.parametrize(
    ("ids", "vocabulary", "first"),
    [
        (["a", "c", "b", "c"], TEXT, "'c' in row 1,"),
        ([10, 11, 20, 11], Vocabulary([10, 20]), "11 in row 1,"),
    ],
)
def test_unknown_raw_ids(backend, ids, vocabulary, first):
    said = refused(frame_of({**GOOD, "item": ids}, backend), vocabulary=vocabulary)
    assert f"'item' holds {first}" in said and "the vocabulary" in said and "1 more" in said


@backends
@pytest.mark.parametrize("item", [["a", "b", "a", "b"], [0.0, 1.0, 2.0, 3.0], [True] * 4])
def test_indices_that_are_no_whole_numbers(backend, item):
    said = refused(frame_of({**GOOD, "item": item}, backend))
    assert "'item'" in said and "whole numbers" in said and "vocabulary" in said


@pytest.mark.parametrize("item", [[1.0, 0.0, 1.0, 1.0], [True] * 4])
def test_raw_ids_that_only_compare_equal(item):
    """1.0 and True find 1 in a dict, and would be taken for it."""
    said = refused(frame_of({**GOOD, "item": item}), vocabulary=Vocabulary([0, 1]))
    assert "'item'" in said and "whole numbers or text" in said


@backends
@pytest.mark.parametrize("time", [["1"] * 4, [0.5] * 4])
def test_times_that_are_none(backend, time):
    said = refused(frame_of({**GOOD, "time": time}, backend))
    assert "'time'" in said and "Datetime" in said and "seconds since 1970" in said


@backends
def test_an_item_outside_the_vocabulary(backend):
    with pytest.raises(IndexError, match=r"0 … 1 \(got 0 … 2\)"):
        write(Sessions.from_lists([[0, 2]]), backend, vocabulary=TEXT)
