"""Scores sessions with an exported model whose softmax has components or experts mixed in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from pyg_srgnn.functional.marks import ClickMarks
from pyg_srgnn.functional.mixture import (
    Share,
    Softmaxes,
    log_mixture,
    log_parts,
)
from pyg_srgnn.functional.products import PackedItems
from pyg_srgnn.functional.sparse_mixture import SparseMixture
from pyg_srgnn.functional.wanted import Best, Wanted, best_of_all_scores
from pyg_srgnn.inference.block_catalogue import BlockCatalogue
from pyg_srgnn.inference.catalogue import FEWEST
from pyg_srgnn.inference.exported import (
    ExportedGraphs,
    ExportedModel,
    ExportedSequence,
    searched_rows,
)
from pyg_srgnn.inference.formats import Encode
from pyg_srgnn.inference.index import Index
from pyg_srgnn.inference.manifest import Facts
from pyg_srgnn.inference.scorer import Session
from pyg_srgnn.inference.search import most_seen, without_seen


class ExportedMixture(ExportedGraphs):
    """An encoder of session graphs, whose scores are log-probabilities of a mixture.

    Many items are searched as those of other models, in their precision or by an index, which gives
    the softmax's sum, too; see :mod:`pyg_srgnn.functional.sparse_mixture`. Experts are further
    softmaxes, whose sums have an order of their own: with them, and in ``"float32"``, the
    probabilities of all items are taken.
    """

    _log_sums = True

    def __init__(
        self,
        encode: Encode,
        facts: Facts,
        weights: Mapping[str, Tensor],
        precision: str = "float32",
        index: Index | None = None,
    ) -> None:
        searchable = not facts.experts
        super().__init__(encode, facts, weights, precision if searchable else "float32", index)
        catalogue = self.catalogue
        self._is_searched = isinstance(catalogue, Index) or (
            catalogue.precision != "float32" and len(catalogue) >= FEWEST
        )
        self.packed: PackedItems | None = None
        if isinstance(catalogue, BlockCatalogue) and catalogue.vectors is self.items:
            self.packed = catalogue.packed
        elif not self._is_searched:
            self.packed = PackedItems(self.items)
        if not searchable:
            self.choices = {}
        self._place: Tensor | None = None
        if self._rows is not None:
            self._place = torch.full((self.num_items,), -1)
            self._place[self._rows] = torch.arange(len(self._rows))
        self._experts = [
            (expert, self.packed, self._rows)
            if expert.of_items
            else (expert, PackedItems(weights[expert.rows]), searched_rows(facts, weights))
            for expert in facts.experts
        ]
        results = [(each.gate, each.log_share) for each in facts.components]
        results += [(each.query, each.gate) for each in facts.experts]
        self._wanted = ["session", *(name for names in results for name in names if name)]

    @torch.inference_mode()
    def best(self, sessions: Sequence[Session], wanted: Sequence[Wanted]) -> list[Best]:
        """The best items of every session, as it wants them."""
        if self._is_searched:
            return self._searched(sessions, wanted)
        clicks, lengths, marks = self._flat(sessions)
        scores, shift = self._scores(clicks, lengths, marks)
        own = torch.arange(len(sessions)).repeat_interleave(lengths), clicks
        found = best_of_all_scores(scores, own, wanted)
        return [
            (values + shift[torch.as_tensor(each.rows)], items)
            for each, (values, items) in zip(wanted, found, strict=True)
        ]

    def _searched(self, sessions: Sequence[Session], wanted: Sequence[Wanted]) -> list[Best]:
        """The best items of every session by the best products and the softmax's sum."""
        results, shares = self._components(*self._flat(sessions))
        vectors, place = results["session"], self._place
        barred, taken = None, 0
        if exclusive := [share.candidates.pairs() for share in shares if share.exclusive]:
            session, item = (torch.cat(parts) for parts in zip(*exclusive, strict=True))
            taken = int(session.bincount().max())
            barred = session, item if place is None else place[item]

        def products(session: Tensor, item: Tensor) -> Tensor:
            there = item < len(self.items) if place is None else place[item] >= 0
            rows = self.items.index_select(0, item.clamp(max=len(self.items) - 1))
            of_pairs = (rows * vectors.index_select(0, session)).sum(dim=1)
            return of_pairs.masked_fill_(~there, -torch.inf)

        counts = [each.k + most_seen(sessions, each) for each in wanted]
        wider = [min(count + taken, self.num_items) for count in counts]
        by_products = [
            Wanted(each.rows, k, each.offsets) for each, k in zip(wanted, wider, strict=True)
        ]
        lists, log_sums = self.search.best_and_log_sum(vectors, sessions, by_products, barred)
        mixture = SparseMixture(log_sums, shares, products, self.num_items)
        found = []
        for each, count, best in zip(wanted, counts, lists, strict=True):
            added = each.offsets.values if each.offsets else None
            best = mixture.best(best, torch.as_tensor(each.rows), count, added)
            found.append(without_seen(best, sessions, each) if each.exclude_seen else best)
        return found

    @torch.inference_mode()
    def log_parts(self, sessions: Sequence[Session], items: Tensor) -> dict[str, Tensor]:
        """Logarithms of what each part of a mixture gives to items [B, K], by its name."""
        parts = log_parts(*self._shares(*self._flat(sessions)), items)
        names = ["model", *(expert.name for expert in self.facts.experts)]
        names += [component.name for component in self.facts.components]
        return dict(zip(names, parts, strict=True))

    def _scores(self, clicks: Tensor, lengths: Tensor, marks: ClickMarks) -> tuple[Tensor, Tensor]:
        return log_mixture(*self._shares(clicks, lengths, marks))

    def _components(
        self, clicks: Tensor, lengths: Tensor, marks: ClickMarks
    ) -> tuple[dict[str, Tensor], list[Share]]:
        """Results of the encoder, and the share of every component."""
        results, candidates = self._encoded(clicks, lengths, marks, *self._wanted)
        return results, [
            Share.of(
                found,
                results[component.gate],
                results[component.log_share] if component.log_share else None,
                component.exclusive,
            )
            for component, found in zip(self.facts.components, candidates, strict=True)
        ]

    def _shares(
        self, clicks: Tensor, lengths: Tensor, marks: ClickMarks
    ) -> tuple[Softmaxes, list[Share]]:
        """The softmaxes, and the share of every component."""
        results, shares = self._components(clicks, lengths, marks)
        vectors = results["session"]
        scores = vectors @ self.items.T if self.packed is None else self.packed.scores(vectors)
        softmaxes = Softmaxes([self._of_all(scores, self._rows)], [])
        for expert, packed, rows in self._experts:
            assert packed is not None, "with experts, items are not searched"
            softmaxes.scores.append(self._of_all(packed.scores(results[expert.query]), rows))
            softmaxes.gates.append(results[expert.gate])
        return softmaxes, shares


def exported_class(facts: Facts) -> type[ExportedModel]:
    """The class that scores with an exported model."""
    if facts.encoder == "steps":
        return ExportedSequence
    return ExportedMixture if facts.components or facts.experts else ExportedGraphs
