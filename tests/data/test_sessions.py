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


def test_lists_of_raw_ids():
    vocabulary = Vocabulary(["a", "b", "c"])
    sessions = Sessions.from_lists([["c", "a"], ["b"]], [1, 2], vocabulary)
    assert sessions == Sessions.from_lists([[2, 0], [1]], [1, 2])
    assert sessions.to_lists(vocabulary) == [["c", "a"], ["b"]]


@pytest.mark.parametrize(
    ("lists", "vocabulary", "said"),
    [
        ([[0, 1], [2, -1]], None, ["click 3", "-1", "at least 0"]),
        ([["a"], ["x", "a", "y"]], Vocabulary(["a"]), ["click 1", "'x'", "vocabulary", "1 more"]),
    ],
)
def test_lists_of_what_is_no_item(lists, vocabulary, said):
    with pytest.raises(ValueError) as error:
        Sessions.from_lists(lists, vocabulary=vocabulary)
    assert all(word in str(error.value) for word in said)


def test_many_sessions_of_one_click_between_samples():
    """Runs longer than the distance of the marks that samples are searched by."""
    lists = [[1, 2]] + [[3]] * 200 + [[4, 5, 6]] + [[7]] * 64 + [[8, 9]] + [[1]] * 130
    sessions = Sessions.from_lists(lists)
    session, cut = sessions.samples(torch.tensor([3, 2, 1, 0]))
    assert session.tolist() == [266, 201, 201, 0] and cut.tolist() == [1, 2, 1, 1]


def test_nothing_is_copied():
    """The arrays may be a mapped file larger than memory."""
    sessions = Sessions.from_lists(random_sessions(40, 9), list(range(40)))
    same = Sessions(sessions.items, sessions.offsets, sessions.times)
    first, last = sessions.split_last(0.25)
    for part in (same, first):
        for name in ("items", "offsets", "times"):
            assert getattr(part, name).data_ptr() == getattr(sessions, name).data_ptr()
    start = sum(map(len, first.to_lists()))
    assert last.items.data_ptr() == sessions.items[start:].data_ptr()
    assert last.times.data_ptr() == sessions.times[30:].data_ptr()


# A later log.


def test_append():
    log = Sessions.from_lists(LISTS, TIMES)
    for cut in range(len(LISTS) + 1):
        both = log[:cut].append(log[cut:])
        assert both == log
        assert both.num_samples == log.num_samples
    untimed = Sessions.from_lists(LISTS[:2]).append(Sessions.from_lists(LISTS[2:]))
    assert untimed == Sessions.from_lists(LISTS)


def test_append_when_both_have_the_same_time():
    log = Sessions.from_lists([[1, 2]], [10])
    assert log.append(log).times.tolist() == [10, 10]


def test_append_when_times_run_backwards():
    first, second = Sessions.from_lists([[1], [2]], [5, 20]), Sessions.from_lists([[3]], [19])
    with pytest.raises(ValueError, match=r"session 2 .* time 19, before 20"):
        first.append(second)


@pytest.mark.parametrize("timed", [0, 1])
def test_append_when_only_one_has_times(timed):
    logs = [Sessions.from_lists([[1]], [5] if timed == i else None) for i in range(2)]
    with pytest.raises(ValueError, match="both or neither"):
        logs[0].append(logs[1])


# The last 1/fraction of the samples.


def naive_recent(lists, fraction):
    """SR-GNN's script: the samples as it lists them, their tail, and the sessions those make."""
    listed = [(s, cut) for s, clicks in enumerate(lists) for cut in range(len(clicks) - 1, 0, -1)]
    kept = listed[len(listed) - len(listed) // fraction :]
    longest = {}
    for session, cut in kept:
        longest[session] = max(cut, longest.get(session, 0))
    return [lists[session][: cut + 1] for session, cut in longest.items()], len(kept)


@pytest.mark.parametrize("lists", [random_sessions(60, 9, longest=12), LISTS, [[1, 2, 3, 4]]])
@pytest.mark.parametrize("fraction", [1, 2, 3, 4, 7, 64, 1000])
def test_recent_against_the_list_of_samples(lists, fraction):
    sessions = Sessions.from_lists(lists, list(range(len(lists))))
    recent = sessions.recent(fraction)
    expected, count = naive_recent(lists, fraction)
    assert recent.num_samples == count == sessions.num_samples // fraction
    assert [s for s in recent.to_lists() if len(s) > 1] == expected
    assert recent.times.tolist() == list(range(len(lists)))[len(lists) - len(recent) :]


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_recent_cuts_at_every_place(count):
    sessions = Sessions.from_lists([[1, 2, 3], [4, 5, 6, 7], [8, 9], [0] * 40][-count:])
    for fraction in range(1, sessions.num_samples + 1):
        expected, samples = naive_recent(sessions.to_lists(), fraction)
        recent = sessions.recent(fraction)
        assert recent.to_lists() == expected and recent.num_samples == samples
        assert recent.times is None


@pytest.mark.parametrize("fraction", [0, -1, 0.5, 2.0, "4"])
def test_recent_of_no_fraction(fraction):
    with pytest.raises(ValueError, match="whole number"):
        Sessions.from_lists(LISTS).recent(fraction)


# More ids.


@pytest.mark.parametrize(
    ("ids", "more", "expected"),
    [
        ([30, 10], [20, 10, 5, 20], [30, 10, 20, 5]),
        (["b", "a"], ["a", "c"], ["b", "a", "c"]),
        ([], ["x", "x"], ["x"]),
        ([1], [], [1]),
    ],
)
def test_a_vocabulary_grows_at_its_end(ids, more, expected):
    vocabulary = Vocabulary(ids)
    grown = vocabulary.extend(iter(more))
    assert grown.ids == expected
    assert grown.encode(ids) == vocabulary.encode(ids) == list(range(len(ids)))
    assert vocabulary.ids == ids, "the first one has changed"


def test_a_vocabulary_keeps_its_type():
    with pytest.raises(ValueError, match="int, str"):
        Vocabulary([1, 2]).extend(["3"])


def test_an_id_is_looked_up_only_when_asked_for():
    """A million ids must not be hashed into a table by those who only train."""
    vocabulary = Vocabulary(range(5))
    assert "_index" not in vars(vocabulary)
    assert 3 in vocabulary and "_index" in vars(vocabulary)
