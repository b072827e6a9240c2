"""Sessions and Vocabulary."""

import copy
import pickle

import pytest
import torch

from pyg_srgnn.data import Sessions, Vocabulary
from tests.reference.names import random_sessions

LISTS = [[4, 1, 4], [2], [0, 0], [3, 2, 1, 0], [5], [1, 2]]
DAY = 86_400
TIMES = [0, 10, DAY, 3 * DAY, 3 * DAY + 5, 4 * DAY]


def naive_samples(lists):
    """Every prefix and its next click, session by session, the shortest prefix first."""
    return [
        (session, cut, clicks[:cut], clicks[cut])
        for session, clicks in enumerate(lists)
        for cut in range(1, len(clicks))
    ]


def test_lists_there_and_back():
    sessions = Sessions.from_lists(LISTS, TIMES)
    assert sessions.to_lists() == LISTS
    assert sessions.items.tolist() == [i for s in LISTS for i in s]
    assert sessions.offsets.tolist() == [0, 3, 4, 6, 10, 11, 13]
    assert sessions.times.tolist() == TIMES
    for tensor in (sessions.items, sessions.offsets, sessions.times, sessions.lengths):
        assert tensor.dtype == torch.int64


def test_counts():
    sessions = Sessions.from_lists(LISTS)
    assert len(sessions) == 6
    assert sessions.num_clicks == 13
    assert sessions.num_samples == len(naive_samples(LISTS)) == 7
    assert sessions.lengths.tolist() == [len(s) for s in LISTS]
    assert sessions.times is None


def test_stored_once():
    """16 bytes a click at the most, and nothing per prefix."""
    sessions = Sessions.from_lists(random_sessions(200, 30))
    tensors = [value for value in vars(sessions).values() if isinstance(value, torch.Tensor)]
    assert sum(t.numel() * t.element_size() for t in tensors) <= 16 * sessions.num_clicks


def test_one_session():
    sessions = Sessions.from_lists(LISTS)
    for i, clicks in enumerate(LISTS):
        assert sessions[i].tolist() == clicks
        assert sessions[i - len(LISTS)].tolist() == clicks
    assert [s.tolist() for s in sessions] == LISTS


@pytest.mark.parametrize("index", [6, -7, 100])
def test_no_such_session(index):
    with pytest.raises(IndexError, match=str(index)):
        Sessions.from_lists(LISTS)[index]


@pytest.mark.parametrize(
    "part",
    [
        slice(None),
        slice(1, 4),
        slice(2, None),
        slice(-2, None),
        slice(None, -1),
        slice(3, 3),
        slice(4, 2),
        slice(0, 99),
    ],
    ids=str,
)
def test_slices(part):
    sessions = Sessions.from_lists(LISTS, TIMES)[part]
    assert isinstance(sessions, Sessions)
    assert sessions.to_lists() == LISTS[part]
    assert sessions.times.tolist() == TIMES[part]
    assert sessions.offsets[0] == 0
    assert sessions.num_samples == len(naive_samples(LISTS[part]))
    assert Sessions.from_lists(LISTS)[part].times is None


@pytest.mark.parametrize("step", [2, -1])
def test_slices_have_no_step(step):
    with pytest.raises(ValueError, match="step"):
        Sessions.from_lists(LISTS)[::step]


@pytest.mark.parametrize("lists", [LISTS, random_sessions(40, 9), [[1]], [[1], [2], [3, 4], [5]]])
def test_samples_against_prefixes(lists):
    sessions = Sessions.from_lists(lists)
    expected = naive_samples(lists)
    session, cut = sessions.samples(torch.arange(sessions.num_samples))
    assert session.dtype == cut.dtype == torch.int64
    found = [
        (s, c, sessions[s][:c].tolist(), int(sessions[s][c]))
        for s, c in zip(session.tolist(), cut.tolist(), strict=True)
    ]
    assert found == expected


def test_samples_in_any_order_and_repeated():
    sessions = Sessions.from_lists(LISTS)
    pairs = [(s, c) for s, c, _, _ in naive_samples(LISTS)]
    session, cut = sessions.samples(torch.tensor([6, 0, 3, 3]))
    found = list(zip(session.tolist(), cut.tolist(), strict=True))
    assert found == [pairs[i] for i in (6, 0, 3, 3)]
    session, cut = sessions.samples(torch.tensor([], dtype=torch.int64))
    assert session.numel() == cut.numel() == 0


@pytest.mark.parametrize("number", [7, -1, 1000])
def test_no_such_sample(number):
    with pytest.raises(IndexError, match=str(number)):
        Sessions.from_lists(LISTS).samples(torch.tensor([0, number]))


def test_no_sessions():
    sessions = Sessions.from_lists([])
    assert len(sessions) == sessions.num_clicks == sessions.num_samples == 0
    assert sessions.to_lists() == []
    with pytest.raises(IndexError):
        sessions[0]


@pytest.mark.parametrize(
    ("items", "offsets", "times"),
    [
        ([1, 2, 3], [1, 3], None),
        ([1, 2, 3], [0, 2], None),
        ([1, 2, 3], [0, 4], None),
        ([1, 2, 3], [0, 2, 1, 3], None),
        ([1, 2, 3], [0, 2, 2, 3], None),
        ([1, 2, 3], [], None),
        ([1, 2, 3], [0, 3], [1, 2]),
        ([[1, 2, 3]], [0, 3], None),
    ],
)
def test_parts_that_do_not_belong_together(items, offsets, times):
    with pytest.raises(ValueError, match="Sessions"):
        Sessions(
            torch.tensor(items),
            torch.tensor(offsets, dtype=torch.int64),
            None if times is None else torch.tensor(times),
        )


def test_an_empty_session_is_refused():
    with pytest.raises(ValueError, match="1"):
        Sessions.from_lists([[1], [], [2]])


@pytest.mark.parametrize("part", [0.1, 0.2, 0.34, 0.5, 0.9])
def test_the_last_fraction(part):
    lists = random_sessions(50, 9)
    sessions = Sessions.from_lists(lists, list(range(50)))
    first, last = sessions.split_last(part)
    assert len(last) == pytest.approx(50 * part, abs=1)
    assert first.to_lists() + last.to_lists() == lists
    assert first.times.tolist() + last.times.tolist() == list(range(50))


def test_the_last_days():
    """The last session is at day 4: one day before that splits between day 3 + 5 s and itself."""
    sessions = Sessions.from_lists(LISTS, TIMES)
    first, last = sessions.split_last("1d")
    limit = 4 * DAY - DAY
    assert all(t <= limit for t in first.times)
    assert all(t > limit for t in last.times)
    assert first.to_lists() + last.to_lists() == LISTS
    assert len(sessions.split_last("3d")[0]) == 3


@pytest.mark.parametrize("part", [0.0, 1.0, -0.5, 1.5, 0.01])
def test_fractions_that_split_nothing(part):
    with pytest.raises(ValueError):
        Sessions.from_lists(LISTS, TIMES).split_last(part)


@pytest.mark.parametrize("part", ["100d", "0d", "7", "d", "1w", "-1d", ""])
def test_days_that_split_nothing(part):
    with pytest.raises(ValueError):
        Sessions.from_lists(LISTS, TIMES).split_last(part)


def test_days_need_times():
    with pytest.raises(ValueError, match="times"):
        Sessions.from_lists(LISTS).split_last("1d")


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))])
@pytest.mark.parametrize("times", [TIMES, None])
def test_copies(clone, times):
    sessions = Sessions.from_lists(LISTS, times)
    other = clone(sessions)
    assert other == sessions
    assert other.to_lists() == LISTS
    assert (other.times is None) == (times is None)
    other.items[0] = 3
    assert sessions.items[0] == 4
    assert other != sessions


def test_equality():
    sessions = Sessions.from_lists(LISTS, TIMES)
    assert sessions == Sessions.from_lists(LISTS, TIMES)
    assert sessions != Sessions.from_lists(LISTS)
    assert sessions != Sessions.from_lists([[i for s in LISTS for i in s]])
    assert sessions != "sessions"


def test_repr_of_sessions():
    assert repr(Sessions.from_lists(LISTS)) == "Sessions(6, clicks=13, samples=7)"


def test_repr_of_a_vocabulary():
    assert repr(Vocabulary(["b", "a"])) == "Vocabulary(2)"


@pytest.mark.parametrize("ids", [[30, 10, 20], ["b", "a", 'ü, "quoted" \\ 日本'], []])
def test_vocabulary(ids, tmp_path):
    vocabulary = Vocabulary(ids)
    assert len(vocabulary) == len(ids)
    assert vocabulary.encode(ids) == list(range(len(ids)))
    assert vocabulary.decode(range(len(ids))) == ids
    assert all(i in vocabulary for i in ids)
    vocabulary.save(tmp_path / "vocabulary.json")
    loaded = Vocabulary.load(tmp_path / "vocabulary.json")
    assert loaded == vocabulary
    assert loaded.decode(range(len(ids))) == ids
    assert pickle.loads(pickle.dumps(vocabulary)) == vocabulary
    assert copy.deepcopy(vocabulary) == vocabulary


def test_unknown_ids():
    vocabulary = Vocabulary([30, 10, 20])
    assert vocabulary.encode([10, 99, 10, "10"]) == [1, -1, 1, -1]
    assert 99 not in vocabulary
    assert "10" not in vocabulary
    assert vocabulary.encode(iter([20])) == [2]


def test_vocabularies_compare_in_order():
    assert Vocabulary([1, 2]) == Vocabulary((1, 2))
    assert Vocabulary([1, 2]) != Vocabulary([2, 1])
    assert Vocabulary([1, 2]) != Vocabulary(["1", "2"])
    assert Vocabulary([1, 2]) != [1, 2]


@pytest.mark.parametrize(
    ("ids", "named"), [([1, 2, 1], "1"), (["a", "a"], "a"), ([1, "a"], "int"), ([1.5], "float")]
)
def test_vocabularies_that_cannot_be(ids, named):
    with pytest.raises((ValueError, TypeError), match=named):
        Vocabulary(ids)


def test_index_outside_the_vocabulary():
    for index in (3, -1):
        with pytest.raises(IndexError):
            Vocabulary([30, 10, 20]).decode([index])
