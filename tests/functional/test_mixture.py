"""The mixture against dense probabilities: every item of every session, in plain loops."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pyg_srgnn.functional.lookups import Candidates, check_tables
from pyg_srgnn.functional.mixture import (
    Share,
    Softmaxes,
    log_mixture,
    log_parts,
    mixed_losses,
    mixture_losses,
)
from pyg_srgnn.functional.sparse_mixture import SparseMixture

SESSIONS, ITEMS = 6, 9


def make(kinds: list[str], seed: int) -> list[Share]:
    """Shares of some random items, with a session that has no candidate."""
    draw = torch.Generator().manual_seed(seed)
    shares: list[Share] = []
    taken = torch.zeros(SESSIONS, ITEMS, dtype=torch.bool)
    for kind in reversed(kinds):
        there = (torch.rand(SESSIONS, ITEMS, generator=draw) < 0.4) & ~taken
        there[len(shares)] = False
        session, item = there.nonzero().T
        some = there.any(dim=1)
        gate = torch.randn(SESSIONS, generator=draw, dtype=torch.float64).requires_grad_()
        share = torch.rand(len(session), generator=draw, dtype=torch.float64)
        share /= torch.zeros_like(gate).index_add(0, session, share)[session]
        if kind == "counted":  # in two parts, and with candidates that are impossible
            parts = torch.cat([share * 0.25, share * 0.75, share * 0])
            found = Candidates(session.repeat(3), item.repeat(3), parts, some=some)
            shares.append(Share.of(found, gate, None, exclusive=False))
        else:
            found = Candidates(session, item, some=some)
            shares.append(Share.of(found, gate, share.log(), kind == "exclusive"))
        taken |= there if kind == "exclusive" else False
    return shares[::-1]


def dense_share(given: Share) -> Tensor:
    """The probability of every item [B, V]."""
    rows = [[torch.zeros((), dtype=torch.float64)] * ITEMS for _ in range(SESSIONS)]
    for place, (session, item) in enumerate(
        zip(given.candidates.session.tolist(), given.candidates.item.tolist(), strict=True)
    ):
        counted = given.candidates.share
        value = counted[place] if given.log_share is None else given.log_share[place].exp()
        rows[session][item] = rows[session][item] + value
    return torch.stack([torch.stack(row) for row in rows])


def softmaxes(count: int) -> tuple[list[Tensor], list[Tensor]]:
    """Scores of one softmax and of some others, and the gates of these."""
    scores = [torch.randn(SESSIONS, ITEMS, dtype=torch.float64) for _ in range(1 + count)]
    gates = [torch.randn(SESSIONS, dtype=torch.float64) for _ in range(count)]
    if count:  # cold items, which the first one does not know
        scores[0][:, -2:] = -torch.inf
    return scores, gates


def barred_by(shares: list[Share]) -> Tensor:
    """What exclusive shares take, bool [B, V]."""
    barred = torch.zeros(SESSIONS, ITEMS, dtype=torch.bool)
    for each in shares:
        if each.exclusive:
            barred[each.candidates.session, each.candidates.item] = True
    return barred


def weights_of(gates: list[Tensor]) -> list[Tensor]:
    """The share of each softmax [B]."""
    exps = [torch.ones(SESSIONS, dtype=torch.float64), *(torch.exp(gate) for gate in gates)]
    return [each / sum(exps) for each in exps]


def dense(scores: list[Tensor], gates: list[Tensor], shares: list[Share]) -> Tensor:
    """The probability of every item [B, V]."""
    barred = barred_by(shares)
    found = sum(
        weight.unsqueeze(1) * each.masked_fill(barred, -torch.inf).softmax(dim=1)
        for weight, each in zip(weights_of(gates), scores, strict=True)
    )
    for each in shares:
        gate = torch.sigmoid(each.gate).unsqueeze(1)
        found = (1 - gate) * found + gate * dense_share(each)
    return found


MIXTURES = {
    "softmax": [],
    "counted": ["counted"],
    "learned": ["learned"],
    "exclusive": ["exclusive"],
    "two": ["counted", "learned"],
    "three": ["counted", "counted", "exclusive"],
    "exclusive within": ["exclusive", "learned", "counted"],
}


@pytest.mark.parametrize("name", MIXTURES)
@pytest.mark.parametrize("experts", [0, 1, 2])
@pytest.mark.parametrize("seed", range(3))
def test_scores_and_losses(name: str, seed: int, experts: int) -> None:
    shares = make(MIXTURES[name], seed)
    scores, gates = softmaxes(experts)
    for tensor in scores + gates:
        tensor.requires_grad_()
    wanted = dense(scores, gates, shares)
    torch.testing.assert_close(wanted.sum(dim=1), torch.ones_like(wanted[:, 0]))
    with torch.no_grad():
        logs, shift = log_mixture(Softmaxes([each.clone() for each in scores], gates), shares)
    torch.testing.assert_close(logs + shift, wanted.log(), rtol=0, atol=1e-12)

    learned = [each.gate for each in shares] + scores + gates
    target = torch.tensor([n % (ITEMS - 2) for n in range(seed, seed + SESSIONS)])
    each_loss = []
    for each in scores:
        rest = each.masked_fill(barred_by(shares), -1e9).log_softmax(dim=1)
        each_loss.append(-rest.gather(1, target.unsqueeze(1)).squeeze(1))
    losses = mixed_losses(each_loss, gates) if gates else each_loss[0]
    for each in shares:
        losses = mixture_losses(each, losses, target)
    exact = -wanted.gather(1, target.unsqueeze(1)).squeeze(1).log()
    torch.testing.assert_close(losses, exact, rtol=0, atol=1e-9)
    found = torch.autograd.grad(losses.sum(), learned)
    for one, other in zip(found, torch.autograd.grad(exact.sum(), learned), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", MIXTURES)
@pytest.mark.parametrize("experts", [0, 2])
@pytest.mark.parametrize("seed", range(3))
def test_the_parts_of_a_probability(name: str, seed: int, experts: int) -> None:
    """Each part against what it gives item by item; together they are the probability."""
    shares = make(MIXTURES[name], seed)
    scores, gates = softmaxes(experts)
    barred, weights, count = barred_by(shares), weights_of(gates), 1 + experts
    items = torch.stack([torch.randperm(ITEMS)[:4] for _ in range(SESSIONS)])
    kept = [each.clone() for each in scores]
    with torch.no_grad():
        parts = log_parts(Softmaxes(scores, gates), shares, items)
        whole = dense(scores, gates, shares)
    assert all(map(torch.equal, scores, kept))
    assert parts.shape == (count + len(shares), SESSIONS, 4)
    for session in range(SESSIONS):
        softmax = [
            weight[session] * each[session].masked_fill(barred[session], -torch.inf).softmax(dim=0)
            for weight, each in zip(weights, scores, strict=True)
        ]
        for place, item in enumerate(items[session].tolist()):
            given = [each[item] for each in softmax]
            given += [dense_share(each)[session, item] for each in shares]
            for n, each in enumerate(shares, count):  # every later component leaves a part of it
                gate = torch.sigmoid(each.gate[session])
                given[n] = given[n] * gate
                given[:n] = [value * (1 - gate) for value in given[:n]]
            found = parts[:, session, place].exp()
            torch.testing.assert_close(found, torch.stack(given).detach(), rtol=0, atol=1e-12)
            torch.testing.assert_close(found.sum(), whole[session, item], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", [name for name in MIXTURES if name != "softmax"])
@pytest.mark.parametrize("boosted", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_the_best_without_the_scores_of_all(name: str, boosted: bool, seed: int) -> None:
    """Of the best by products, the candidates and the softmax's sum alone."""
    shares = make(MIXTURES[name], seed)
    (scores,), _ = softmaxes(0)
    added = torch.zeros(ITEMS, dtype=torch.float64)
    if boosted:
        added[:3] = torch.tensor([0.5, -1.0, -torch.inf])
    wanted = dense([scores], [], shares).log().detach() + added
    log_sums = scores.masked_fill(barred_by(shares), -torch.inf).logsumexp(dim=1)

    def products(session: Tensor, item: Tensor) -> Tensor:
        return scores[session, item]

    for k in range(1, ITEMS + 1):
        taken = int(barred_by(shares).sum(dim=1).max())
        best = (scores + added).topk(min(ITEMS, k + taken))
        with torch.no_grad():
            mixture = SparseMixture(log_sums, shares, products, ITEMS)
            every = torch.arange(SESSIONS)
            values, items = mixture.best((best.values, best.indices), every, k, added)
        torch.testing.assert_close(values, wanted.topk(k).values, rtol=0, atol=1e-12)
        there = values.isfinite()
        found = wanted.gather(1, items)
        torch.testing.assert_close(values[there], found[there], rtol=0, atol=1e-12)


def test_the_parts_of_a_session_that_holds_the_whole_catalogue() -> None:
    everything = Candidates(torch.zeros(ITEMS, dtype=torch.long), torch.arange(ITEMS))
    log_share = torch.randn(ITEMS).log_softmax(dim=0)
    share = Share.of(everything, torch.zeros(1), log_share, exclusive=True)
    softmaxes = Softmaxes([torch.randn(1, ITEMS)], [])
    model, own = log_parts(softmaxes, [share], torch.tensor([[2, 5]])).exp()
    assert model.tolist() == [[0, 0]]
    torch.testing.assert_close(own[0], log_share[[2, 5]].exp() / 2)


def test_tables_that_a_lookup_can_read() -> None:
    tables = {
        "followers": torch.zeros(4, 3, dtype=torch.int32),
        "count": torch.zeros(4, 3),
        "place_weight": torch.zeros(10),
    }
    check_tables("followers", tables, 4)
    for name, odd, message in (
        ("count", torch.zeros(4, 2), r"count must have the shape .* \(got \[4, 2\]\)"),
        ("count", torch.zeros(4), "count must have the shape"),
        ("place_weight", torch.zeros(9), r"place_weight must have the shape \[10\]"),
        ("followers", torch.full((4, 3), 4), "followers must hold indices from 0 to 3"),
        ("followers", torch.full((4, 3), -1), "followers must hold indices from 0 to 3"),
    ):
        with pytest.raises(ValueError, match=message):
            check_tables("followers", tables | {name: odd}, 4)
    with pytest.raises(ValueError, match="followers must have the shape"):
        check_tables("followers", tables, 5)
