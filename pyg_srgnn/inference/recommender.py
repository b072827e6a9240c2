"""Recommends items for sessions of raw ids."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pyg_srgnn.data.vocabulary import Vocabulary
from pyg_srgnn.functional.topk import rows_at_once
from pyg_srgnn.inference.answer import Answer, Explanation, unknown_messages
from pyg_srgnn.inference.artifact import Artifact, is_artifact
from pyg_srgnn.inference.explain import explain
from pyg_srgnn.inference.scorer import Session, SessionScorer
from pyg_srgnn.runs.find import find_run

if TYPE_CHECKING:
    from pyg_srgnn.checkpoint import Checkpoint

log = logging.getLogger(__name__)

_ROWS_AT_ONCE = 256  # at most; fewer where the catalogue is large


def load_trained(path: str | Path) -> Checkpoint | Artifact:
    """Open a run directory, a checkpoint file or an exported folder, or a run by its name.

    Args:
        path: The path, or a name that :func:`~pyg_srgnn.runs.find.find_run` takes: ``"latest"``, or
            a folder of runs.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If a file is not one of this package, or damaged, or it is a sweep.
    """
    found = find_run(path)
    if found != Path(path):
        log.info("%s: %s", path, found)
    if is_artifact(found):
        return Artifact.load(found)
    # Not needed for an exported model, nor are PyG, Lightning, Hydra and Polars.
    from pyg_srgnn.checkpoint import Checkpoint

    return Checkpoint.load(found)


class UnknownItemWarning(UserWarning):
    """A session has items that are not in the catalogue."""


class Recommender:
    """Recommends the next items of sessions given as raw ids.

    Args:
        scorer: A trained or an exported model that scores the items.
        vocabulary: The raw ids of the catalogue.
        clicks: Clicks of each item in training, the order of the most popular items, int64 [V].
    """

    def __init__(self, scorer: SessionScorer, vocabulary: Vocabulary, clicks: Tensor) -> None:
        self.scorer = scorer
        self.vocabulary = vocabulary
        self.popularity = clicks.double() / clicks.sum()

    @classmethod
    def load(cls, path: str | Path) -> Recommender:
        """Open a run directory, a checkpoint file or an exported folder; nothing is executed.

        Args:
            path: The path; ``"latest"`` is the newest finished run below ``runs/``, a folder of
                runs its newest finished one.

        Raises:
            FileNotFoundError: If there is none.
            ValueError: If a file is not one of this package, or damaged, or it is a sweep.
        """
        return cls.of(load_trained(path))

    @classmethod
    def of(cls, trained: Checkpoint | Artifact) -> Recommender:
        """Recommend with a checkpoint or an export that is loaded."""
        return cls(trained.scorer, trained.vocabulary, trained.clicks)

    def recommend(
        self,
        sessions: Iterable[Iterable[int | str]],
        k: int = 20,
        exclude_seen: bool = False,
        allow: Iterable[int | str] | None = None,
        deny: Iterable[int | str] | None = (),
    ) -> list[list[tuple[int | str, float]]]:
        """The k best next items of every session, best first.

        Unknown ids are left out, with a warning that names them. A session without a known id
        gets the most popular items, their share of all clicks for a score, and a warning. May be
        called by several threads at once.

        Args:
            sessions: Each session's clicks as raw ids, in order of time. A session, and ``allow``
                and ``deny``, may be any collection: a list, an array, a tensor, a series.
            k: Number of items; capped at what may be recommended. (default: 20)
            exclude_seen: Whether a session's own items are left out. (default: False)
            allow: The only items that may be recommended. (default: the whole catalogue)
            deny: Items that must not be. (default: none)

        Returns:
            For each session, pairs (raw id, score).

        Raises:
            ValueError: If k is less than 1.
            TypeError: If a session, ``allow`` or ``deny`` is no collection of ids.
        """
        answers = self.answer(sessions, k, exclude_seen, allow, deny)
        for message in unknown_messages(answers):
            warnings.warn(message, UnknownItemWarning, stacklevel=2)
        return [answer.items for answer in answers]

    def answer(
        self,
        sessions: Iterable[Iterable[int | str]],
        k: int = 20,
        exclude_seen: bool = False,
        allow: Iterable[int | str] | None = None,
        deny: Iterable[int | str] | None = (),
    ) -> list[Answer]:
        """Recommend as :meth:`recommend` does, and return what it warns of.

        Args:
            sessions: See :meth:`recommend`.
            k: See :meth:`recommend`. (default: 20)
            exclude_seen: See :meth:`recommend`. (default: False)
            allow: See :meth:`recommend`. (default: the whole catalogue)
            deny: See :meth:`recommend`. (default: none)

        Raises:
            ValueError: See :meth:`recommend`.
            TypeError: See :meth:`recommend`.
        """
        if k < 1:
            raise ValueError(f"k must be a whole number >= 1 (got {k})")
        clicks = [
            _ids(session, "recommend: a session", ", as in [[17, 4, 17]]")
            for session in _values(sessions, "recommend: 'sessions'", "a list of sessions")
        ]
        indices = [self.vocabulary.encode(session) for session in clicks]
        known = [[i for i in session if i >= 0] for session in indices]
        barred = self._barred(allow, deny)
        best = self._best([session for session in known if session], k, barred, exclude_seen)
        popular = [] if all(known) else self._popular(k, barred)
        logarithms = self.scorer.log_probabilities
        return [
            Answer(
                items=next(best) if session else popular.copy(),
                unknown=[raw for raw, i in zip(raw_ids, index, strict=True) if i < 0],
                popular=not session,
                log_probabilities=logarithms and bool(session),
            )
            for session, raw_ids, index in zip(known, clicks, indices, strict=True)
        ]

    def explain(
        self,
        session: Iterable[int | str],
        item: int | str | None = None,
        others: Iterable[int | str] = (),
    ) -> Explanation:
        """Explain why an item is recommended: graph, attention, what each click adds, and origin.

        A click adds the score of the whole session minus the score of the session without it.
        The attention is the readout's weight of each click and may be negative. The origin is the
        share of each part of a mixture in the item's probability, and the similarity of its text
        to that of each click; see :class:`~pyg_srgnn.inference.answer.Explanation`.

        Args:
            session: Clicks as raw ids, in order of time; unknown ones are left out.
            item: The item to explain. (default: the best one)
            others: Further items whose origin is wanted. (default: none)

        Raises:
            ValueError: If the session has no known item, or an item is unknown or has no
                probability.
            TypeError: If the session is no collection of ids.
        """
        session = _ids(session, "explain: the session", ", as in [17, 4, 17]")
        return explain(
            self.scorer, self.vocabulary, session, item, _ids(others, "explain: 'others'")
        )

    def _barred(
        self, allow: Iterable[int | str] | None, deny: Iterable[int | str] | None
    ) -> Tensor | None:
        """Which items must not be recommended [V], or None where all may be."""
        denied = [] if deny is None else _ids(deny, "recommend: 'deny'")
        if allow is None and not denied:
            return None
        allowed = [] if allow is None else _ids(allow, "recommend: 'allow'")
        barred = torch.full((len(self.vocabulary),), allow is not None)
        for ids, value in ((allowed, False), (denied, True)):
            known = [i for i in self.vocabulary.encode(ids) if i >= 0]
            barred[torch.tensor(known, dtype=torch.long)] = value
        return barred

    def _best(
        self, sessions: Sequence[Session], k: int, barred: Tensor | None, exclude_seen: bool
    ) -> Iterator[list[tuple[int | str, float]]]:
        """The k best items of every session, of sessions with a known item."""
        k = min(k, self.scorer.num_items)
        at_once = rows_at_once(self.scorer.num_items, _ROWS_AT_ONCE)
        for start in range(0, len(sessions), at_once):
            part = sessions[start : start + at_once]
            values, items = self.scorer.topk(part, k, barred, exclude_seen)
            for best, scores in zip(items.tolist(), values.tolist(), strict=True):
                pairs = zip(self.vocabulary.decode(best), scores, strict=True)
                yield [pair for pair in pairs if pair[1] != -math.inf]

    def _popular(self, k: int, barred: Tensor | None) -> list[tuple[int | str, float]]:
        order = self.popularity.argsort(descending=True, stable=True)
        if barred is not None:
            order = order[~barred[order]]
        raw = self.vocabulary.decode(order[:k].tolist())
        return list(zip(raw, self.popularity[order[:k]].tolist(), strict=True))


def _values(given: Any, name: str, expected: str) -> list[Any]:
    """The values of any collection, of an array or a tensor as Python's own.

    Raises:
        TypeError: If it is none; a text is one value.
    """
    values = given.tolist() if hasattr(given, "tolist") else given
    if isinstance(values, str | bytes) or not hasattr(values, "__iter__"):
        raise TypeError(f"{name} must be {expected} (got {given!r})")
    return list(values)


def _ids(given: Any, name: str, example: str = "") -> list[int | str]:
    """Raw ids of any collection.

    Raises:
        TypeError: If it is none, or holds something else.
    """
    expected = f"a list of raw ids{example}"
    ids = _values(given, name, expected)
    ids = [raw.item() if getattr(raw, "ndim", None) == 0 else raw for raw in ids]
    for raw in ids:
        # A truth value would count as the id 0 or 1, and a mask is no list of ids.
        if isinstance(raw, bool) or (hasattr(raw, "__iter__") and not isinstance(raw, str)):
            raise TypeError(f"{name} must be {expected} (got {raw!r} in it)")
    return ids
