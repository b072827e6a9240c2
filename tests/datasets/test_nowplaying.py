from __future__ import annotations

import random

import pytest

from pyg_srgnn.datasets import Nowplaying, NowplayingRaw
from pyg_srgnn.datasets.download import DownloadError
from tests.reference.gce_gnn import gce_gnn

DAY = 86_400
START = 1_390_000_000  # January 2014


@pytest.fixture
def raw(tmp_path):
    folder = tmp_path / "nowplaying_raw" / "raw"
    folder.mkdir(parents=True)
    return folder / "nowplaying.csv"


def write(path, sessions=400):
    """Sessions of a year, some of more than 30 tracks, in session-rec's form."""
    generator = random.Random(16)
    lines = ["SessionId\tUserId\tItemId\tTime"]
    for session in range(sessions):
        instant = START + generator.randrange(365 * DAY)
        for _ in range(generator.choice([1, 2, 3, 5, 8, 30, 31, 50])):
            item = 1 + int(generator.paretovariate(0.5)) % 400
            lines.append(f"{session}\t{session // 4}\t{item}\t{instant}")
            instant += generator.randrange(1, 600)
    path.write_text("\n".join(lines) + "\n")


def ids(dataset):
    """The sessions as the authors number their items, from 1."""
    return [[item + 1 for item in session] for session in dataset.sessions.to_lists()]


def test_the_two_files_and_what_they_hold():
    assert [source.name for source in Nowplaying.sources] == ["all_train_seq.txt", "test.txt"]
    for source in Nowplaying.sources:
        assert f"/datasets/Nowplaying/{source.name}" in source.urls[0] and len(source.sha256) == 64
    counts = Nowplaying.counts
    assert counts == NowplayingRaw.counts and counts.items == Nowplaying.catalogue == 60_416
    assert counts.clicks - counts.sessions == counts.samples == 825_304  # as published
    assert counts.test_sessions is None


@pytest.mark.filterwarnings("ignore:.* is used unchecked")
def test_the_clicks_give_the_authors_sessions(raw, tmp_path):
    write(raw)
    training, test, items = gce_gnn(raw, longest=30, seconds=60 * DAY)
    dataset = NowplayingRaw(tmp_path, "trainval")
    assert ids(dataset) == training and dataset.vocabulary.ids == items
    assert ids(NowplayingRaw(tmp_path, "test")) == test and len(test) > 20
    assert max(map(len, training)) <= 30 and 300 > len(training) > 100


def test_what_to_put_where(tmp_path):
    with pytest.raises(DownloadError) as error:
        NowplayingRaw(tmp_path)
    text = str(error.value)
    assert str(tmp_path / "nowplaying_raw" / "raw" / "nowplaying.csv") in text
    assert "session-rec" in text
