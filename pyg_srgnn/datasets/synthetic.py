"""Synthetic: generated sessions with an exactly known optimum."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_srgnn.data.sessions import SECONDS_PER_DAY, Sessions, Vocabulary
from pyg_srgnn.datasets.base import SessionDataset
from pyg_srgnn.datasets.generator import SessionGenerator
from pyg_srgnn.datasets.names import item_names
from pyg_srgnn.functional.metrics import KS
from pyg_srgnn.utils.arguments import checking

_LAW = 1  # of the generator; another number makes every cache anew
_TRAINING, _TEST = 0, 1  # streams of the generator
_START = 1_704_067_200  # 2024-01-01, 00:00 UTC
_TRAINING_DAYS, _TEST_DAYS = 70, 7


class Synthetic(SessionDataset):
    r"""Generated sessions, with the exact optimum that no model can be expected to exceed.

    The law of the clicks is that of :class:`~pyg_srgnn.datasets.generator.SessionGenerator`: hidden
    interests, transitions from the last item and from the one before it, repeats, popularity.
    ``dataset.generator`` is the best possible scorer, :meth:`optimum` what it is expected to reach.
    Raw item ids are 1 … ``num_items``. The training sessions are spread evenly over 70 days, the
    test sessions over the 7 days that follow.

    The catalogue grows: *late* items, the last but for the new ones, come on sale shortly before
    the validation sessions, so that few training sessions hold them, and *new* items, the last
    ones, with the test sessions. Before that the law is ``generator.on_sale(count)``, that of the
    items on sale. ``dataset.texts`` are names such as ``"red wool scarf"``, whose words depend on
    the hidden interest of the item (:func:`~pyg_srgnn.datasets.names.item_names`).

    Args:
        root: Folder of all datasets. (default: ``"datasets"``)
        split: ``"train"``, ``"valid"``, ``"trainval"`` or ``"test"``. (default: ``"train"``)
        valid: What part of the training sessions validates. (default: 0.1)
        mirror: Taken for the sake of the other datasets' signature; not used. (default: None)
        transform: Applied to every ``Data`` on access. (default: None)
        num_sessions: Training sessions, those of validation among them. (default: 60000)
        num_test_sessions: Test sessions. (default: 2000)
        new_items: Share of the items that come on sale with the test sessions. (default: 0.05)
        late_items: Share of the items that come on sale with the last training sessions.
            (default: 0.1)
        late_sessions: Share of the training sessions in which the late items are on sale; with
            0.01 more than ``valid`` they are rare in the rest. (default: 0.11)
        **law: Arguments of :class:`~pyg_srgnn.datasets.generator.SessionGenerator`; the same ones
            give the same sessions.

    Raises:
        ValueError: If an argument is out of its range.
    """

    name = "synthetic"
    text_encoder = "hashed"

    def __init__(
        self,
        root: str | Path = "datasets",
        split: str = "train",
        valid: float | str = 0.1,
        mirror: str | Path | None = None,
        transform: Callable[[Data], Data] | None = None,
        *,
        num_sessions: int = 60_000,
        num_test_sessions: int = 2_000,
        new_items: float = 0.05,
        late_items: float = 0.1,
        late_sessions: float = 0.11,
        **law: Any,
    ) -> None:
        self.num_sessions, self.num_test_sessions = num_sessions, num_test_sessions
        self.new_items, self.late_items = new_items, late_items
        self.late_sessions = late_sessions
        arguments = inspect.signature(SessionGenerator).bind(**law)
        arguments.apply_defaults()
        self._law = arguments.arguments
        with checking(self) as check:
            check.whole("num_sessions", num_sessions, 1)
            check.whole("num_test_sessions", num_test_sessions, 1)
            check.number("new_items", new_items, least=0, below=1)
            check.number("late_items", late_items, least=0, below=1)
            check.number("late_sessions", late_sessions, least=0, most=1)
            whole = SessionGenerator(**self._law)
        if new_items or late_items:
            # Those of an interest come last: without one, a late item might never be clicked.
            whole = whole.renumbered((whole.place >= 0).any(dim=0).long().argsort(stable=True))
        before_test = whole.num_items - round(new_items * whole.num_items)
        at_first = before_test - round(late_items * whole.num_items)
        with checking(self) as check:
            shares, allowed = (new_items, late_items), "shares that leave every interest an item"
            check.that(at_first >= whole.fewest, "new_items, late_items", allowed, shares)
        self.generator = whole
        self._training_laws = whole.on_sale(at_first), whole.on_sale(before_test)
        super().__init__(root, split, valid, mirror, transform)

    def parameters(self) -> dict[str, Any]:
        """Every argument of the generation."""
        return {
            "law": _LAW,
            "num_sessions": self.num_sessions,
            "num_test_sessions": self.num_test_sessions,
            "new_items": self.new_items,
            "late_items": self.late_items,
            "late_sessions": self.late_sessions,
            **self._law,
        }

    def read(self) -> tuple[Sessions, Sessions, Vocabulary]:
        """Generate both parts and the names."""
        names = item_names(self.generator.place, self._law["num_successors"], self.generator.seed)
        self.texts = list(names)
        late = self.num_sessions - round(self.late_sessions * self.num_sessions)
        spans = pairwise((0, late, self.num_sessions))
        parts = [
            law.sample(end - first, _TRAINING, first)
            for law, (first, end) in zip(self._training_laws, spans, strict=True)
            if end > first
        ]
        return (
            _timed(reduce(Sessions.append, parts), 0, _TRAINING_DAYS),
            self._test(),
            Vocabulary(range(1, self.generator.num_items + 1)),
        )

    def _test(self) -> Sessions:
        sessions = self.generator.sample(self.num_test_sessions, _TEST)
        return _timed(sessions, _TRAINING_DAYS, _TEST_DAYS)

    def optimum(self, ks: Sequence[int] = KS) -> dict[str, float]:
        """Compute the Bayes optimum of the test set: what the best ranking is expected to reach.

        Exact, from the true distribution of every test prefix's next click; the test targets are
        not looked at, so a lucky ranking may come out slightly above it.

        Args:
            ks: The cut-offs K. (default: 5, 10, 20)

        Returns:
            ``hr@K``, ``mrr@K`` and ``ndcg@K`` as fractions from 0 to 1.
        """
        return self.generator.optimum(self._test(), ks)

    def optimum_by_target(
        self, groups: Mapping[str, Tensor], ks: Sequence[int] = KS
    ) -> dict[str, dict[str, float]]:
        """Compute what the ranking of :meth:`optimum` is expected to reach on groups of targets.

        A ranking that prefers the items of a group may reach more there, and less over all targets.

        Args:
            groups: The items of each group, bool [V].
            ks: The cut-offs K. (default: 5, 10, 20)

        Returns:
            What :meth:`optimum` returns, of each group; nothing of a group without items.
        """
        return self.generator.optimum_by_target(self._test(), groups, ks)


def _timed(sessions: Sessions, first: int, days: int) -> Sessions:
    """Spread the sessions evenly over the days from the given one on."""
    count = len(sessions)
    seconds = torch.arange(count) * (days * SECONDS_PER_DAY) // count
    return Sessions(sessions.items, sessions.offsets, _START + first * SECONDS_PER_DAY + seconds)
