"""The generator's stated distribution, its samples and its optimum, against plain loops."""

import itertools
import math

import pytest
import torch

from pyg_srgnn.baselines import Markov, Popularity, SessionPopularity
from pyg_srgnn.data.graphs import session_graph, session_graphs
from pyg_srgnn.datasets import generator as module
from pyg_srgnn.datasets.generator import SessionGenerator

TINY = {"num_items": 7, "num_interests": 3, "interest_size": 4, "num_successors": 2}
SETTINGS = [
    TINY,
    {**TINY, "repeat": 0.0, "follow": 0.6, "recall": 0.0},
    {**TINY, "repeat": 0.2, "follow": 0.3, "recall": 0.4, "noise": 0.1, "skew": 2.0},
    {**TINY, "repeat": 0.0, "follow": 0.0, "recall": 0.0, "noise": 1.0, "num_interests": 1},
    {**TINY, "interest_size": 7, "num_successors": 6, "skew": 0.0},
    {**TINY, "interest_size": 2, "num_successors": 1, "num_interests": 5, "recall": 0.4},
    {**TINY, "interest_size": 5, "num_successors": 1, "repeat": 0.7, "follow": 0.0, "noise": 0.01},
]


# The law once more, written from the docstring in plain Python: its tables are the rings, the
# popularity and the prior, everything else is derived here. Of a smaller catalogue, ``sold`` items
# are on sale: a part spreads its weight over those of them that it would pick from.


def naive_given_interest(generator, prefix, z, sold=None):
    """The distribution of the click after the prefix under interest z, a list of V numbers."""
    sold = generator.num_items if sold is None else sold
    popularity = generator.popularity.tolist()
    ring = generator.ring[z].tolist()
    follow, recall = (hop.weight for hop in generator._hops)
    successors = len(generator._steps)
    result = [0.0] * generator.num_items

    def spread(weight, items):
        """Give the weight to those on sale; what is given, 0 if none is."""
        items = [v for v in items if v < sold]
        total = sum(popularity[v] for v in items)
        for v in items:
            result[v] += weight * popularity[v] / total
        return weight if items else 0.0

    def after(place):
        return [ring[(place + step) % len(ring)] for step in range(1, successors + 1)]

    rest = 1.0 - generator.noise
    spread(generator.noise, range(generator.num_items))
    if prefix:
        rest -= generator.repeat
        for item in prefix:
            result[item] += generator.repeat / len(prefix)
    if prefix and prefix[-1] in ring:
        rest -= spread(follow, after(ring.index(prefix[-1])))
    if len(prefix) > 1 and prefix[-2] in ring:
        rest -= spread(recall, after(ring.index(prefix[-2]) + len(ring) // 2))
    spread(rest, ring)
    return result


def naive_posterior(generator, prefix, sold=None):
    joint = generator.prior.tolist()
    for z in range(generator.num_interests):
        for t, click in enumerate(prefix):
            joint[z] *= naive_given_interest(generator, prefix[:t], z, sold)[click]
    return [p / sum(joint) for p in joint]


def naive_next(generator, prefix, sold=None):
    posterior = naive_posterior(generator, prefix, sold)
    interests = range(generator.num_interests)
    given = [naive_given_interest(generator, prefix, z, sold) for z in interests]
    return [
        sum(p * law[v] for p, law in zip(posterior, given, strict=True))
        for v in range(generator.num_items)
    ]


def some_prefixes(num_items, seed=0):
    """Prefixes of 0 to 9 clicks with repeats: uniform ones, and ones of two items only."""
    draw = torch.Generator().manual_seed(seed)
    result = [[]] + [[item] for item in range(num_items)]
    for length in range(2, 10):
        for kinds in (num_items, 2):
            items = torch.randperm(num_items, generator=draw)[:kinds]
            result.append(items[torch.randint(kinds, (length,), generator=draw)].tolist())
    return result


def padded(prefixes, padding=0):
    lengths = torch.tensor([len(prefix) for prefix in prefixes])
    clicks = torch.full((len(prefixes), int(lengths.max())), padding)
    for row, prefix in enumerate(prefixes):
        clicks[row, : len(prefix)] = torch.tensor(prefix, dtype=torch.long)
    return clicks, lengths


def prefixes_of(sessions):
    """Every sample's prefix and target, by loops."""
    lists = sessions.to_lists()
    return [(s[:cut], s[cut]) for s in lists for cut in range(1, len(s))]


# Sampling


def test_same_seed_same_sessions():
    first, again = (SessionGenerator(**TINY, seed=5).sample(50) for _ in range(2))
    assert first == again
    assert first.items.dtype == first.offsets.dtype == torch.int64
    assert first != SessionGenerator(**TINY, seed=6).sample(50)
    assert first != SessionGenerator(**TINY, seed=5).sample(50, stream=1)


def test_sessions_are_the_same_on_every_machine():
    """Pinned: published figures rest on these sessions."""
    lists = SessionGenerator(**TINY, stop=0.5, seed=1).sample(4).to_lists()
    assert lists == [[2, 2, 2], [4, 0], [5, 0, 0, 0], [6, 1, 6, 1, 5]]


def test_more_sessions_keep_the_first_ones(monkeypatch):
    generator = SessionGenerator(**TINY)
    many = generator.sample(50)
    assert many[:20] == generator.sample(20)
    monkeypatch.setattr(module, "_SESSIONS_AT_ONCE", 7)
    assert generator.sample(50) == many


def test_sessions_from_any_one_on(monkeypatch):
    generator = SessionGenerator(**TINY)
    many = generator.sample(50, stream=3)
    assert generator.sample(30, stream=3, first=20) == many[20:]
    monkeypatch.setattr(module, "_SESSIONS_AT_ONCE", 7)
    assert generator.sample(29, stream=3, first=13) == many[13:42]


def test_lengths_follow_their_law():
    lengths = SessionGenerator(**TINY, stop=0.3, max_length=5).sample(20_000).lengths
    expected = torch.tensor([0.3, 0.7 * 0.3, 0.49 * 0.3, 0.343]).double()
    found = torch.bincount(lengths, minlength=6)[2:] / 20_000
    error = (expected * (1 - expected) / 20_000).sqrt()
    assert ((found - expected).abs() < 4 * error).all()
    assert (SessionGenerator(**TINY, stop=1).sample(100).lengths == 2).all()
    assert (SessionGenerator(**TINY, stop=1e-12).sample(100).lengths == 20).all()


def test_lengths_do_not_depend_on_clicks():
    """Another law of the lengths cuts the same clicks elsewhere."""
    long = SessionGenerator(**TINY, stop=0.05).sample(200).to_lists()
    short = SessionGenerator(**TINY, stop=0.5).sample(200).to_lists()
    assert long != short
    for a, b in zip(long, short, strict=True):
        n = min(len(a), len(b))
        assert a[:n] == b[:n]


def test_structure_is_what_the_docstring_says():
    generator = SessionGenerator(num_items=50, num_interests=6, interest_size=20, skew=1.0)
    assert generator.popularity.sum() == pytest.approx(1)
    order = generator.popularity.sort(descending=True).values
    torch.testing.assert_close(order[0] / order, torch.arange(1, 51).double())
    torch.testing.assert_close(generator.prior[0] / generator.prior, torch.arange(1, 7).double())
    assert all(len(set(ring)) == 20 for ring in generator.ring.tolist())
    shared = torch.bincount(generator.ring.flatten(), minlength=50)
    assert (shared > 1).sum() > 25, "interests must overlap"


# The exact distribution


@pytest.mark.parametrize("settings", SETTINGS)
def test_distribution_equals_plain_loops(settings):
    generator = SessionGenerator(**settings)
    prefixes = some_prefixes(generator.num_items)
    found = generator.probabilities(*padded(prefixes))
    expected = torch.tensor([naive_next(generator, p) for p in prefixes], dtype=torch.float64)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(found.sum(1), torch.ones(len(found)).double(), rtol=0, atol=1e-12)
    posterior = torch.tensor([naive_posterior(generator, p) for p in prefixes]).double()
    torch.testing.assert_close(generator.posterior(*padded(prefixes)), posterior, rtol=0, atol=1e-6)


def test_distribution_of_a_larger_law_sums_to_one():
    generator = SessionGenerator()
    sessions = generator.sample(100)
    prefixes = [prefix for prefix, _ in prefixes_of(sessions)]
    found = generator.probabilities(*padded(prefixes))
    assert (found > 0).all()
    torch.testing.assert_close(found.sum(1), torch.ones(len(found)).double(), rtol=0, atol=1e-12)


def test_padding_and_neighbours_do_not_matter():
    generator = SessionGenerator(**TINY)
    prefixes = some_prefixes(7)
    together = generator.probabilities(*padded(prefixes))
    torch.testing.assert_close(generator.probabilities(*padded(prefixes, 3)), together)
    for row, prefix in enumerate(prefixes):
        alone = generator.probabilities(*padded([prefix]))[0]
        torch.testing.assert_close(alone, together[row], rtol=0, atol=1e-15)


def test_a_long_session_does_not_underflow():
    generator = SessionGenerator(max_length=150, stop=1e-12)
    clicks = generator.sample(2).items.view(2, 150)
    found = generator.probabilities(clicks, torch.tensor([150, 150]))
    torch.testing.assert_close(found.sum(1), torch.ones(2).double())
    assert generator.posterior(clicks, torch.tensor([150, 150])).max(1).values.min() > 0.999


def test_scores_are_the_probabilities_of_session_graphs():
    generator = SessionGenerator(**TINY)
    prefixes = [prefix for prefix in some_prefixes(7) if prefix]
    expected = generator.probabilities(*padded(prefixes))
    items = torch.tensor([item for prefix in prefixes for item in prefix])
    batch = session_graphs(items, torch.tensor([len(prefix) for prefix in prefixes]))
    torch.testing.assert_close(generator.scores(batch), expected)
    for row, prefix in enumerate(prefixes):
        alone = generator.scores(session_graph(torch.tensor(prefix)))
        torch.testing.assert_close(alone, expected[row : row + 1])


# A smaller catalogue


@pytest.mark.parametrize("settings", SETTINGS)
def test_the_law_of_the_items_on_sale_equals_plain_loops(settings):
    generator = SessionGenerator(**{**settings, "num_interests": 2}, seed=3)
    assert generator.on_sale(7) is generator
    for sold in range(max(2, generator.fewest), 7):
        law = generator.on_sale(sold)
        prefixes = some_prefixes(sold)
        found = law.probabilities(*padded(prefixes))
        assert law.num_items == 7 and not found[:, sold:].any()
        expected = torch.tensor(
            [naive_next(generator, p, sold) for p in prefixes], dtype=torch.float64
        )
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
        assert int(law.sample(500).items.max()) < sold


def test_some_hops_lead_nowhere():
    """The settings above would not tell whether a part without items leaves its weight."""
    generator = SessionGenerator(**{**TINY, "num_interests": 2}, seed=3)
    law = generator.on_sale(generator.fewest)
    assert any((hop.origin < 0).logical_and(law.place >= 0).any() for hop in law._hops)


def test_a_smaller_catalogue_needs_an_item_of_every_interest():
    generator = SessionGenerator(**TINY)
    fewest = generator.fewest
    assert all(min(ring) < fewest for ring in generator.ring.tolist())
    with pytest.raises(ValueError, match=rf"'count' must be a whole number from {fewest} to 7"):
        generator.on_sale(fewest - 1)


def test_renumbered_items_keep_their_law():
    generator = SessionGenerator(**TINY)
    order = torch.tensor([3, 1, 6, 0, 5, 2, 4])
    law = generator.renumbered(order)
    number = order.argsort()
    clicks, lengths = padded(some_prefixes(7))
    expected = generator.probabilities(clicks, lengths)
    found = law.probabilities(number[clicks], lengths)
    torch.testing.assert_close(found[:, number], expected, rtol=0, atol=1e-15)
    for z, ring in enumerate(law.ring.tolist()):
        assert law.place[z, ring].tolist() == [0, 1, 2, 3]


# Samples follow the distribution


def chi_square(truth, sessions):
    """Standardised chi-square of first clicks, and clicks after one or two, under ``truth``."""
    lists = sessions.to_lists()
    seen = {}
    for session in lists:
        for cut in range(min(3, len(session))):
            counts = seen.setdefault(tuple(session[:cut]), [0] * truth.num_items)
            counts[session[cut]] += 1
    prefixes = [list(prefix) for prefix in seen]
    on_sale = truth.popularity > 0
    laws = truth.probabilities(*padded(prefixes))[:, on_sale]
    counts = torch.tensor(list(seen.values())).double()[:, on_sale]
    expected = laws * counts.sum(1, keepdim=True)
    enough = (expected >= 5).all(1)
    assert enough.sum() > on_sale.sum()
    counts, expected = counts[enough], expected[enough]
    freedom = counts.numel() - len(counts)
    statistic = ((counts - expected) ** 2 / expected).sum()
    return float(statistic - freedom) / math.sqrt(2 * freedom)


PARTS = {"repeat": 0.2, "follow": 0.3, "recall": 0.25, "noise": 0.05}  # the defaults


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, {"recall": 0.4, "noise": 0.1, "skew": 0.0}])
def test_samples_follow_the_distribution(settings):
    settings = {**TINY, **PARTS, "stop": 0.4, **settings}
    sessions = SessionGenerator(**settings).sample(40_000)
    assert abs(chi_square(SessionGenerator(**settings), sessions)) < 4
    # The bound can fail: a law with half of one part is told from the true one.
    for part in PARTS:
        wrong = SessionGenerator(**{**settings, part: settings[part] / 2})
        assert chi_square(wrong, sessions) > 4, part


LONG = {"num_items": 30, "num_interests": 5, "interest_size": 12, "num_successors": 3}


def events_of(truth, samples):
    """What may happen at each sample's target, as sets of items [B, V] by plain loops."""
    events = {name: torch.zeros(len(samples), truth.num_items) for name in ("again", "F", "G")}
    for row, (prefix, _) in enumerate(samples):
        events["again"][row, prefix] = 1
        for ring in truth.ring.tolist():
            for name, item, shift in (
                ("F", prefix[-1], 1),
                ("G", prefix[max(-2, -len(prefix))], 1 + len(ring) // 2),
            ):
                if item in ring:
                    place = ring.index(item) + shift
                    events[name][row, (3 * ring)[place : place + len(truth._steps)]] = 1
    for item in range(truth.num_items):
        events[f"item {item}"] = torch.eye(truth.num_items)[item].expand(len(samples), -1)
    return events


def gaps(truth, samples, events):
    """Standardised gaps between how often each event happened and how often it should have.

    Given its prefix every target is one draw, so the variances of a session's samples add up.
    """
    law = truth.probabilities(*padded([prefix for prefix, _ in samples]))
    target = torch.tensor([target for _, target in samples])[:, None]
    result = {}
    for name, event in events.items():
        chance = (law * event).sum(1)
        gap = event.gather(1, target).sum() - chance.sum()
        result[name] = abs(float(gap / (chance * (1 - chance)).sum().sqrt()))
    return result


@pytest.mark.slow
def test_samples_of_a_smaller_catalogue_follow_its_distribution():
    whole = SessionGenerator(**TINY, **PARTS, stop=0.4)
    sessions = whole.on_sale(6).sample(40_000)
    assert abs(chi_square(whole.on_sale(6), sessions)) < 4
    assert chi_square(whole, sessions) > 4


@pytest.mark.slow
def test_samples_of_long_sessions_follow_the_distribution():
    settings = {**LONG, **PARTS, "noise": 0.15}
    truth = SessionGenerator(**settings)
    samples = prefixes_of(truth.sample(1500))
    events = events_of(truth, samples)
    assert max(gaps(truth, samples, events).values()) < 4
    for part in PARTS:
        wrong = SessionGenerator(**{**settings, part: settings[part] / 2})
        assert max(gaps(wrong, samples, events).values()) > 4, part


# The optimum


def test_optimum_equals_brute_force(monkeypatch):
    generator = SessionGenerator(
        num_items=5, num_interests=2, interest_size=3, num_successors=2, max_length=5
    )
    sessions = generator.sample(12)
    gains = {
        "hr": lambda rank: 1.0,
        "mrr": lambda rank: 1 / rank,
        "ndcg": lambda rank: 1 / math.log2(rank + 1),
    }
    laws = [naive_next(generator, prefix) for prefix, _ in prefixes_of(sessions)]
    expected = {
        f"{name}@{k}": sum(
            max(
                sum(law[v] * gain(rank) for rank, v in enumerate(order[:k], start=1))
                for order in itertools.permutations(range(5))
            )
            for law in laws
        )
        / len(laws)
        for name, gain in gains.items()
        for k in (1, 2, 4, 9)
    }
    assert generator.optimum(sessions, (1, 2, 4, 9)) == pytest.approx(expected, abs=1e-12)
    monkeypatch.setattr(module, "_CELLS_AT_ONCE", 35)
    assert generator.optimum(sessions, (1, 2, 4, 9)) == pytest.approx(expected, abs=1e-12)


def test_optimum_does_not_look_at_targets():
    generator = SessionGenerator(**TINY, stop=1)
    sessions = generator.sample(20)
    changed = generator.sample(20)
    changed.items[1::2] = 0
    assert generator.optimum(changed) == generator.optimum(sessions)


def test_optimum_by_target_equals_brute_force(monkeypatch):
    generator = SessionGenerator(**TINY, max_length=5)
    sessions = generator.sample(12)
    groups = {"all": range(7), "some": (0, 5), "one": (6,)}
    members = {name: torch.isin(torch.arange(7), torch.tensor(g)) for name, g in groups.items()}
    laws = [naive_next(generator, prefix) for prefix, _ in prefixes_of(sessions)]
    orders = [sorted(range(7), key=law.__getitem__, reverse=True) for law in laws]
    expected = {}
    for name, group in groups.items():
        targets = sum(law[v] for law in laws for v in group)
        for k in (1, 3):
            best = [
                (rank, law[v])
                for law, order in zip(laws, orders, strict=True)
                for rank, v in enumerate(order[:k], start=1)
                if v in group
            ]
            expected[name, f"hr@{k}"] = sum(p for _, p in best) / targets
            expected[name, f"mrr@{k}"] = sum(p / rank for rank, p in best) / targets
            expected[name, f"ndcg@{k}"] = sum(p / math.log2(1 + rank) for rank, p in best) / targets
    monkeypatch.setattr(module, "_CELLS_AT_ONCE", 35)
    found = generator.optimum_by_target(sessions, members, (1, 3))
    assert {(n, m): v for n, part in found.items() for m, v in part.items()} == pytest.approx(
        expected, abs=1e-12
    )
    assert found["all"] == pytest.approx(generator.optimum(sessions, (1, 3)), abs=1e-12)


def test_a_group_without_an_item_on_sale_has_no_optimum():
    law = SessionGenerator(**TINY).on_sale(6)
    groups = {"sold": torch.arange(7) < 6, "not": torch.arange(7) == 6}
    found = law.optimum_by_target(law.sample(5), groups)
    assert found["sold"] and found["not"] == {}


def test_no_scorer_is_expected_above_the_optimum():
    generator = SessionGenerator(num_items=100, num_interests=5, interest_size=40)
    training, test = generator.sample(2000), generator.sample(100, stream=1)
    optimum = generator.optimum(test, (1, 5, 20))
    prefixes = [prefix for prefix, _ in prefixes_of(test)]
    law = generator.probabilities(*padded(prefixes))
    batch = session_graphs(
        torch.tensor([item for prefix in prefixes for item in prefix]),
        torch.tensor([len(prefix) for prefix in prefixes]),
    )
    scorers = [cls.fit(training, 100) for cls in (Popularity, SessionPopularity, Markov)]
    all_scores = [scorer.scores(batch) for scorer in scorers]
    # Near misses, too: the truth with a little noise, and with the prior for the posterior.
    draw = torch.Generator().manual_seed(0)
    all_scores.append(law * torch.rand(law.shape, generator=draw).add(1))
    generator.posterior = lambda clicks, lengths: generator.prior.repeat(len(clicks), 1)
    all_scores.append(generator.probabilities(*padded(prefixes)))
    for scores in all_scores:
        best = law.gather(1, scores.argsort(dim=1, descending=True)).mean(0)
        rank = torch.arange(1, 101)
        for k in (1, 5, 20):
            assert float(best[:k].sum()) < optimum[f"hr@{k}"]
            assert float((best / rank)[:k].sum()) < optimum[f"mrr@{k}"]
            assert float((best / (rank + 1).log2())[:k].sum()) < optimum[f"ndcg@{k}"]


# Arguments


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_items": 1}, r"'num_items' must be a whole number >= 2 \(got 1\)"),
        ({"num_items": 2.0}, r"'num_items' must be a whole number >= 2 \(got 2.0\)"),
        ({"num_interests": 0}, r"'num_interests' must be a whole number >= 1 \(got 0\)"),
        ({"num_interests": True}, r"'num_interests' must be a whole number >= 1 \(got True\)"),
        ({"interest_size": 9}, r"'interest_size' must be a whole number from 2 to 7 \(got 9\)"),
        ({"num_successors": 4}, r"'num_successors' must be a whole number from 1 to 3 \(got 4\)"),
        ({"max_length": 1}, r"'max_length' must be a whole number >= 2 \(got 1\)"),
        ({"seed": -1}, r"'seed' must be a whole number >= 0 \(got -1\)"),
        ({"repeat": -0.1}, r"'repeat' must be a number from 0 to 1 \(got -0.1\)"),
        ({"follow": 1.5}, r"'follow' must be a number from 0 to 1 \(got 1.5\)"),
        ({"recall": math.nan}, r"'recall' must be a number from 0 to 1 \(got nan\)"),
        ({"recall": "0.2"}, r"'recall' must be a number from 0 to 1 \(got '0.2'\)"),
        ({"noise": 0}, r"'noise' must be a number > 0 and <= 1 \(got 0\)"),
        ({"stop": 0.0}, r"'stop' must be a number > 0 and <= 1 \(got 0.0\)"),
        ({"skew": math.inf}, r"'skew' must be a number from 0 to 10 \(got inf\)"),
        (
            {"repeat": 0.5, "follow": 0.5, "recall": 0.5, "noise": 0.1},
            r"'repeat, follow, recall, noise' must be of a sum <= 1 \(got \(0.5, 0.5",
        ),
    ],
)
def test_bad_arguments_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        SessionGenerator(**{**TINY, **settings})


def test_bad_calls_are_named():
    generator = SessionGenerator(**TINY)
    with pytest.raises(ValueError, match=r"'num_sessions' must be a whole number >= 1 \(got 0\)"):
        generator.sample(0)
    with pytest.raises(ValueError, match=r"'stream' must be a whole number >= 0 \(got -1\)"):
        generator.sample(5, stream=-1)
    with pytest.raises(ValueError, match=r"'ks' must be a whole number >= 1 \(got 0\)"):
        generator.optimum(generator.sample(5), ks=(5, 0))


def test_parts_that_sum_to_one_are_allowed():
    generator = SessionGenerator(**TINY, repeat=0.15, follow=0.35, recall=0.3, noise=0.2)
    found = generator.probabilities(*padded([[0, 1]]))
    assert float(found.sum()) == pytest.approx(1)
