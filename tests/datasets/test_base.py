"""SessionDataset: as any PyG dataset, with caches that are whole and belong to their parameters."""

from __future__ import annotations

import copy
import pickle
import shutil
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch_geometric.data import Batch, Data, Dataset
from torch_geometric.loader import DataLoader

from pyg_srgnn.data import SessionLoader, Sessions, Vocabulary
from pyg_srgnn.data.graphs import session_graph
from pyg_srgnn.datasets.base import SessionDataset, _tensors_of
from pyg_srgnn.datasets.download import Source
from tests.data.test_graphs import assert_same
from tests.reference.names import random_sessions

ITEMS = 9
DAY = 86_400
TRAINING = random_sessions(20, ITEMS, seed=1, longest=8)
TEST = random_sessions(7, ITEMS, seed=2, longest=6)


class Clicks(SessionDataset):
    """A dataset without raw files: one session per day; ``shift`` renumbers the items."""

    name = "clicks"
    timed = True

    def __init__(self, *args, shift=0, **kwargs):
        self.shift = shift
        self.reads = 0
        super().__init__(*args, **kwargs)

    def parameters(self):
        return {"shift": self.shift}

    def read(self):
        self.reads += 1
        shifted = [[(item + self.shift) % ITEMS for item in session] for session in TRAINING]
        times = [DAY * day for day in range(len(TRAINING))] if self.timed else None
        return Sessions.from_lists(shifted, times), Sessions.from_lists(TEST), Vocabulary(range(9))


class Timeless(Clicks):
    name = "timeless"
    timed = False


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("datasets")


@pytest.fixture
def dataset(root):
    return Clicks(root, "trainval")


def samples_of(sessions):
    return [(s[:cut], s[cut]) for s in sessions for cut in range(1, len(s))]


def read_back(dataset):
    """Prefix and target of every sample, from the graphs."""
    return [(data.x[data.alias_index].tolist(), int(data.y)) for data in dataset]


# As any PyG dataset.


def test_it_is_a_pyg_dataset(dataset):
    assert isinstance(dataset, Dataset)
    assert len(dataset) == len(samples_of(TRAINING)) == dataset.sessions.num_samples
    assert dataset.num_items == ITEMS and dataset.vocabulary == Vocabulary(range(ITEMS))
    assert dataset.num_node_features == 1
    # Any item may be the next one, also those that are none in a part.
    assert dataset.num_classes == dataset[:1].num_classes == ITEMS > int(dataset[0].y) + 1


def test_samples_are_session_graphs(dataset):
    assert read_back(dataset) == samples_of(TRAINING)
    for i, (prefix, target) in enumerate(samples_of(TRAINING)):
        assert type(dataset[i]) is Data
        expected = session_graph(torch.tensor(prefix), target)
        expected.row = torch.tensor([i])
        assert_same(dataset[i], expected)
        dataset[i].validate()


def test_one_sample_by_any_kind_of_number(dataset):
    last = len(dataset) - 1
    for number in (last, -1, np.int64(last), torch.tensor(last)):
        assert_same(dataset[number], dataset.get(last))
    for number in (last + 1, -last - 2):
        with pytest.raises(IndexError):
            dataset[number]


SELECTIONS = {
    "slice": slice(3, 11),
    "step": slice(2, 12, 3),
    "to the end": slice(5, None),
    "from the end": slice(-4, None),
    "list": [4, 0, 4, -1],
    "tuple": (1, 5),
    "range": range(3, 9, 2),
    "tensor": torch.tensor([7, 2]),
    "array": np.array([7, 2, 2]),
    "nothing": [],
}


@pytest.mark.parametrize("how", SELECTIONS)
def test_a_part_of_the_dataset(dataset, how):
    chosen = SELECTIONS[how]
    samples = samples_of(TRAINING)
    expected = (
        samples[chosen] if isinstance(chosen, slice) else [samples[int(i)] for i in list(chosen)]
    )
    for part in (dataset[chosen], dataset.index_select(chosen)):
        assert isinstance(part, Clicks) and len(part) == len(expected)
        assert read_back(part) == expected
        if expected:
            batch = part.batch(range(len(part)))
            assert_same(batch, Batch.from_data_list(list(part)))
            assert [samples[row] for row in batch.row] == expected
    assert len(dataset) == len(samples), "the dataset itself has changed"


@pytest.mark.parametrize("form", [torch.tensor, np.array])
def test_a_mask(dataset, form):
    mask = form([i % 3 == 0 for i in range(len(dataset))])
    assert read_back(dataset[mask]) == samples_of(TRAINING)[::3]


def test_fractions_as_slices(dataset):
    half = round(0.5 * len(dataset))
    assert len(dataset[:0.5]) + len(dataset[0.5:]) == len(dataset)
    assert read_back(dataset[:0.5]) == samples_of(TRAINING)[:half]


def test_a_part_of_a_part(dataset):
    part = dataset[2:12][[5, 1, 3]][1:]
    expected = [samples_of(TRAINING)[i] for i in (3, 5)]
    assert read_back(part) == expected
    assert_same(part.batch([0, 1]), Batch.from_data_list([part[0], part[1]]))


def test_shuffle(dataset):
    torch.manual_seed(0)
    shuffled, order = dataset.shuffle(return_perm=True)
    assert sorted(order.tolist()) == list(range(len(dataset)))
    assert read_back(shuffled) == [samples_of(TRAINING)[i] for i in order]
    assert_same(shuffled.batch([0, 1, 2]), dataset.batch(order[:3]))


def count_clicks(data):
    data.clicks = torch.tensor([data.alias_index.numel()])
    return data


def test_the_transform_is_applied_on_every_access(root, dataset):
    changed = Clicks(root, "trainval", transform=count_clicks)
    expected = [len(prefix) for prefix, _ in samples_of(TRAINING)]
    assert [int(data.clicks) for data in changed] == expected
    assert changed[3:5][1].clicks.tolist() == expected[4:5]
    assert changed.batch([4, 2]).clicks.tolist() == [expected[4], expected[2]]
    assert "clicks" not in dataset[0], "the transform has reached the cache"
    for ours, theirs in zip(SessionLoader(changed, 6), DataLoader(changed, 6), strict=True):
        assert_same(ours, theirs)


def test_repr(root, dataset):
    size = len(dataset)
    assert repr(dataset) == f"Clicks({size}, split=trainval, sessions=20, items=9)"
    assert repr(dataset[:5]).startswith("Clicks(5, split=trainval")
    assert "split=test, sessions=7" in repr(Clicks(root, "test"))


@pytest.mark.parametrize(
    "twin",
    [copy.copy, copy.deepcopy, lambda d: pickle.loads(pickle.dumps(d))],
    ids=["copy", "deepcopy", "pickle"],
)
def test_copies(root, twin):
    original = Clicks(root, "trainval", transform=count_clicks)
    for dataset in (original, original[3:9]):
        other = twin(dataset)
        assert type(other) is Clicks and repr(other) == repr(dataset)
        assert other.sessions == dataset.sessions and other.vocabulary == dataset.vocabulary
        assert read_back(other) == read_back(dataset)
        assert_same(other.batch([2, 0]), dataset.batch([2, 0]))


def test_a_deep_copy_shares_no_memory(root):
    original = Clicks(root, "trainval")
    other = copy.deepcopy(original)
    other.sessions.items.zero_()
    assert read_back(original) == samples_of(TRAINING)


@pytest.mark.parametrize("part", ["whole", "part"])
def test_loaders_give_equal_batches(dataset, part):
    if part == "part":
        dataset = dataset[[9, 2, 2, 30, 5, 7, 1]]
    ours, theirs = list(SessionLoader(dataset, 5)), list(DataLoader(dataset, 5))
    assert len(ours) == len(theirs) == -(-len(dataset) // 5)
    for a, b in zip(ours, theirs, strict=True):
        assert_same(a, b)
        assert a.num_graphs == b.num_graphs


def test_loaders_with_worker_processes(dataset):
    part = dataset[:40]
    theirs = list(DataLoader(part, 16, num_workers=2))
    for a, b in zip(SessionLoader(part, 16, num_workers=2), theirs, strict=True):
        assert_same(a, b)


def test_a_batch_is_numbered_as_the_dataset_is(dataset):
    for part in (dataset, dataset[3:20]):
        for index in ([-1], [0, -2], torch.tensor([-3, 1]), np.array([2, 1])):
            expected = Batch.from_data_list([part[int(i)] for i in index])
            assert_same(part.batch(index), expected)
        for index in ([len(part)], [-len(part) - 1]):
            with pytest.raises(IndexError):
                part.batch(index)


# Splits.


def lists_of(root, split, valid, kind=Clicks):
    return kind(root, split, valid=valid).sessions.to_lists()


@pytest.mark.parametrize(("valid", "last"), [(0.1, 2), (0.25, 5), (0.5, 10), ("1d", 1), ("7d", 7)])
def test_validation_is_the_last_part_in_time(root, valid, last):
    assert lists_of(root, "valid", valid) == TRAINING[-last:]
    assert lists_of(root, "train", valid) == TRAINING[:-last]
    train, part = Clicks(root, "train", valid=valid), Clicks(root, "valid", valid=valid)
    assert int(train.sessions.times.max()) < int(part.sessions.times.min())
    assert int(part.sessions.times.max()) - int(part.sessions.times.min()) < last * DAY


def test_train_and_valid_make_trainval(root):
    for valid in (0.1, 0.33, "3d"):
        parts = lists_of(root, "train", valid) + lists_of(root, "valid", valid)
        assert parts == lists_of(root, "trainval", valid) == TRAINING
    assert Clicks(root, "test").sessions.to_lists() == TEST


def test_trap_validation_by_shuffled_prefixes(root):
    """A session's prefixes on both sides: the answer to one stands in another."""

    def sessions_of(dataset):
        return set(dataset.sessions.samples(torch.arange(len(dataset)))[0].tolist())

    whole = Clicks(root, "trainval")
    torch.manual_seed(0)
    order = torch.randperm(len(whole))
    cut = len(whole) // 10
    session = whole.sessions.samples(order)[0]
    assert set(session[:cut].tolist()) & set(session[cut:].tolist()), "the trap is one"

    train, valid = Clicks(root, "train"), Clicks(root, "valid")
    assert len(train) + len(valid) == len(whole)
    count = len(train.sessions)
    assert sessions_of(train) <= set(range(count))
    assert {i + count for i in sessions_of(valid)} <= set(range(count, len(TRAINING)))
    assert read_back(train) == samples_of(TRAINING[:count])
    assert read_back(valid) == samples_of(TRAINING[count:])


def test_an_unknown_split(root):
    with pytest.raises(ValueError) as error:
        Clicks(root, "dev")
    for said in ("Clicks", "'split'", "train, valid, trainval, test", "'dev'"):
        assert said in str(error.value)


@pytest.mark.parametrize("split", ["train", "valid"])
def test_days_without_times(root, split):
    assert len(Timeless(root, "trainval", valid="7d").sessions) == 20  # nothing to split there
    with pytest.raises(ValueError, match="have no times"):
        Timeless(root, split, valid="7d")


@pytest.mark.parametrize("valid", [0.001, 0.999, "20d", "100d"])
def test_an_empty_side(root, valid):
    with pytest.raises(ValueError, match=f"{valid} off 20 sessions leaves one side empty"):
        Clicks(root, "train", valid=valid)


@pytest.mark.parametrize("valid", [0, 1, 0.0, 1.0, -0.1, 1.5, "0d", "7", "d", "7 days", "x", ""])
def test_a_part_that_is_none(root, valid):
    with pytest.raises(ValueError, match="fraction"):
        Clicks(root, "train", valid=valid)


# The cache.


def test_the_second_one_reads_the_cache(tmp_path):
    assert [Clicks(tmp_path, split).reads for split in ("train", "valid", "test")] == [1, 0, 0]


def test_another_parameter_never_meets_the_wrong_cache(tmp_path):
    first, second = Clicks(tmp_path, "trainval"), Clicks(tmp_path, "trainval", shift=1)
    assert second.reads == 1 and second.processed_dir != first.processed_dir
    assert [(item - 1) % ITEMS for item in second.sessions.items.tolist()] == (
        first.sessions.items.tolist()
    )
    for shift, expected in ((0, first), (1, second)):
        again = Clicks(tmp_path, "trainval", shift=shift)
        assert again.reads == 0 and again.sessions == expected.sessions


def test_another_source_never_meets_the_wrong_cache(dataset):
    other = copy.copy(dataset)
    other.sources = (Source("clicks.csv", "0" * 64),)
    third = copy.copy(dataset)
    third.sources = (Source("clicks.csv", "1" * 64),)
    folders = {d.processed_dir for d in (dataset, other, third)}
    assert len(folders) == 3
    assert {Path(folder).parent for folder in folders} == {Path(dataset.processed_dir).parent}


def test_where_the_files_are(tmp_path):
    dataset = Clicks(str(tmp_path), "train")
    assert Path(dataset.raw_dir) == tmp_path / "clicks" / "raw"
    assert Path(dataset.processed_dir).parent == tmp_path / "clicks" / "processed"
    assert all(Path(path).is_file() for path in dataset.processed_paths)


def test_times_survive_the_cache(tmp_path):
    for _ in range(2):
        dataset = Clicks(tmp_path, "trainval")
        assert dataset.sessions.times.tolist() == [DAY * day for day in range(20)]
    assert Timeless(tmp_path, "trainval").sessions.times is None


def damage(folder: Path, how: str) -> None:
    sessions, vocabulary = folder / "sessions.safetensors", folder / "vocabulary.json"
    if how == "folder removed":
        shutil.rmtree(folder)
    elif how == "sessions removed":
        sessions.unlink()
    elif how == "vocabulary removed":
        vocabulary.unlink()
    elif how == "sessions cut":
        replace(sessions, sessions.read_bytes()[:-9])
    elif how == "sessions cut in the header":
        replace(sessions, sessions.read_bytes()[:20])
    elif how == "sessions empty":
        replace(sessions, b"")
    elif how == "vocabulary cut":
        replace(vocabulary, vocabulary.read_bytes()[:-2])
    elif how == "vocabulary empty":
        replace(vocabulary, b"")
    elif how == "vocabulary of something else":
        replace(vocabulary, b"3")
    elif how == "tensors of something else":
        sessions.unlink()
        save_file({"weight": torch.zeros(2)}, sessions)
    elif how == "offsets of something else":
        stored = {name: tensor.clone() for name, tensor in load_file(sessions).items()}
        stored["training.offsets"] += 1
        sessions.unlink()
        save_file(stored, sessions)


def replace(path: Path, content: bytes) -> None:
    """Write another file of that name: the old one may be mapped into memory."""
    path.unlink()
    path.write_bytes(content)


@pytest.mark.parametrize("how", ["folder removed", "sessions removed", "vocabulary removed"])
def test_what_is_missing_is_made_again(tmp_path, how):
    damage(Path(Clicks(tmp_path).processed_dir), how)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = Clicks(tmp_path, "trainval")
    assert again.reads == 1 and again.sessions.to_lists() == TRAINING
    assert all(Path(path).is_file() for path in again.processed_paths)


@pytest.mark.parametrize(
    "how",
    [
        "sessions cut",
        "sessions cut in the header",
        "sessions empty",
        "vocabulary cut",
        "vocabulary empty",
        "vocabulary of something else",
        "tensors of something else",
        "offsets of something else",
    ],
)
def test_what_is_damaged_is_made_again_and_told(tmp_path, how):
    folder = Clicks(tmp_path).processed_dir
    damage(Path(folder), how)
    with pytest.warns(UserWarning, match="damaged") as caught:
        again = Clicks(tmp_path, "trainval")
    assert folder in str(caught[0].message)
    assert again.reads == 1 and again.sessions.to_lists() == TRAINING
    assert again.vocabulary == Vocabulary(range(9))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Clicks(tmp_path, "test").reads == 0


def test_what_a_killed_process_left_is_not_taken(tmp_path):
    folder = Path(Clicks(tmp_path).processed_dir)
    left = folder.with_name(folder.name + ".part")
    folder.rename(left)
    (left / "vocabulary.json").unlink()
    (left / "junk").touch()
    again = Clicks(tmp_path, "trainval")
    assert again.reads == 1 and again.sessions.to_lists() == TRAINING
    assert not left.exists() and not (folder / "junk").exists()


def test_an_error_while_reading_leaves_no_cache(tmp_path):
    class Broken(Clicks):
        def read(self):
            raise ValueError("row 7 is no session")

    with pytest.raises(ValueError, match="row 7"):
        Broken(tmp_path)
    assert Clicks(tmp_path).reads == 1


def test_many_at_once_read_once(tmp_path):
    barrier, made, errors = threading.Barrier(4), [], []

    def make():
        try:
            barrier.wait()
            made.append(Clicks(tmp_path, "trainval"))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert sum(dataset.reads for dataset in made) == 1
    assert all(dataset.sessions.to_lists() == TRAINING for dataset in made)


def test_training_and_test_part_may_share_memory(tmp_path):
    """A split of one array is the natural way to write read()."""

    class Split(Clicks):
        name = "split"

        def read(self):
            everything = Sessions.from_lists(TRAINING)
            return everything[:15], everything[15:], Vocabulary(range(9))

    class Same(Clicks):
        name = "same"

        def read(self):
            everything = Sessions.from_lists(TRAINING)
            return everything, everything, Vocabulary(range(9))

    assert Split(tmp_path, "test").sessions.to_lists() == TRAINING[15:]
    assert Same(tmp_path, "test").sessions.to_lists() == TRAINING


def test_a_dataset_must_say_how_it_is_read(tmp_path):
    class Nothing(SessionDataset):
        name = "nothing"

    with pytest.raises(NotImplementedError):
        Nothing(tmp_path)


def test_strided_tensors_are_stored(tmp_path):
    class Strided(Clicks):
        name = "strided"

        def read(self):
            sessions = Sessions.from_lists(TRAINING)
            items = torch.stack([sessions.items, sessions.items], 1)[:, 0]
            assert not items.is_contiguous()
            return Sessions(items, sessions.offsets), sessions, Vocabulary(range(9))

    assert Strided(tmp_path, "trainval").sessions.to_lists() == TRAINING


def test_what_is_stored_is_copied_only_where_it_must_be():
    """Of a log as large as half the memory, a copy would not fit."""
    everything = Sessions.from_lists(TRAINING, list(range(20)))
    stored = _tensors_of(training=everything[:15], test=everything[15:])
    places = {name: tensor.data_ptr() for name, tensor in stored.items()}
    for name in ("items", "offsets", "times"):
        assert places[f"training.{name}"] == getattr(everything, name).data_ptr()
    assert places["test.items"] != everything[15:].items.data_ptr()


# The store is mapped, so that all who open it share its pages.


def mapped_file(tensor):
    """The file whose mapping holds all of the tensor's memory, by this process's own maps."""
    start = tensor.data_ptr()
    end = start + tensor.numel() * tensor.element_size()
    for line in Path("/proc/self/maps").read_text().splitlines():
        addresses, _, _, _, _, *path = line.split(maxsplit=5)
        low, high = (int(address, 16) for address in addresses.split("-"))
        if low <= start and end <= high:
            return path[0] if path else None
    return None


@pytest.mark.skipif(not Path("/proc/self/maps").is_file(), reason="there is no /proc/self/maps")
def test_opened_datasets_map_one_file(tmp_path):
    Clicks(tmp_path)
    first, second = Clicks(tmp_path, "trainval"), Clicks(tmp_path, "train")
    store = str(Path(first.processed_paths[0]).resolve())
    for dataset in (first, second):
        next(iter(SessionLoader(dataset, 5, shuffle=True)))
        for name in ("items", "offsets", "times"):
            assert mapped_file(getattr(dataset.sessions, name)) == store
    held = torch.arange(1000)
    assert mapped_file(held) != store


# The report.


class Reported(Clicks):
    name = "reported"

    def read(self):
        self.report = {"rows": 7 + self.shift, "bad_rows": [{"reason": "kein Ärger"}]}
        return super().read()


def test_a_report_is_kept_with_the_sessions(tmp_path):
    for split in ("train", "valid", "test"):
        dataset = Reported(tmp_path, split)
        assert dataset.report == {"rows": 7, "bad_rows": [{"reason": "kein Ärger"}]}
    assert Reported(tmp_path, shift=1).report["rows"] == 8
    assert Reported(tmp_path).report["rows"] == 7
    assert Path(dataset.processed_dir, "report.json").is_file()


def test_without_a_report(tmp_path):
    for _ in range(2):
        dataset = Clicks(tmp_path)
        assert dataset.report == {}
    names = {path.name for path in Path(dataset.processed_dir).iterdir()}
    assert names == {"sessions.safetensors", "vocabulary.json"}


def test_a_report_that_was_not_written_is_not_taken_over(tmp_path):
    """Where the files are made again by a read() that has nothing to say this time."""

    class Once(Clicks):
        name = "once"
        speaks = True

        def read(self):
            if self.speaks:
                self.report = {"rows": 7}
            return super().read()

    folder = Path(Once(tmp_path).processed_dir)
    damage(folder, "sessions cut")
    Once.speaks = False
    with pytest.warns(UserWarning, match="damaged"):
        assert Once(tmp_path).report == {}
    assert not (folder / "report.json").exists()


# The texts.


class Described(Clicks):
    name = "described"
    texts_read = ("grüne Tasse", None, *("tray" for _ in range(ITEMS - 2)))

    def read(self):
        self.texts = list(self.texts_read)
        return super().read()


def test_texts_are_kept_with_the_sessions(tmp_path):
    for split in ("train", "valid", "test"):
        dataset = Described(tmp_path, split)
        assert dataset.texts == list(Described.texts_read) and dataset.text_encoder == "wordllama"
    assert dataset.reads == 0


def test_without_texts(tmp_path):
    """The folder is what it was before there were texts, so older caches stay valid."""
    for _ in range(2):
        assert Clicks(tmp_path).texts is None


@pytest.mark.parametrize("content", ["[", "3", '["one text"]'])
def test_damaged_texts_are_made_again_and_told(tmp_path, content):
    folder = Path(Described(tmp_path).processed_dir)
    (folder / "texts.json").write_text(content)
    with pytest.warns(UserWarning, match="damaged"):
        again = Described(tmp_path)
    assert again.reads == 1 and again.texts == list(Described.texts_read)


def test_texts_of_other_items_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(Described, "texts_read", ("one text",))
    with pytest.raises(ValueError, match="1 texts for 9 items"):
        Described(tmp_path)
