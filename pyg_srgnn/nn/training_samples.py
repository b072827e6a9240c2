"""The numbers of the training samples, by which a model knows what they added to its counts."""

from __future__ import annotations

import torch
from torch import Tensor

from pyg_srgnn.data.sessions import Sessions
from pyg_srgnn.nn.component import HELD_OUT

_MIXED = 2_654_435_761  # a multiplier that mixes the numbers of sessions (Knuth)


class TrainingSamples:
    """The samples of the training sessions, numbered one session after another.

    Args:
        sessions: The training sessions.
    """

    def __init__(self, sessions: Sessions) -> None:
        self.count = sessions.num_samples
        self._first = sessions.offsets[:-1] - torch.arange(len(sessions))

    def session(self, row: Tensor) -> Tensor:
        """The number of the session of each sample [B]."""
        self._first = self._first.to(row.device)  # moves the first time only
        return torch.searchsorted(self._first, row, right=True) - 1

    def held_out(self, row: Tensor) -> Tensor:
        """Which samples are of one of the sessions, about every tenth, that are held out [B]."""
        return self.session(row) * _MIXED % 2**31 < 2**31 // HELD_OUT
