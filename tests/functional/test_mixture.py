"""The mixture against dense probabilities: every item of every session, in plain loops."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pyg_srgnn.functional.lookups import Candidates, check_tables
from pyg_srgnn.functional.mixture import Share, log_mixture, log_parts, mixture_losses

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


def dense(scores: Tensor, shares: list[Share]) -> Tensor:
    """The probability of every item [B, V]."""
    barred = torch.zeros_like(scores, dtype=torch.bool)
    for each in shares:
        if each.exclusive:
            barred[each.candidates.session, each.candidates.item] = True
    found = scores.masked_fill(barred, -torch.inf).softmax(dim=1)
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
@pytest.mark.parametrize("seed", range(3))
def test_scores_and_losses(name: str, seed: int) -> None:
    shares = make(MIXTURES[name], seed)
    scores = torch.randn(SESSIONS, ITEMS, dtype=torch.float64, requires_grad=True)
    wanted = dense(scores, shares)
    torch.testing.assert_close(wanted.sum(dim=1), torch.ones_like(wanted[:, 0]))
    with torch.no_grad():
        logs, shift = log_mixture(scores.clone(), shares)
    torch.testing.assert_close(logs + shift, wanted.log(), rtol=0, atol=1e-12)

    learned = [each.gate for each in shares] + [scores]
    target = torch.tensor([n % ITEMS for n in range(seed, seed + SESSIONS)])
    barred = torch.zeros_like(scores, dtype=torch.bool)
    for each in shares:
        if each.exclusive:
            barred[each.candidates.session, each.candidates.item] = True
    rest = scores.masked_fill(barred, -1e9).log_softmax(dim=1)
    losses = -rest.gather(1, target.unsqueeze(1)).squeeze(1)
    for each in shares:
        losses = mixture_losses(each, losses, target)
    exact = -wanted.gather(1, target.unsqueeze(1)).squeeze(1).log()
    torch.testing.assert_close(losses, exact, rtol=0, atol=1e-9)
    found = torch.autograd.grad(losses.sum(), learned)
    for one, other in zip(found, torch.autograd.grad(exact.sum(), learned), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", MIXTURES)
@pytest.mark.parametrize("seed", range(3))
def test_the_parts_of_a_probability(name: str, seed: int) -> None:
    """Each part against what it gives item by item; together they are the probability."""
    shares = make(MIXTURES[name], seed)
    scores = torch.randn(SESSIONS, ITEMS, dtype=torch.float64)
    barred = torch.zeros_like(scores, dtype=torch.bool)
    for each in shares:
        if each.exclusive:
            barred[each.candidates.session, each.candidates.item] = True
    items = torch.stack([torch.randperm(ITEMS)[:4] for _ in range(SESSIONS)])
    kept = scores.clone()
    with torch.no_grad():
        parts = log_parts(scores, shares, items)
        whole = dense(scores, shares)
    assert torch.equal(scores, kept) and parts.shape == (1 + len(shares), SESSIONS, 4)
    for session in range(SESSIONS):
        softmax = scores[session].masked_fill(barred[session], -torch.inf).softmax(dim=0)
        for place, item in enumerate(items[session].tolist()):
            given = [softmax[item], *(dense_share(each)[session, item] for each in shares)]
            for n, each in enumerate(shares):  # every later component leaves a part of it
                gate = torch.sigmoid(each.gate[session])
                given[n + 1] = given[n + 1] * gate
                given[: n + 1] = [value * (1 - gate) for value in given[: n + 1]]
            found = parts[:, session, place].exp()
            torch.testing.assert_close(found, torch.stack(given).detach(), rtol=0, atol=1e-12)
            torch.testing.assert_close(found.sum(), whole[session, item], rtol=0, atol=1e-12)


def test_the_parts_of_a_session_that_holds_the_whole_catalogue() -> None:
    everything = Candidates(torch.zeros(ITEMS, dtype=torch.long), torch.arange(ITEMS))
    log_share = torch.randn(ITEMS).log_softmax(dim=0)
    share = Share.of(everything, torch.zeros(1), log_share, exclusive=True)
    model, own = log_parts(torch.randn(1, ITEMS), [share], torch.tensor([[2, 5]])).exp()
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
