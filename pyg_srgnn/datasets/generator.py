"""A click generator with an exactly known next-item distribution."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_srgnn.data.sessions import Sessions
from pyg_srgnn.functional.metrics import KS, METRICS
from pyg_srgnn.utils.arguments import checking

_SESSIONS_AT_ONCE = 1 << 14  # bounds the memory of sampling: about 6 MB of draws
_CELLS_AT_ONCE = 1 << 20  # bounds the memory of the optimum: rows x items of one chunk, 8 MB


class SessionGenerator:
    r"""Sessions with a hidden interest, and the exact distribution of their next click.

    Items 0 … V - 1 have a Zipf popularity :math:`P` in a hidden order. An interest :math:`z` is a
    ring of randomly chosen items; rings overlap, so that one item does not tell the interest. A
    session draws its interest once, with a Zipf probability :math:`\pi_z`. Its next click after
    :math:`c_1 \ldots c_t` comes from

    .. math::
        p(v \mid c_1 \ldots c_t, z) = \text{repeat} \cdot n_v / t
            + \text{follow} \cdot F_z(v \mid c_t)
            + \text{recall} \cdot G_z(v \mid c_{t-1})
            + \text{noise} \cdot P(v) + \text{rest} \cdot P_z(v)

    - :math:`n_v` is the number of clicks on :math:`v` so far: a frequent item is repeated more.
    - :math:`F_z(\cdot \mid i)` picks one of the ``num_successors`` next items after :math:`i` on
      the ring, in proportion to their popularity.
    - :math:`G_z(\cdot \mid i)` does so from the place opposite :math:`i`.
    - :math:`P_z` is the popularity among the ring's items.

    A part that is not there (no click yet, no click before the last, an item that is not on the
    ring) leaves its weight to :math:`P_z`. The posterior of the interest,
    :math:`p(z \mid c_1 \ldots c_t) \propto \pi_z \prod_s p(c_s \mid c_1 \ldots c_{s-1}, z)`, gives
    :math:`p(v \mid c_1 \ldots c_t)` exactly, and no model ranks better than it. A session's length
    does not depend on its clicks. Tables take about ``32 * num_interests * num_items`` bytes.

    :meth:`on_sale` gives the law of a smaller catalogue, whose last items are not on sale yet.

    Args:
        num_items: Size V of the catalogue. (default: 300)
        num_interests: Number Z of hidden interests. (default: 8)
        interest_size: Items on a ring. (default: 40)
        num_successors: Items that may follow another within an interest. (default: 6)
        repeat: Probability of an item of the session again. (default: 0.2)
        follow: Probability of a successor of the last item. (default: 0.3)
        recall: Probability of a successor of the item before the last. (default: 0.25)
        noise: Probability of any item; above 0, so that no click is impossible. (default: 0.05)
        skew: Exponent of the Zipf laws of items and interests; 0 is uniform. (default: 0.7)
        stop: Probability that a session ends after its second click, its third … (default: 0.2)
        max_length: Most clicks of a session. (default: 20)
        seed: Seed of the truth and of the sessions. (default: 0)

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(
        self,
        num_items: int = 300,
        num_interests: int = 8,
        interest_size: int = 40,
        num_successors: int = 6,
        repeat: float = 0.2,
        follow: float = 0.3,
        recall: float = 0.25,
        noise: float = 0.05,
        skew: float = 0.7,
        stop: float = 0.2,
        max_length: int = 20,
        seed: int = 0,
    ) -> None:
        with checking(self) as check:
            known = check.whole("num_items", num_items, 2)
            if known and check.whole("interest_size", interest_size, 2, num_items):
                check.whole("num_successors", num_successors, 1, interest_size - 1)
            check.whole("num_interests", num_interests, 1)
            check.whole("max_length", max_length, 2)
            check.whole("seed", seed, 0)
            check.number("stop", stop, above=0, most=1)
            check.number("skew", skew, least=0, most=10)
            shares = {"repeat": repeat, "follow": follow, "recall": recall}
            fit = [check.number(name, share, least=0, most=1) for name, share in shares.items()]
            if check.number("noise", noise, above=0, most=1) and all(fit):
                parts = (repeat, follow, recall, noise)
                fits = sum(parts) <= 1 + 1e-9
                check.that(fits, "repeat, follow, recall, noise", "of a sum <= 1", parts)
        self.num_items, self.num_interests, self.seed = num_items, num_interests, seed
        self.repeat, self.noise, self.stop, self.max_length = repeat, noise, stop, max_length

        draw = np.random.default_rng([seed, 0]).random
        rank = torch.from_numpy(draw(num_items)).argsort().double() + 1
        self.prior = _normalised(torch.arange(1, num_interests + 1).double() ** -skew)  # pi, [Z]
        keys = torch.from_numpy(draw((num_interests, num_items)))
        self.ring = keys.argsort(dim=1)[:, :interest_size].contiguous()  # place -> item, [Z, M]
        self.place = torch.full((num_interests, num_items), -1)  # item -> place or -1, [Z, V]
        self.place.scatter_(1, self.ring, torch.arange(interest_size).expand_as(self.ring))
        self._steps = torch.arange(1, num_successors + 1)
        self._weights = follow, recall
        self._tabulate(_normalised(rank**-skew))

    def _tabulate(self, popularity: Tensor) -> None:
        """Make the tables of an item popularity [V], which is 0 of items that are not on sale."""
        self.popularity = popularity  # P
        num_interests, size = self.ring.shape
        on_ring = _normalised(popularity[self.ring])
        self.taste = torch.zeros_like(self.place, dtype=torch.float64)  # P_z, [Z, V]
        self.taste.scatter_(1, self.ring, on_ring)
        # One sorted vector serves every interest: z's cumulated P_z lies between z and z + 1.
        ends = on_ring.cumsum(1).clamp_(max=1) + torch.arange(num_interests)[:, None]
        self._taste_ends = ends.flatten()

        self._hops = []
        for weight, back, shift in zip(self._weights, (1, 2), (0, size // 2), strict=True):
            places = (torch.arange(size)[:, None] + shift + self._steps) % size
            chance = _normalised(on_ring[:, places])
            # From a place whose successors are not on sale, no hop begins.
            there = (chance.sum(2) > 0).gather(1, self.place.clamp(min=0))
            origin = self.place.where(there, -1)
            self._hops.append(_Hop(weight, back, shift, chance, origin))

    def renumbered(self, order: Tensor) -> SessionGenerator:
        """Give the same law with item ``order[i]`` as item i.

        Args:
            order: Every item once [V].
        """
        law = copy.copy(self)
        law.ring, law.place = order.argsort()[self.ring], self.place[:, order]
        law._tabulate(self.popularity[order])
        return law

    @property
    def fewest(self) -> int:
        """How many first items it takes for one of every interest."""
        return int(self.ring.amin(dim=1).max()) + 1

    def on_sale(self, count: int) -> SessionGenerator:
        """Give the law of the same truth while only the first items are on sale.

        Every distribution, :math:`P`, :math:`P_z`, :math:`F_z` and :math:`G_z`, is the one among
        these items; a part of which none is left is one that is not there. The other items have
        probability 0, and sessions that hold them have no distribution.

        Args:
            count: How many items, with one of every interest among them.

        Raises:
            ValueError: If there are not as many, or an interest has none of them.
        """
        with checking(self) as check:
            check.whole("count", count, self.fewest, self.num_items)
        sold = torch.arange(self.num_items) < count
        if sold.all():
            return self
        law = copy.copy(self)
        law._tabulate(_normalised(self.popularity * sold))
        return law

    def sample(self, num_sessions: int, stream: int = 0, first: int = 0) -> Sessions:
        """Draw sessions.

        Args:
            num_sessions: How many; the first ones stay the same when more are drawn.
            stream: Number of an independent draw from the same truth. (default: 0)
            first: Number of the first one: those before it are left out. (default: 0)

        Returns:
            Sessions of 2 to ``max_length`` clicks, without times.
        """
        with checking(self) as check:
            check.whole("num_sessions", num_sessions, 1)
            check.whole("stream", stream, 0)
            check.whole("first", first, 0)
        width = 2 + 2 * self.max_length  # draws of a session
        bits = np.random.PCG64([self.seed, 1 + stream]).advance(first * width)
        draw = np.random.Generator(bits).random
        items, lengths = [], [torch.zeros(1, dtype=torch.long)]
        for start in range(0, num_sessions, _SESSIONS_AT_ONCE):
            count = min(_SESSIONS_AT_ONCE, num_sessions - start)
            draws = torch.from_numpy(draw((count, width)))
            clicks, length = self._sample(draws.T.contiguous())
            items.append(clicks[torch.arange(self.max_length) < length[:, None]])
            lengths.append(length)
        return Sessions(torch.cat(items), torch.cat(lengths).cumsum(0))

    def _sample(self, draws: Tensor) -> tuple[Tensor, Tensor]:
        """Turn uniform draws [2 + 2T, S] into padded clicks [S, T] and lengths [S]."""
        interest = _inverse(self.prior, draws[0])
        log_stay = math.log1p(-self.stop) if self.stop < 1 else -math.inf
        length = 2 + (torch.log1p(-draws[1]) / log_stay).clamp(max=self.max_length - 2).long()
        # What the parts leave of the unit interval is the interest's taste.
        parts = torch.tensor(
            [self.noise, self.repeat, *(hop.weight for hop in self._hops), 1.0]
        ).double()
        clicks = torch.zeros(len(interest), self.max_length, dtype=torch.long)
        size = self.ring.size(1)
        for t in range(self.max_length):
            rows = (length > t).nonzero().flatten()
            z, before = interest[rows], clicks[rows, :t]
            part, u = _inverse(parts, draws[2 + 2 * t, rows]), draws[3 + 2 * t, rows]
            # Taste first: it replaces every part that is not there.
            place = torch.searchsorted(self._taste_ends, u + z, right=True) - z * size
            click = self.ring[z, place.clamp_(0, size - 1)]
            chosen = (part == 0).nonzero().flatten()
            click[chosen] = _inverse(self.popularity, u[chosen])
            if t > 0:
                chosen = (part == 1).nonzero().flatten()
                click[chosen] = before[chosen, (u[chosen] * t).long().clamp_(max=t - 1)]
            for number, hop in enumerate(self._hops, start=2):
                if t >= hop.back:
                    origin = hop.origin[z, before[:, -hop.back]]
                    chosen = ((part == number) & (origin >= 0)).nonzero().flatten()
                    z_c, origin = z[chosen], origin[chosen]
                    ends = hop.chance[z_c, origin].cumsum(1)[:, :-1]
                    step = 1 + (u[chosen, None] >= ends).sum(1)
                    click[chosen] = self.ring[z_c, (origin + hop.shift + step) % size]
            clicks[rows, t] = click
        return clicks, length

    def posterior(self, clicks: Tensor, lengths: Tensor) -> Tensor:
        """Exact probability of every interest given the clicks.

        Args:
            clicks: Item indices [B, T]; each row's clicks come first, then any padding.
            lengths: Number of clicks of each row, 0 or more [B].

        Returns:
            Probabilities [B, Z], float64.
        """
        log = self.prior.log().repeat(len(clicks), 1)
        for t in range(clicks.size(1)):
            rows = (lengths > t).nonzero().flatten()
            log[rows] += self._likelihood(clicks[rows, :t], clicks[rows, t]).log()
        return log.softmax(dim=1)

    def _likelihood(self, before: Tensor, click: Tensor) -> Tensor:
        """Probability [B, Z] of the click [B] after those before [B, t], for each interest."""
        t, size, interest = before.size(1), self.ring.size(1), torch.arange(self.num_interests)
        place = self.place[:, click].T
        result = (self.noise * self.popularity[click])[:, None].repeat(1, self.num_interests)
        rest = torch.full_like(result, 1 - self.noise)
        if t > 0:
            result += self.repeat * (before == click[:, None]).double().mean(1, keepdim=True)
            rest -= self.repeat
        for hop in self._hops:
            if t >= hop.back:
                origin = hop.origin[:, before[:, -hop.back]].T
                step = (place - origin - hop.shift - 1) % size
                reached = (origin >= 0) & (place >= 0) & (step < len(self._steps))
                step = step.clamp_(max=len(self._steps) - 1)
                chance = hop.chance[interest, origin.clamp(min=0), step]
                result += hop.weight * chance.where(reached, 0)
                rest -= hop.weight * (origin >= 0).double()
        return result.add_(rest.clamp_(min=0) * self.taste[:, click].T)

    def probabilities(self, clicks: Tensor, lengths: Tensor) -> Tensor:
        """Exact probability of every item to be clicked next.

        Args:
            clicks: Item indices [B, T]; each row's clicks come first, then any padding.
            lengths: Number of clicks of each row, 0 or more [B].

        Returns:
            Probabilities [B, V], float64.
        """
        posterior = self.posterior(clicks, lengths)
        result = (self.noise * self.popularity).repeat(len(clicks), 1)
        rest = torch.full_like(posterior, 1 - self.noise)
        real = torch.arange(clicks.size(1)) < lengths[:, None]
        share = self.repeat / lengths.clamp(min=1).double()
        result.scatter_add_(1, clicks.where(real, 0), real * share[:, None])
        rest -= self.repeat * (lengths > 0).double()[:, None]
        for hop in self._hops:
            rows = (lengths >= hop.back).nonzero().flatten()
            origin = hop.origin[:, clicks[rows, lengths[rows] - hop.back]].T
            there, z = (origin >= 0).nonzero(as_tuple=True)
            row, origin = rows[there], origin[there, z]
            places = (origin[:, None] + hop.shift + self._steps) % self.ring.size(1)
            chance = hop.weight * posterior[row, z, None] * hop.chance[z, origin]
            result.index_put_(
                (row[:, None], self.ring[z[:, None], places]), chance, accumulate=True
            )
            rest[row, z] -= hop.weight
        return result.addmm_(rest.clamp_(min=0) * posterior, self.taste)

    def scores(self, data: Data) -> Tensor:
        """Score every item by its true probability: no scorer ranks better.

        Args:
            data: A session graph or a batch of them (``x``, ``alias_index``).

        Returns:
            Probabilities [B, V], float64, on the device of ``data``.
        """
        items = data.x[data.alias_index].cpu()
        if "batch" in data:
            session = data.batch[data.alias_index].cpu()
            lengths = torch.bincount(session, minlength=data.num_graphs)
        else:
            lengths = torch.tensor([items.numel()])
        real = torch.arange(int(lengths.max())) < lengths[:, None]
        clicks = torch.zeros(real.shape, dtype=torch.long).masked_scatter_(real, items)
        return self.probabilities(clicks, lengths).to(data.x.device)

    def optimum(self, sessions: Sessions, ks: Sequence[int] = KS) -> dict[str, float]:
        r"""Compute what the best possible ranking is expected to reach on the samples' prefixes.

        Every metric's expectation is greatest when the items are in the order of their true
        probabilities :math:`p_{(1)} \ge p_{(2)} \ge \ldots`, and is then
        :math:`\sum_{r \le K} g(r) \, p_{(r)}` with :math:`g(r) = 1` for HR@K, :math:`1/r` for MRR@K
        and :math:`1/\log_2(r + 1)` for NDCG@K. The targets are not looked at.

        Args:
            sessions: Sessions drawn from this generator.
            ks: The cut-offs K. (default: 5, 10, 20)

        Returns:
            ``hr@K``, ``mrr@K`` and ``ndcg@K`` as fractions, means over the samples.
        """
        every = torch.ones(self.num_items, dtype=torch.bool)
        return self.optimum_by_target(sessions, {"all": every}, ks)["all"]

    def optimum_by_target(
        self, sessions: Sessions, groups: Mapping[str, Tensor], ks: Sequence[int] = KS
    ) -> dict[str, dict[str, float]]:
        r"""Compute what the best possible ranking is expected to reach on targets of some items.

        It is the one ranking by the true probabilities, best for all targets together; one that
        prefers a group's items may reach more in the group. With :math:`A` the group's items,
        :math:`\sum_{r \le K} g(r) \, p_{(r)} [(r) \in A]` summed over the samples is divided by
        the expected number of targets, the sum of :math:`p(A)`.

        Args:
            sessions: Sessions drawn from this generator.
            groups: The items of each group, bool [V].
            ks: The cut-offs K. (default: 5, 10, 20)

        Returns:
            ``hr@K``, ``mrr@K`` and ``ndcg@K`` of each group as fractions; nothing of a group that
            has no item on sale.
        """
        with checking(self) as check:
            for k in ks:
                check.whole("ks", k, 1)
        members = torch.stack(list(groups.values())).double()
        depth = min(max(ks), self.num_items)
        hits = torch.zeros(len(members), depth, dtype=torch.float64)
        targets = torch.zeros(len(members), dtype=torch.float64)
        numbers = torch.arange(sessions.num_samples)
        for index in torch.split(numbers, max(1, _CELLS_AT_ONCE // self.num_items)):
            session, cut = sessions.samples(index)
            column = torch.arange(int(cut.max())).minimum(cut[:, None] - 1)
            clicks = sessions.items[sessions.offsets[session][:, None] + column]
            chance = self.probabilities(clicks, cut)
            targets += members @ chance.sum(0)
            best = chance.topk(depth)
            for group, member in enumerate(members):
                hits[group] += (best.values * member[best.indices]).sum(0)
        rank = torch.arange(1, depth + 1, dtype=torch.float64)
        return {
            group: {
                f"{name}@{k}": float((reached * metric.value(rank, k))[:k].sum() / expected)
                for name, metric in METRICS.items()
                for k in ks
                if metric.value is not None and expected > 0
            }
            for group, reached, expected in zip(groups, hits, targets, strict=True)
        }


class _Hop(NamedTuple):
    """From the click ``back`` places ago to a successor of its place, or of that ``shift`` on."""

    weight: float
    back: int
    shift: int
    chance: Tensor  # of each successor by interest and place, [Z, M, k]
    origin: Tensor  # place of each item from which there is a hop, or -1, [Z, V]


def _normalised(weights: Tensor) -> Tensor:
    """The weights as shares of their sum; zeros stay zeros."""
    return weights / weights.sum(dim=-1, keepdim=True).clamp(min=torch.finfo(weights.dtype).tiny)


def _inverse(weights: Tensor, u: Tensor) -> Tensor:
    """Number of the interval of the cumulated weights that holds u; the last one is open above."""
    return torch.searchsorted(weights.cumsum(0)[:-1], u, right=True)
