"""Scores sessions with an exported model: an encoder, and tensors with one row per item."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from pyg_srgnn.functional.earlier import older_part
from pyg_srgnn.functional.graphs import SessionGraphs, flat_clicks, graph_tensors
from pyg_srgnn.functional.lookups import Candidates
from pyg_srgnn.functional.marks import ClickMarks, mark_tensors, marks_of
from pyg_srgnn.functional.mixture import (
    Source,
    find_candidates,
)
from pyg_srgnn.functional.text_similarity import similar_weights
from pyg_srgnn.functional.wanted import Best, Wanted
from pyg_srgnn.inference.catalogue import Catalogue
from pyg_srgnn.inference.choice import Choice
from pyg_srgnn.inference.formats import Encode
from pyg_srgnn.inference.index import Index
from pyg_srgnn.inference.manifest import Facts, Table
from pyg_srgnn.inference.new_items import with_new_items
from pyg_srgnn.inference.precision import choose
from pyg_srgnn.inference.scorer import Session
from pyg_srgnn.inference.search import VectorSearch


class ExportedModel(ABC):
    """Scores sessions of indices; see :class:`pyg_srgnn.inference.scorer.SessionScorer`.

    Args:
        encode: The encoder.
        facts: The facts of its manifest.
        weights: The tensors that the facts name.
        precision: See :func:`pyg_srgnn.inference.precision.choose`. (default: ``"float32"``)
        index: Searched for the best of all items. (default: none, the search is exact)

    Attributes:
        choices: How the items are searched, and why; by the name of the catalogue.
    """

    mixes_models = False
    _log_sums = False  # whether the sums of a softmax are asked for

    def __init__(
        self,
        encode: Encode,
        facts: Facts,
        weights: Mapping[str, Tensor],
        precision: str = "float32",
        index: Index | None = None,
    ) -> None:
        self.encode = encode
        self.facts = facts
        self.weights = weights
        self.items = weights["item_vectors"]
        self.clicked = weights.get("clicked_vectors", self.items)
        self.texts = weights.get("text_vectors")
        vectors, self._rows = searched(facts, weights)
        self.choices: dict[str, Choice] = {}
        self.catalogue: Catalogue | Index
        if index is None:
            self.catalogue, self.choices["items"] = choose(vectors, precision, self._log_sums)
        else:
            self.catalogue = index
        self.search = VectorSearch(self.catalogue, self._rows)
        self.sources = [
            Source(each.lookup, each.exclusive, {to: weights[of] for to, of in each.tables.items()})
            for each in facts.components
        ]

    @property
    def num_items(self) -> int:
        """Number of items V in the catalogue."""
        return self.facts.num_items

    @property
    def log_probabilities(self) -> bool:
        """Whether the scores are log-probabilities."""
        return self.facts.log_probabilities

    @torch.inference_mode()
    def best(self, sessions: Sequence[Session], wanted: Sequence[Wanted]) -> list[Best]:
        """The best items of every session, as it wants them."""
        return self.search.best(self._vectors(*self._flat(sessions)), sessions, wanted)

    @torch.inference_mode()
    def scores(self, sessions: Sequence[Session]) -> Tensor:
        """Scores of every item for every session [B, V]."""
        scores, shift = self._scores(*self._flat(sessions))
        return scores.add_(shift)

    def directions(self, items: Tensor) -> Tensor:
        """Vectors of items [N], as they are when clicked, of length 1, or 0 [N, D]."""
        return F.normalize(self.clicked[items])

    def attention(self, sessions: Sequence[Session]) -> Tensor | None:
        """Weight of every click, session after session [L]; None of a model without attention."""
        return None

    def log_parts(self, sessions: Sequence[Session], items: Tensor) -> dict[str, Tensor]:
        """Logarithms of what each part of a mixture gives to items [B, K], by its name."""
        return {}

    def _flat(self, sessions: Sequence[Session]) -> tuple[Tensor, Tensor, ClickMarks]:
        """The clicks of all sessions [L], the length of each [B], and the marks that count."""
        facts = self.facts
        known = facts.num_events or 0, "gap" in facts.marks, facts.num_earlier or 0
        return *flat_clicks(sessions), marks_of(sessions, *known)

    def with_items(self, texts: Tensor) -> ExportedModel:
        """The same model with more items at the end, cold ones.

        Args:
            texts: What the encoder of the texts makes of theirs, not zero [n, F].

        Raises:
            ValueError: See :func:`pyg_srgnn.inference.new_items.with_new_items`.
        """
        weights = with_new_items(self.weights, self.facts, texts)
        tables = {name: Table.of(tensor) for name, tensor in weights.items()}
        facts = replace(self.facts, tables=tables, num_trained=self.facts.first_cold)
        index = None
        if isinstance(self.catalogue, Index):
            index = self.catalogue.extend(searched(facts, weights)[0])
        asked = self.choices["items"].asked if self.choices else "float32"
        return type(self)(self.encode, facts, weights, asked, index)

    def _scores(
        self, clicks: Tensor, lengths: Tensor, marks: ClickMarks
    ) -> tuple[Tensor, Tensor | float]:
        """Scores [B, V], but for a term [B, 1] that all items of a session share."""
        return self._of_all(self._vectors(clicks, lengths, marks) @ self.items.T, self._rows), 0.0

    def _of_all(self, scores: Tensor, rows: Tensor | None) -> Tensor:
        """Scores of all items [B, V] by those of some [B, S], and which of these count."""
        if rows is not None:
            kept = torch.full_like(scores, -torch.inf)
            scores = kept.index_copy_(1, rows, scores.index_select(1, rows))
        beyond = self.num_items - scores.size(1)
        return F.pad(scores, (0, beyond), value=-torch.inf) if beyond else scores

    @abstractmethod
    def _vectors(self, clicks: Tensor, lengths: Tensor, marks: ClickMarks) -> Tensor:
        """Session vectors [B, d]."""


class ExportedSequence(ExportedModel):
    """An encoder that takes a click of all sessions at a time."""

    def _vectors(self, clicks: Tensor, lengths: Tensor, marks: ClickMarks) -> Tensor:
        layers, channels = self.facts.layers, self.facts.channels
        order = lengths.argsort(descending=True, stable=True)  # the longest are first
        starts = (lengths.cumsum(0) - lengths)[order]
        vectors = torch.zeros(lengths.numel(), self.items.size(1))
        state = torch.zeros(layers, lengths.numel(), channels)
        for click in range(int(lengths.max())):
            going_on = int((lengths > click).sum())
            embedded = self.clicked[clicks[starts[:going_on] + click]]
            arguments = {"embedded": embedded, "state": state[:, :going_on].contiguous()}
            found = self.encode(arguments, ("session", "after"))
            vectors[order[:going_on]], state = found["session"], found["after"]
        return vectors


class ExportedGraphs(ExportedModel):
    """An encoder of session graphs, whose products with the items are the scores."""

    @torch.inference_mode()
    def attention(self, sessions: Sequence[Session]) -> Tensor | None:
        """Weight of every click, session after session [L]; None of a readout without attention."""
        if not self.facts.attends:
            return None
        return self._encoded(*self._flat(sessions), "attention")[0]["attention"]

    def _vectors(self, clicks: Tensor, lengths: Tensor, marks: ClickMarks) -> Tensor:
        return self._encoded(clicks, lengths, marks, "session")[0]["session"]

    def _encoded(
        self, clicks: Tensor, lengths: Tensor, marks: ClickMarks, *wanted: str
    ) -> tuple[dict[str, Tensor], list[Candidates]]:
        """Results of the encoder, and the candidates of every component."""
        tensors = graph_tensors(clicks, lengths)
        x = tensors.pop("x")
        graphs = SessionGraphs(**tensors, num_graphs=lengths.numel(), older=None)
        candidates, _ = find_candidates(self.sources, x, graphs)
        blank = torch.zeros(lengths.numel())
        if (factor := self.weights.get("text_factor")) is not None:
            weights = similar_weights(graphs, x, self.weights["text_vectors"], factor)
            tensors["edge_weight"], tensors["edge_weight_in"] = weights
        arguments = {
            **tensors,
            "embedded": self.clicked.index_select(0, x),
            "sessions": blank,
            "known": blank,  # as version 1 of exports calls it
        }
        arguments |= self._of_marks(mark_tensors(marks, {**tensors, "x": x}, lengths), graphs)
        for component, found in zip(self.facts.components, candidates, strict=True):
            if component.known is not None and found.known is not None:
                arguments[component.known] = found.known
        for expert in (each for each in self.facts.experts if not each.of_items):
            arguments[expert.clicked] = self.weights[expert.rows].index_select(0, x)
        return self.encode(arguments, wanted), candidates

    def _of_marks(self, found: Mapping[str, Tensor], graphs: SessionGraphs) -> dict[str, Tensor]:
        """The arguments of the encoder for the marks of clicks, and for the older part."""
        facts = self.facts
        arguments = {argument: found[name] for name, argument in facts.marks.items()}
        if facts.older:
            embedded = self.clicked.index_select(0, found["earlier_x"])
            older = older_part(found, graphs.batch, embedded)
            arguments |= {facts.older[name]: part for name, part in older._asdict().items()}
        return arguments


def searched(facts: Facts, weights: Mapping[str, Tensor]) -> tuple[Tensor, Tensor | None]:
    """The vectors of the items that can be recommended without a mixture.

    A cold item whose vector would be made of a text that it does not have cannot.

    Returns:
        Vectors [R, d], and the item of each [R], or None if they are the first R items.
    """
    vectors = weights["item_vectors"]
    if facts.first_cold >= len(vectors):
        return vectors, None
    rows = searched_rows(facts, weights)
    return (vectors, None) if rows is None else (vectors[rows], rows)


def searched_rows(facts: Facts, weights: Mapping[str, Tensor]) -> Tensor | None:
    """The trained items, and cold ones that have a text; None if these are all."""
    if facts.first_cold >= facts.num_items:
        return None
    there = (weights["text_vectors"] != 0).any(dim=1)
    there[: facts.first_cold] = True
    return None if there.all() else there.nonzero().squeeze(1)
