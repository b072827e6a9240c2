from __future__ import annotations

import random
import shutil
from datetime import datetime, timedelta

import pytest

from pyg_srgnn.datasets import Yoochoose, YoochooseRaw, download, open_dataset
from pyg_srgnn.datasets import yoochoose as module
from pyg_srgnn.datasets.download import DownloadError
from tests.reference.preparation import authors, last, samples

from .file_server import FileServer
from .test_two_file import check_test_rows, clicked

FILE, ARCHIVE = "yoochoose-clicks.dat", "yoochoose-data.7z"
REGISTERED = {1: "yoochoose", 4: "yoochoose1_4", 64: "yoochoose1_64_raw"}

pytestmark = pytest.mark.filterwarnings("ignore:.* is used unchecked")


@pytest.fixture(scope="module")
def clicks(tmp_path_factory):
    """Clicks of 14 days in Yoochoose's form, some of a session after a later one's time."""
    generator = random.Random(4)
    lines = []
    for session in range(1, 1_500):
        instant = datetime(2014, 4, 1) + timedelta(seconds=generator.randrange(14 * 86_400))
        for _ in range(generator.choice([1, 1, 2, 2, 3, 4, 7])):
            item = 214_500_000 + int(generator.paretovariate(0.4)) % 300
            time = instant.strftime("%Y-%m-%dT%H:%M:%S.") + f"{generator.randrange(1000):03d}Z"
            lines.append(f"{session},{time},{item},{generator.choice('0S5')}\n")
            instant += timedelta(seconds=generator.randrange(-5, 300))
    path = tmp_path_factory.mktemp("clicks") / FILE
    path.write_text("".join(lines))
    return path


@pytest.fixture
def raw(tmp_path):
    folder = tmp_path / "yoochoose" / "raw"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def offline(monkeypatch):
    def dead(url, part, source):
        raise download._SourceError("HTTP 404 Not Found")

    monkeypatch.setattr(download, "_download", dead)


def ids(dataset):
    """The sessions as the authors number their items, from 1."""
    return [[item + 1 for item in session] for session in dataset.sessions.to_lists()]


# The two-file form of 1/64


@pytest.mark.slow
def test_the_published_counts(benchmark_data, tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    whole = Yoochoose(root, "trainval", mirror=benchmark_data)
    counts = len(whole.sessions), whole.sessions.num_clicks, len(whole)
    assert counts == (116_167, 486_026, 369_859)
    assert whole.num_items == 37_483 and clicked(whole.sessions) == 17_376
    test = Yoochoose(root, "test")
    assert (len(test.sessions), len(test)) == (15_324, 55_898)
    new = set(test.sessions.items.tolist()) - set(whole.sessions.items.tolist())
    assert len(new) == 369
    check_test_rows(test)


def test_a_failure_is_reported_as_it_is(tmp_path, offline):
    with pytest.raises(DownloadError) as error:
        Yoochoose(tmp_path)
    assert "HTTP 404 Not Found" in str(error.value) and "33af7c6292c6" in str(error.value)


# Raw


@pytest.mark.parametrize("fraction", [1, 4, 64])
def test_the_clicks_give_the_authors_samples(clicks, raw, tmp_path, fraction):
    shutil.copy(clicks, raw)
    settings = {"name": REGISTERED[fraction], "root": tmp_path}
    whole, test = open_dataset(settings, "trainval"), open_dataset(settings, "test")
    expected = authors(clicks, "yoochoose")
    assert whole.vocabulary.ids == [int(item) for item in expected.items]
    assert ids(test) == expected.test and len(test) > 50
    assert samples(ids(whole))[:2] == last(samples(expected.training), fraction)[:2]
    assert len(whole) == len(samples(expected.training)[1]) // fraction
    times = expected.training_times
    assert whole.sessions.times.tolist() == times[len(times) - len(whole.sessions) :]


def test_the_fractions_share_one_file_and_no_cache(clicks, raw, tmp_path):
    shutil.copy(clicks, raw)
    found = [YoochooseRaw(tmp_path, fraction=fraction) for fraction in (1, 4, 64)]
    assert len({dataset.raw_dir for dataset in found}) == 1
    assert len({dataset.processed_dir for dataset in found}) == 3
    assert found[1].counts.samples == 5_917_745 and found[2].counts.sessions == 116_167
    assert YoochooseRaw.preparation.recent == 1  # a fraction's own is not the class's


@pytest.mark.parametrize("fraction", [0, 16, "64", None])
def test_other_fractions_are_refused(tmp_path, fraction):
    with pytest.raises(ValueError, match=r"'fraction' must be 1, 4 or 64 \(got "):
        YoochooseRaw(tmp_path, fraction=fraction)
    assert not list(tmp_path.iterdir())


def pack(clicks, path):
    py7zr = pytest.importorskip("py7zr", reason="py7zr, the extra 7z, is not installed")
    with py7zr.SevenZipFile(path, "w") as archive:
        archive.writestr(b"buys", "yoochoose-buys.dat")
        archive.write(clicks, FILE)
        archive.writestr(b"test", "yoochoose-test.dat")


def test_straight_out_of_the_archive(clicks, raw, tmp_path):
    pack(clicks, raw / ARCHIVE)
    assert ids(YoochooseRaw(tmp_path, "test")) == authors(clicks, "yoochoose").test
    assert (raw / FILE).read_bytes() == clicks.read_bytes()
    assert not (raw / "yoochoose-buys.dat").exists()


def test_the_archive_comes_from_the_mirror_or_the_net(clicks, raw, tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    served = tmp_path / "served" / "yoochoose"
    served.mkdir(parents=True)
    pack(clicks, served / ARCHIVE)
    expected = authors(clicks, "yoochoose").test
    assert ids(YoochooseRaw(tmp_path / "a", "test", mirror=served.parent)) == expected
    with FileServer(served) as server:
        there = module.Source(ARCHIVE, urls=(f"{server.url}/{ARCHIVE}",))
        monkeypatch.setattr(module, "_ARCHIVE", there)
        assert ids(YoochooseRaw(tmp_path / "b", "test")) == expected


def test_unpacked_clicks_of_the_mirror_are_taken_before_the_archive(clicks, tmp_path, offline):
    (tmp_path / "mirror" / "yoochoose").mkdir(parents=True)
    shutil.copy(clicks, tmp_path / "mirror" / "yoochoose")
    YoochooseRaw(tmp_path / "root", mirror=tmp_path / "mirror")
    assert not (tmp_path / "root" / "yoochoose" / "raw" / ARCHIVE).exists()


def test_what_to_do_without_a_source(tmp_path, offline):
    with pytest.raises(DownloadError) as error:
        YoochooseRaw(tmp_path, fraction=4)
    text = str(error.value)
    assert "yc-rdata/yoochoose-data.7z: HTTP 404 Not Found" in text
    assert f"Put the file by hand at {tmp_path / 'yoochoose' / 'raw' / ARCHIVE}" in text
    assert f"The {FILE} in it, put there unpacked, will do as well." in text


def test_a_damaged_archive(clicks, raw, tmp_path):
    pack(clicks, raw / ARCHIVE)
    content = (raw / ARCHIVE).read_bytes()
    (raw / ARCHIVE).write_bytes(content[: len(content) // 2])
    with pytest.raises(DownloadError, match=rf"{ARCHIVE} is damaged .*Delete it"):
        YoochooseRaw(tmp_path)
    assert not (raw / FILE).exists()
