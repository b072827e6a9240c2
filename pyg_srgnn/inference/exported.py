"""An exported model as a recommender asks it: an encoder, and tensors that have a row an item."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from pyg_srgnn.functional.graphs import flat_clicks, graph_tensors
from pyg_srgnn.functional.mixture import Followers, Repeats, followers_of, log_mixture
from pyg_srgnn.functional.products import PackedItems
from pyg_srgnn.functional.topk import bar, best_of_scores
from pyg_srgnn.inference.catalogue import Catalogue
from pyg_srgnn.inference.formats import Encode
from pyg_srgnn.inference.index import Index
from pyg_srgnn.inference.scorer import Session

_COUNTS = ("followers", "count", "place_weight")


class ExportedModel(ABC):
    """Scores sessions of indices; see :class:`pyg_srgnn.inference.scorer.SessionScorer`.

    Args:
        encode: The encoder.
        settings: The model's settings, as :func:`pyg_srgnn.nn.build_model` takes them.
        weights: ``item_vectors`` [V, d], the vectors that session vectors are multiplied with, and
            ``clicked_vectors`` [V, d], what clicked items enter the encoder as, where these are
            others.
        precision: See :class:`pyg_srgnn.inference.catalogue.Catalogue`. (default: ``"float32"``)
        index: Takes the catalogue's place where the best of all items are looked for. (default:
            none: exact)
    """

    def __init__(
        self,
        encode: Encode,
        settings: Mapping[str, Any],
        weights: Mapping[str, Tensor],
        precision: str = "float32",
        index: Index | None = None,
    ) -> None:
        self.encode = encode
        self.settings = settings
        self.items = weights["item_vectors"]
        self.clicked = weights.get("clicked_vectors", self.items)
        self.catalogue = Catalogue(self.items, precision) if index is None else index

    @property
    def num_items(self) -> int:
        """Number of items V in the catalogue."""
        return len(self.items)

    @property
    def log_probabilities(self) -> bool:
        """Whether the scores are log-probabilities."""
        return mixes(self.settings)

    @torch.inference_mode()
    def topk(
        self,
        sessions: Sequence[Session],
        k: int,
        barred: Tensor | None = None,
        exclude_seen: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """The k best items of every session, scores and items [B, k], best first."""
        clicks, lengths = flat_clicks(sessions)
        if barred is None:
            if not exclude_seen:
                return self._best(clicks, lengths, k)
            # As many more as a session can take away.
            wider = min(k + int(lengths.max()), self.num_items)
            return _without_seen(*self._best(clicks, lengths, wider), clicks, lengths, k)
        scores, shift = self._scores(clicks, lengths)
        session = torch.arange(lengths.numel()).repeat_interleave(lengths)
        bar(scores, barred, (session, clicks) if exclude_seen else None)
        values, items = best_of_scores(scores, k)
        return values + shift, items

    @torch.inference_mode()
    def scores(self, sessions: Sequence[Session]) -> Tensor:
        """Scores of every item for every session [B, V]."""
        scores, shift = self._scores(*flat_clicks(sessions))
        return scores.add_(shift)

    def attention(self, sessions: Sequence[Session]) -> Tensor | None:
        """Weight of every click, session after session [L]; None of a model without attention."""
        return None

    def _best(self, clicks: Tensor, lengths: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """The k best items of every session, whichever they are."""
        return self.catalogue.best(self._vectors(clicks, lengths), k)

    def _scores(self, clicks: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor | float]:
        """Scores [B, V], but for a term [B, 1] that all items of a session share."""
        return self._vectors(clicks, lengths) @ self.items.T, 0.0

    @abstractmethod
    def _vectors(self, clicks: Tensor, lengths: Tensor) -> Tensor:
        """Session vectors [B, d]."""


class ExportedSequence(ExportedModel):
    """GRU4Rec: its encoder takes a click of all sessions at a time."""

    def _vectors(self, clicks: Tensor, lengths: Tensor) -> Tensor:
        layers, channels = self.settings.get("num_layers", 1), self.clicked.size(1)
        order = lengths.argsort(descending=True, stable=True)  # so that those that go on are first
        starts = (lengths.cumsum(0) - lengths)[order]
        vectors = torch.zeros(lengths.numel(), channels)
        state = torch.zeros(layers, lengths.numel(), channels)
        for click in range(int(lengths.max())):
            going_on = int((lengths > click).sum())
            embedded = self.clicked[clicks[starts[:going_on] + click]]
            arguments = {"embedded": embedded, "state": state[:, :going_on].contiguous()}
            found = self.encode(arguments, ("session", "after"))
            vectors[order[:going_on]], state = found["session"], found["after"]
        return vectors


class ExportedGraphs(ExportedModel):
    """SR-GNN without a mixture: its encoder takes session graphs."""

    @torch.inference_mode()
    def attention(self, sessions: Sequence[Session]) -> Tensor | None:
        """Weight of every click, session after session [L]; None of a readout without attention."""
        if self.settings.get("readout", "hybrid") not in ("hybrid", "attention"):
            return None
        graphs = graph_tensors(*flat_clicks(sessions))
        return self._encoded(graphs, self._unknown(len(sessions)), "attention")["attention"]

    def _vectors(self, clicks: Tensor, lengths: Tensor) -> Tensor:
        graphs = graph_tensors(clicks, lengths)
        return self._encoded(graphs, self._unknown(lengths.numel()), "session")["session"]

    def _unknown(self, num_sessions: int) -> Tensor:
        """What an encoder is told of transitions where they do not matter [B]."""
        return torch.zeros(num_sessions)

    def _encoded(
        self, graphs: Mapping[str, Tensor], known: Tensor, *wanted: str
    ) -> dict[str, Tensor]:
        embedded = self.clicked.index_select(0, graphs["x"])
        return self.encode({**graphs, "embedded": embedded, "known": known}, wanted)


class ExportedMixture(ExportedGraphs):
    """SR-GNN whose scores are log-probabilities of a mixture.

    Args:
        encode: See :class:`ExportedModel`.
        settings: See :class:`ExportedModel`.
        weights: See :class:`ExportedModel`; of a model with transitions, ``followers`` and
            ``count`` [V, K] and ``place_weight`` [P] beside them, see
            :func:`pyg_srgnn.functional.mixture.followers_of`.
        precision: Not used: a mixture asks for the scores of all items. (default: ``"float32"``)
        index: Not used either. (default: none)
    """

    def __init__(
        self,
        encode: Encode,
        settings: Mapping[str, Any],
        weights: Mapping[str, Tensor],
        precision: str = "float32",
        index: Index | None = None,
    ) -> None:
        super().__init__(encode, settings, weights)
        self.packed = PackedItems(self.items)
        self.repeats = bool(settings.get("repeat", False))
        self.counts = [weights[name] for name in _COUNTS] if settings.get("transitions") else []

    def _best(self, clicks: Tensor, lengths: Tensor, k: int) -> tuple[Tensor, Tensor]:
        scores, shift = self._scores(clicks, lengths)
        values, items = best_of_scores(scores, k)
        return values + shift, items

    def _scores(self, clicks: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        graphs = graph_tensors(clicks, lengths)
        x, batch = graphs["x"], graphs["batch"]
        followers: Followers | None = None
        known, wanted = self._unknown(lengths.numel()), ["session"]
        if self.counts:
            table, count, weight = self.counts
            followers = followers_of(
                x,
                graphs["alias_index"],
                batch,
                lengths.numel(),
                table,
                count,
                weight,
                new_only=self.repeats,
            )
            known = followers.known
            wanted.append("trust")
        if self.repeats:
            wanted += ["within", "again"]
        found = self._encoded(graphs, known, *wanted)
        repeats = Repeats(found["within"], found["again"]) if self.repeats else None
        trust = None
        if followers is not None:
            trust = found["trust"].masked_fill(~followers.some, -torch.inf)
        scores = self.packed.scores(found["session"])
        return log_mixture(scores, batch, x, repeats, followers, trust)


def _without_seen(
    values: Tensor, items: Tensor, clicks: Tensor, lengths: Tensor, k: int
) -> tuple[Tensor, Tensor]:
    """The k best of what was found [B, K] that its own session [of lengths] does not hold."""
    own = pad_sequence([*torch.split(clicks, lengths.tolist())], batch_first=True, padding_value=-1)
    seen = (items.unsqueeze(2) == own.unsqueeze(1)).any(dim=2)
    best = values.masked_fill(seen, -torch.inf).topk(k)
    return best.values, items.gather(1, best.indices)


def mixes(settings: Mapping[str, Any]) -> bool:
    """Whether a model of these settings scores by probabilities of a mixture, of all items."""
    return bool(settings.get("repeat") or settings.get("transitions"))


def exported_class(settings: Mapping[str, Any]) -> type[ExportedModel]:
    """What scores with an exported model of these settings.

    Raises:
        ValueError: If there is no such model.
    """
    if settings.get("name") == "gru4rec":
        return ExportedSequence
    if settings.get("name") != "srgnn":
        raise ValueError(f"model.name must be srgnn or gru4rec (got {settings.get('name')!r})")
    return ExportedMixture if mixes(settings) else ExportedGraphs
