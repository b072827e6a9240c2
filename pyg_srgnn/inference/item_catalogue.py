"""A model with the raw ids of its items, and how often each was clicked."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from pyg_srgnn.data.attributes import ItemAttributes
from pyg_srgnn.data.vocabulary import Vocabulary
from pyg_srgnn.functional.topk import rows_at_once
from pyg_srgnn.functional.wanted import Best, Wanted
from pyg_srgnn.inference.applied import Applied
from pyg_srgnn.inference.exported import ExportedModel
from pyg_srgnn.inference.exported_components import exported_class
from pyg_srgnn.inference.kept import Kept
from pyg_srgnn.inference.manifest import Facts
from pyg_srgnn.inference.new_texts import named, vectors_of
from pyg_srgnn.inference.rule_book import RuleBook
from pyg_srgnn.inference.scorer import Session, SessionScorer

_ROWS_AT_ONCE = 256  # at most; fewer where the catalogue is large
_KEPT = 16  # lists for sessions without a known item

Ranked = list[tuple[int | str, float]]
"""Raw ids, best first, each with its score."""


class ItemCatalogue:
    """What a recommender replaces as one where items are added; it never changes itself.

    Args:
        scorer: The model.
        vocabulary: The raw ids of its items.
        clicks: Clicks of each item in training, int64 [V].
        attributes: The items' attributes, by which rules are applied. (default: None)
    """

    def __init__(
        self,
        scorer: SessionScorer,
        vocabulary: Vocabulary,
        clicks: Tensor,
        attributes: ItemAttributes | None = None,
    ) -> None:
        self.rule_book = RuleBook(vocabulary, attributes)
        self.scorer = scorer
        self.vocabulary = vocabulary
        self.clicks = clicks
        self.popularity = clicks.double() / clicks.sum()
        self.cold = frozenset(vocabulary.decode((clicks == 0).nonzero().flatten().tolist()))
        self._popular: Kept[Ranked] = Kept(_KEPT)

    def with_items(
        self, ids: Sequence[int | str], given: Any, text: Mapping[str, Any]
    ) -> ItemCatalogue:
        """The same with new items at the end; see :meth:`pyg_srgnn.Recommender.add_items`.

        Args:
            ids: Their raw ids.
            given: Their texts or vectors.
            text: What describes the texts of the model.

        Raises:
            ValueError: If one of them cannot be added.
        """
        self._check_new(ids)
        if not ids:
            return self
        vectors = vectors_of(given, text, ids)
        with torch.no_grad():
            scorer = self._exported().with_items(vectors)
        vocabulary = self.vocabulary.extend(ids)  # type: ignore[arg-type]
        clicks = scorer.weights["clicks"]
        return ItemCatalogue(scorer, vocabulary, clicks, self.rule_book.attributes)

    def with_attributes(self, attributes: ItemAttributes) -> ItemCatalogue:
        """The same with other attributes of the items."""
        found = copy(self)
        found.rule_book = self.rule_book.with_attributes(attributes)
        found._popular = Kept(_KEPT)  # those of the old rules would never be asked for again
        return found

    def _check_new(self, ids: Sequence[int | str]) -> None:
        """Refuse ids that are known, given twice, or of another type than those that are there."""
        kind = type(self.vocabulary.ids[0])
        if other := [raw for raw in ids if type(raw) is not kind]:
            raise ValueError(
                f"ids must be of the type {kind.__name__}, as those of the catalogue (got "
                f"{named(other)})"
            )
        if known := [raw for raw in ids if raw in self.vocabulary]:
            raise ValueError(f"ids that are in the catalogue already: {named(known)}")
        if twice := [raw for raw, count in Counter(ids).items() if count > 1]:
            raise ValueError(f"ids that are given more than once: {named(twice)}")

    def _exported(self) -> ExportedModel:
        """The model in the two parts of an export, made in memory of one that is none."""
        if isinstance(self.scorer, ExportedModel):
            return self.scorer
        from pyg_srgnn.checkpoint import ModelScorer

        if not isinstance(self.scorer, ModelScorer):
            raise ValueError(f"items cannot be added to a {type(self.scorer).__name__}")
        encoder, weights = self.scorer.exported(self.clicks)
        facts = Facts.of(encoder, weights)
        return exported_class(facts)(encoder.encode, facts, weights)

    def best(
        self, sessions: Sequence[Session], asked: Sequence[tuple[int, Applied]]
    ) -> Iterator[Ranked]:
        """The lists of sessions, of those with a known item.

        Args:
            sessions: The sessions.
            asked: How many items each of them wants, at most, by which rules.
        """
        at_once = rows_at_once(self.scorer.num_items, _ROWS_AT_ONCE)
        for start in range(0, len(sessions), at_once):
            yield from self._together(
                sessions[start : start + at_once], asked[start : start + at_once]
            )

    def _together(
        self, sessions: Sequence[Session], asked: Sequence[tuple[int, Applied]]
    ) -> list[Ranked]:
        """The lists of sessions that are scored at once."""
        size = self.scorer.num_items
        groups: dict[tuple[int, Applied], list[int]] = {}
        for row, (k, applied) in enumerate(asked):
            groups.setdefault((min(k, size), applied), []).append(row)
        wanted = [applied.wanted(rows, k, size) for (k, applied), rows in groups.items()]
        lists: list[Ranked] = [[]] * len(sessions)
        for (k, applied), one, found in zip(
            groups, wanted, self.scorer.best(sessions, wanted), strict=True
        ):

            def again(places: Sequence[int], width: int, one: Wanted = one) -> Best:
                some = [sessions[one.rows[place]] for place in places]
                return self.scorer.best(some, [replace(one, rows=range(len(some)), k=width)])[0]

            values, items = applied.lists(found, k, size, again, self.scorer.directions)
            for row, best, scores in zip(one.rows, items.tolist(), values.tolist(), strict=True):
                pairs = zip(self.vocabulary.decode(best), scores, strict=True)
                lists[row] = [pair for pair in pairs if pair[1] != -math.inf]
        return lists

    def popular(self, k: int, applied: Applied) -> Ranked:
        """The list of a session without a known item, with the items' shares of all clicks.

        All such sessions have the same one.
        """
        k = min(k, len(self.vocabulary))
        return self._popular.get((k, applied), partial(self._most_clicked, k, applied))

    def _most_clicked(self, k: int, applied: Applied) -> Ranked:
        size = len(self.vocabulary)
        # Items without a click come last.
        values = self.clicks.double().clamp(min=0.5).log()
        if applied.offsets is not None:
            values = values + applied.offsets.values
        order = values.argsort(descending=True, stable=True)

        def again(places: Sequence[int], width: int) -> Best:
            return values[order[:width]].unsqueeze(0), order[:width].unsqueeze(0)

        first = again([0], applied.wanted([0], k, size).k)
        found, items = applied.lists(first, k, size, again, self.scorer.directions)
        best = items[found != -torch.inf]
        shares = self.popularity[best].tolist()
        return list(zip(self.vocabulary.decode(best.tolist()), shares, strict=True))
