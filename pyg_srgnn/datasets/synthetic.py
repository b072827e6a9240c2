"""Synthetic: generated sessions with an exactly known optimum."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch_geometric.data import Data

from pyg_srgnn.data.sessions import SECONDS_PER_DAY, Sessions, Vocabulary
from pyg_srgnn.datasets.base import SessionDataset
from pyg_srgnn.datasets.generator import SessionGenerator
from pyg_srgnn.functional.metrics import KS
from pyg_srgnn.utils.arguments import checking

_LAW = 1  # of the generator; another number makes every cache anew
_TRAINING, _TEST = 0, 1  # streams of the generator
_START = 1_704_067_200  # 2024-01-01, 00:00 UTC
_DAYS = {_TRAINING: 70, _TEST: 7}


class Synthetic(SessionDataset):
    r"""Generated sessions, with the exact optimum that no model can be expected to exceed.

    The law of the clicks is that of :class:`~pyg_srgnn.datasets.generator.SessionGenerator`: hidden
    interests, transitions from the last item and from the one before it, repeats, popularity.
    ``dataset.generator`` is the best possible scorer, :meth:`optimum` what it is expected to reach.
    Raw item ids are 1 … ``num_items``. The training sessions are spread evenly over 70 days, the
    test sessions over the 7 days that follow.

    Args:
        root: Folder of all datasets. (default: ``"datasets"``)
        split: ``"train"``, ``"valid"``, ``"trainval"`` or ``"test"``. (default: ``"train"``)
        valid: What part of the training sessions validates. (default: 0.1)
        mirror: Taken for the sake of the other datasets' signature; not used. (default: None)
        transform: Applied to every ``Data`` on access. (default: None)
        num_sessions: Training sessions, those of validation among them. (default: 60000)
        num_test_sessions: Test sessions. (default: 2000)
        **law: Arguments of :class:`~pyg_srgnn.datasets.generator.SessionGenerator`; the same ones
            give the same sessions.

    Raises:
        ValueError: If an argument is out of its range.
    """

    name = "synthetic"

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
        **law: Any,
    ) -> None:
        self.num_sessions, self.num_test_sessions = num_sessions, num_test_sessions
        arguments = inspect.signature(SessionGenerator).bind(**law)
        arguments.apply_defaults()
        self._law = arguments.arguments
        with checking(self) as check:
            check.whole("num_sessions", num_sessions, 1)
            check.whole("num_test_sessions", num_test_sessions, 1)
            self.generator = SessionGenerator(**self._law)
        super().__init__(root, split, valid, mirror, transform)

    def parameters(self) -> dict[str, Any]:
        """Every argument of the generation."""
        return {
            "law": _LAW,
            "num_sessions": self.num_sessions,
            "num_test_sessions": self.num_test_sessions,
            **self._law,
        }

    def read(self) -> tuple[Sessions, Sessions, Vocabulary]:
        """Generate both parts."""
        return (
            self._generate(_TRAINING, self.num_sessions),
            self._generate(_TEST, self.num_test_sessions),
            Vocabulary(range(1, self.generator.num_items + 1)),
        )

    def _generate(self, stream: int, count: int) -> Sessions:
        sessions = self.generator.sample(count, stream)
        start = _START + (_DAYS[_TRAINING] * SECONDS_PER_DAY if stream == _TEST else 0)
        seconds = torch.arange(count) * (_DAYS[stream] * SECONDS_PER_DAY) // count
        return Sessions(sessions.items, sessions.offsets, start + seconds)

    def optimum(self, ks: Sequence[int] = KS) -> dict[str, float]:
        """Compute the Bayes optimum of the test set: what the best ranking is expected to reach.

        Exact, from the true distribution of every test prefix's next click; the test targets are
        not looked at, so a lucky ranking may come out slightly above it.

        Args:
            ks: The cut-offs K. (default: 5, 10, 20)

        Returns:
            ``hr@K``, ``mrr@K`` and ``ndcg@K`` as fractions from 0 to 1.
        """
        return self.generator.optimum(self._generate(_TEST, self.num_test_sessions), ks)
