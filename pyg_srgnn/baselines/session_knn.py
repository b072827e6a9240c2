"""VSKNN: similar sessions, with more weight on the last clicks."""

from __future__ import annotations

import torch
from torch import Tensor

from pyg_srgnn.baselines.neighbours import Evidence, SessionNeighbours
from pyg_srgnn.data.sessions import Sessions
from pyg_srgnn.utils.arguments import checking

DECAYS = ("harmonic", "linear")


class VSKNN(SessionNeighbours):
    """Scores an item by the most alike training sessions that hold it (VSKNN).

    Of a session of n clicks, the click t steps before the last one weighs w(t), and an item as its
    last click does. With N the k training sessions whose shared items weigh most, the score is ::

        score(i) = sum over n in N that hold i of
                   (sum of w over the items that both share) · u(t) · log(S / n(i))

    where t is the last click whose item the neighbour shares, n(i) the training sessions that hold
    item i and S all of them. The decays are ``w(t) = u(t) = 1 / (1 + t)`` (``"harmonic"``, as in
    the authors' code) or ``w(t) = 1 - t / n`` and ``u(t) = max(0, 1 - t / 10)`` (``"linear"``).
    From Ludewig and Jannach, "Evaluation of session-based recommendation algorithms", User Modeling
    and User-Adapted Interaction 2018. See :class:`SessionNeighbours` for the search.

    Args:
        sessions: The training sessions, in time order.
        num_items: Number of items V.
        k: Neighbours of a session. (default: 500)
        sample_size: Most recent training sessions looked at for each item of the session.
            (default: 2500)
        decay: ``"harmonic"`` or ``"linear"``. (default: ``"harmonic"``)

    Raises:
        ValueError: If a number is below 1 or the decay unknown.
    """

    def __init__(
        self,
        sessions: Sessions,
        num_items: int,
        k: int = 500,
        sample_size: int = 2500,
        decay: str = "harmonic",
    ) -> None:
        with checking(self) as check:
            check.one_of("decay", decay, DECAYS)
            super().__init__(sessions, num_items, k, sample_size)
        self.decay = decay
        holding = torch.bincount(self.item, minlength=num_items).clamp(min=1).double()
        self.register_buffer("idf", (len(sessions) / holding).log())

    idf: Tensor

    def click_weight(self, ago: Tensor, clicks: Tensor) -> Tensor:
        """The decay w [Q]."""
        return 1 / (1 + ago.double()) if self.decay == "harmonic" else 1 - ago.double() / clicks

    def item_weight(self, found: Evidence) -> Tensor:
        """The decay u times the inverse document frequency [E]."""
        ago = found.ago.double()
        decay = 1 / (1 + ago) if self.decay == "harmonic" else (1 - ago / 10).clamp(min=0)
        return decay * self.idf[found.item]
