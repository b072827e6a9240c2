"""The baselines, and those with plain counts against loops and known figures on the real files.

The others have their loops in tests/baselines.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

import pytest
import torch
from torch_geometric.data import Batch

from pyg_srgnn.baselines import (
    BASELINES,
    STAN,
    VSKNN,
    ItemKNN,
    Markov,
    Popularity,
    SequentialRules,
    SessionPopularity,
)
from pyg_srgnn.data import SessionLoader, Sessions
from pyg_srgnn.data.graphs import session_graph
from pyg_srgnn.datasets import Diginetica, Yoochoose
from pyg_srgnn.evaluation.loop import evaluate
from tests.reference.names import random_sessions

ITEMS = 12  # the last two are never clicked in training
KINDS = list(BASELINES)
COUNTING = ["popularity", "session_popularity", "markov"]


def places_of(sessions: Sequence[Sequence[int]], num_items: int) -> list[int]:
    """For each item, how many items are more popular; the lower number first among equals."""
    count = Counter(item for session in sessions for item in session)
    order = sorted(range(num_items), key=lambda item: (-count[item], item))
    places = [0] * num_items
    for place, item in enumerate(order):
        places[item] = place
    return places


def followers_of(sessions: Sequence[Sequence[int]]) -> dict[int, Counter[int]]:
    """For each item, how often each other one was clicked right after it."""
    followers: dict[int, Counter[int]] = {}
    for session in sessions:
        for item, after in pairwise(session):
            followers.setdefault(item, Counter())[after] += 1
    return followers


Counts = Mapping[int, tuple[int, int]]


def counts_of(kind: str, prefix: Sequence[int], followers: Mapping[int, Counter[int]]) -> Counts:
    """What a baseline counts for a session, and what decides among equal counts, if not popularity.

    An item of the session with as many clicks as another comes first if it was clicked later.
    """
    if kind == "session_popularity":
        last = {item: position for position, item in enumerate(prefix)}
        return {item: (count, last[item]) for item, count in Counter(prefix).items()}
    if kind == "markov":
        return {item: (count, 0) for item, count in followers.get(prefix[-1], Counter()).items()}
    return {}


def order(counts: Counts, places: Sequence[int]) -> list[int]:
    """All items, the best first."""
    none = (0, 0)
    return sorted(
        range(len(places)),
        key=lambda i: (*(-part for part in counts.get(i, none)), places[i]),
    )


def rank(target: int, counts: Counts, places: Sequence[int]) -> int:
    """Place of the target in that order, 1 the best, without ordering the catalogue."""
    place, of_target = places[target], counts.get(target)
    if of_target is None:
        return 1 + len(counts) + place - sum(places[i] < place for i in counts)
    return 1 + sum(
        count > of_target or (count == of_target and places[i] < place)
        for i, count in counts.items()
    )


def metrics_of(ranks: Sequence[int]) -> dict[str, float]:
    gains = {"hr": lambda r: 1.0, "mrr": lambda r: 1 / r, "ndcg": lambda r: 1 / math.log2(1 + r)}
    return {
        f"{name}@{k}": sum(gain(r) for r in ranks if r <= k) / len(ranks)
        for name, gain in gains.items()
        for k in (5, 10, 20)
    }


TRAINING = random_sessions(20, ITEMS - 2, seed=1, longest=10)
SESSIONS = [*random_sessions(20, ITEMS, seed=2, longest=10), [ITEMS - 1], [0, ITEMS - 2]]


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def baseline(kind):
    return BASELINES[kind].fit(Sessions.from_lists(TRAINING), ITEMS)


def orders(scores: torch.Tensor) -> list[list[int]]:
    return scores.argsort(dim=1, descending=True).tolist()


def test_names():
    kinds = {
        "popularity": Popularity,
        "session_popularity": SessionPopularity,
        "markov": Markov,
        "sequential_rules": SequentialRules,
        "item_knn": ItemKNN,
        "vsknn": VSKNN,
        "stan": STAN,
    }
    assert list(kinds.items()) == list(BASELINES.items())


@pytest.mark.parametrize("kind", COUNTING, indirect=True)
def test_order_of_all_items_equals_plain_loops(kind, baseline):
    places, followers = places_of(TRAINING, ITEMS), followers_of(TRAINING)
    expected = [order(counts_of(kind, session, followers), places) for session in SESSIONS]
    batch = Batch.from_data_list([session_graph(torch.tensor(s)) for s in SESSIONS])
    scores = baseline.scores(batch)
    assert scores.shape == (len(SESSIONS), ITEMS)
    assert orders(scores) == expected


def test_no_two_items_tie(baseline):
    scores = baseline.scores(
        Batch.from_data_list([session_graph(torch.tensor(s)) for s in SESSIONS])
    )
    assert all(row.unique().numel() == ITEMS for row in scores)


def test_a_row_depends_on_its_own_session_alone(baseline):
    """Not its order alone: its scores."""
    graphs = [session_graph(torch.tensor(s)) for s in SESSIONS]
    together = baseline.scores(Batch.from_data_list(graphs))
    assert torch.equal(baseline.scores(Batch.from_data_list(graphs[::-1])).flip(0), together)
    for i, graph in enumerate(graphs):
        assert torch.equal(baseline.scores(graph)[0], together[i])
        assert torch.equal(baseline.scores(Batch.from_data_list([graph]))[0], together[i])


def test_one_batch_does_not_change_the_next(baseline):
    batch = Batch.from_data_list([session_graph(torch.tensor(s)) for s in SESSIONS])
    first = baseline.scores(batch).clone()
    assert torch.equal(baseline.scores(batch), first)


def test_counts():
    """[0, 1] twice and [2, 0]: item 0 three clicks, item 1 two, item 2 one, item 3 none."""
    sessions = Sessions.from_lists([[0, 1], [0, 1], [2, 0]])
    graph = session_graph(torch.tensor([3, 0, 3, 2, 0, 2]))
    assert orders(Popularity.fit(sessions, 4).scores(graph)) == [[0, 1, 2, 3]]
    assert orders(SessionPopularity.fit(sessions, 4).scores(graph)) == [[2, 0, 3, 1]]
    assert orders(Markov.fit(sessions, 4).scores(graph)) == [[0, 1, 2, 3]]
    graph = session_graph(torch.tensor([3, 2, 3, 0]))
    assert orders(SessionPopularity.fit(sessions, 4).scores(graph)) == [[3, 0, 2, 1]]
    assert orders(Markov.fit(sessions, 4).scores(graph)) == [[1, 0, 2, 3]]


def test_the_loops_agree_with_one_another():
    places, followers = places_of(TRAINING, ITEMS), followers_of(TRAINING)
    for kind in COUNTING:
        for session in SESSIONS:
            counts = counts_of(kind, session, followers)
            expected = order(counts, places)
            assert [rank(item, counts, places) for item in expected] == [*range(1, ITEMS + 1)]


def test_no_transition_between_two_sessions():
    markov = Markov.fit(Sessions.from_lists([[0, 1], [2, 3], [3, 3]]), 4)
    scores = markov.scores(Batch.from_data_list([session_graph(torch.tensor([i])) for i in (1, 3)]))
    assert (scores[0] < 1).all(), "nothing ever followed item 1"
    assert (scores[1] >= 1).tolist() == [False, False, False, True]


def test_sessions_of_one_click_have_no_transitions():
    markov = Markov.fit(Sessions.from_lists([[1], [1], [0]]), 3)
    assert orders(markov.scores(session_graph(torch.tensor([0])))) == [[1, 0, 2]]


def test_popularity_stays_below_one_count(baseline, kind):
    """However popular, an item without a count stands behind every item with one."""
    sessions = Sessions.from_lists([[0] * 50, [1, 2]])
    baseline = BASELINES[kind].fit(sessions, 3)
    (scores,) = baseline.scores(session_graph(torch.tensor([1])))
    # Neighbours of sessions hold the clicked item, too.
    best = {"popularity": 0, "session_popularity": 1, "vsknn": 1, "stan": 1}.get(kind, 2)
    assert int(scores.argmax()) == best


def test_items_nobody_clicked_beside_one_another(kind):
    """A session whose items no training session has: popularity alone."""
    baseline = BASELINES[kind].fit(Sessions.from_lists([[0], [1, 2, 1]]), 5)
    (scores,) = orders(baseline.scores(session_graph(torch.tensor([4, 3]))))
    first = [3, 4] if kind == "session_popularity" else []
    assert scores == [*first, 1, 0, 2, *([] if first else [3, 4])]


def test_a_fitted_baseline_survives_its_state_dict(baseline, kind):
    twin = BASELINES[kind].fit(Sessions.from_lists(TRAINING), ITEMS)
    for buffer in twin.buffers():
        buffer.zero_()
    twin.load_state_dict(baseline.state_dict())
    graph = session_graph(torch.tensor([1, 2, 1]))
    assert torch.equal(twin.scores(graph), baseline.scores(graph))


REAL = {"diginetica": Diginetica, "yoochoose1_64": Yoochoose}
# HR@20 and MRR@20 of the whole test sets in percent, measured with another program.
KNOWN = {
    "diginetica": {"popularity": (0.93, None), "session_popularity": (21.09, 13.97)},
    "yoochoose1_64": {"popularity": (7.31, None), "session_popularity": (31.05, 18.73)},
}


@pytest.fixture(scope="module", params=REAL)
def real(request, benchmark_data, tmp_path_factory):
    """Training and test part of a benchmark, and what the loops need."""
    root = tmp_path_factory.mktemp("datasets")
    training, test = (
        REAL[request.param](root, split, mirror=benchmark_data) for split in ("trainval", "test")
    )
    lists = training.sessions.to_lists()
    return training, test, places_of(lists, training.num_items), followers_of(lists)


@pytest.mark.slow
def test_known_figures_on_the_real_files(real):
    """The loops on every test sample; what follows holds the package to the loops."""
    _, test, places, followers = real
    samples = [(s, cut) for s in test.sessions.to_lists() for cut in range(1, len(s))]
    assert len(samples) == len(test)
    for kind, (hr, mrr) in KNOWN[test.name].items():
        found = metrics_of(
            [rank(s[cut], counts_of(kind, s[:cut], followers), places) for s, cut in samples]
        )
        assert 100 * found["hr@20"] == pytest.approx(hr, abs=0.01), kind
        if mrr is not None:
            assert 100 * found["mrr@20"] == pytest.approx(mrr, abs=0.01), kind


@pytest.mark.slow
@pytest.mark.parametrize("kind", COUNTING, indirect=True)
def test_evaluated_on_real_samples_as_plain_loops_do(real, kind):
    training, test, places, followers = real
    index = random.Random(0).sample(range(len(test)), 300)
    baseline = BASELINES[kind].fit(training.sessions, training.num_items)
    found = evaluate(baseline, SessionLoader(test[index], 100), test.num_items)

    sessions, cuts = (part.tolist() for part in test.sessions.samples(torch.tensor(index)))
    expected = []
    for session, cut in zip(sessions, cuts, strict=True):
        clicks = test.sessions[session].tolist()
        expected.append(rank(clicks[cut], counts_of(kind, clicks[:cut], followers), places))
    for name, value in metrics_of(expected).items():
        assert found[name] == pytest.approx(value, abs=1e-12), name
    assert found["tied"] == 0
