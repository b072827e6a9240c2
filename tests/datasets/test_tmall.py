from __future__ import annotations

import random

import pytest

from pyg_srgnn.datasets import Tmall, TmallRaw
from pyg_srgnn.datasets import tmall as module
from pyg_srgnn.datasets.download import DownloadError
from tests.reference.gce_gnn import gce_gnn

DAY = 1_432_072_800  # 2015-05-20, as the file counts its days
unchecked = pytest.mark.filterwarnings("ignore:.* is used unchecked")


@pytest.fixture
def raw(tmp_path):
    folder = tmp_path / "tmall_raw" / "raw"
    folder.mkdir(parents=True)
    return folder / "dataset15.csv"


def write(path, sessions=400, names="UserId\tItemId\tSessionId\tTime", first=0):
    """A user's clicks of a day, a second apart from midnight on, as session-rec writes them."""
    generator = random.Random(15)
    lines = [names]
    for session in range(first, first + sessions):
        midnight = DAY + generator.choice([0, 0, 86_400, 2 * 86_400])
        for second in range(generator.choice([1, 2, 3, 5, 30, 41, 60, 150])):
            item = 1 + int(generator.paretovariate(0.5)) % 400
            row = {"UserId": session // 3, "ItemId": item, "SessionId": session}
            row["Time"] = f"{midnight + second}.0"
            lines.append("\t".join(str(row[name]) for name in names.split("\t")))
    path.write_text("\n".join(lines) + "\n")


def ids(dataset):
    """The sessions as the authors number their items, from 1."""
    return [[item + 1 for item in session] for session in dataset.sessions.to_lists()]


def test_the_two_files_and_what_they_hold():
    assert [source.name for source in Tmall.sources] == ["all_train_seq.txt", "test.txt"]
    for source in Tmall.sources:
        assert (
            source.urls[0].endswith(f"/datasets/Tmall/{source.name}") and len(source.sha256) == 64
        )
    counts = Tmall.counts
    assert counts == TmallRaw.counts and counts.items == Tmall.catalogue == 40_727
    assert counts.clicks - counts.sessions == counts.samples == 351_268  # as published
    # The authors print the mean length of all sessions, which leaves one number of test sessions.
    clicks = counts.clicks + counts.test_samples + counts.test_sessions
    assert clicks / (counts.sessions + counts.test_sessions) == pytest.approx(
        6.687663052493478, abs=1e-14
    )


@unchecked
@pytest.mark.parametrize(
    "names", ["UserId\tItemId\tSessionId\tTime", "SessionId\tTime\tItemId\tUserId"]
)
def test_the_clicks_give_the_authors_sessions(raw, tmp_path, names):
    write(raw, names=names)
    training, test, items = gce_gnn(raw, longest=40, seconds=100)
    dataset = TmallRaw(tmp_path, "trainval")
    assert ids(dataset) == training and dataset.vocabulary.ids == items
    assert ids(TmallRaw(tmp_path, "test")) == test and len(test) > 3
    assert max(map(len, training)) <= 40 and 300 > len(training) > 100


@unchecked
def test_only_the_first_sessions_are_read(raw, tmp_path, monkeypatch):
    assert module._LAST_SESSION == 120_000
    write(raw, first=119_700)
    training, test, _ = gce_gnn(raw, longest=40, seconds=100, last_session=120_000)
    assert ids(TmallRaw(tmp_path, "trainval")) == training
    assert ids(TmallRaw(tmp_path, "test")) == test
    assert (training, test) != gce_gnn(raw, longest=40, seconds=100)[:2]


@unchecked
def test_a_missing_column_is_named(raw, tmp_path):
    write(raw, names="UserId\tItemId\tTime")
    with pytest.raises(ValueError, match=r"dataset15\.csv.*'SessionId'"):
        TmallRaw(tmp_path)


@unchecked
def test_a_session_that_is_no_number_is_left_to_the_reader_to_name(raw, tmp_path):
    write(raw, sessions=50)
    rows = raw.read_text().splitlines()
    rows[2] = rows[2].rsplit("\t", 2)[0] + "\t\t" + rows[2].rsplit("\t", 1)[1]
    raw.write_text("\n".join(rows))
    with pytest.raises(ValueError, match="line 3"):
        TmallRaw(tmp_path)


def test_what_to_put_where(tmp_path):
    with pytest.raises(DownloadError) as error:
        TmallRaw(tmp_path)
    text = str(error.value)
    assert str(tmp_path / "tmall_raw" / "raw" / "dataset15.csv") in text
    assert "session-rec" in text
