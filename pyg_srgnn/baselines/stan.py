"""STAN: similar sessions, weighted by sequence and time."""

from __future__ import annotations

import torch
from torch import Tensor

from pyg_srgnn.baselines.neighbours import Evidence, SessionNeighbours
from pyg_srgnn.data.sessions import Sessions
from pyg_srgnn.utils.arguments import checking

AGES = ("time", "order")


class STAN(SessionNeighbours):
    """Scores an item by recent, alike training sessions and its place in them (STAN).

    Of a session, the click t steps before the last one weighs ``exp(-t / lambda1)``, and an item as
    its last click does. With a(n) the age of training session n and l(n) its distinct items, ::

        likeness(n) = (sum of the weights of the shared items) / sqrt(l(n)) · exp(-a(n) / lambda2)
        score(i) = sum over the k most alike n that hold i of
                   likeness(n) · exp(-|p(i, n) - p(j, n)| / lambda3)

    where p(i, n) is the place of the last click of item i in n, and j the shared item that was
    clicked last in the session. (The paper's likeness is a cosine: it divides by the norm of the
    session's weights, too, which does not change an order.) From Garg, Gupta, Malhotra, Vig and
    Shroff, "Sequence and time aware neighborhood for session-based recommendations: STAN",
    SIGIR 2019. See :class:`SessionNeighbours` for the search.

    The age of a session is 0 at the end of the training sessions and 1 at their start, so that
    lambda2 does not depend on how long a time they cover. The session to score has no time: it
    counts as clicked at the end.

    Args:
        sessions: The training sessions, in time order.
        num_items: Number of items V.
        k: Neighbours of a session. (default: 500)
        sample_size: Most recent training sessions looked at for each item of the session.
            (default: 2500)
        lambda1: Clicks by which a click's weight falls to 1 / e. (default: 1.0)
        lambda2: Age, as a part of all training sessions, at which a neighbour's weight has fallen
            to 1 / e. (default: 0.7)
        lambda3: Clicks between two items of a neighbour at which an item's weight has fallen to
            1 / e. (default: 5.0)
        age: ``"time"`` by the sessions' times, or by their order where they have none;
            ``"order"`` by their order: the number of later sessions over that of all.
            (default: ``"time"``)

    Raises:
        ValueError: If a number is below 1, a lambda is not positive or the age unknown.
    """

    def __init__(
        self,
        sessions: Sessions,
        num_items: int,
        k: int = 500,
        sample_size: int = 2500,
        lambda1: float = 1.0,
        lambda2: float = 0.7,
        lambda3: float = 5.0,
        age: str = "time",
    ) -> None:
        with checking(self) as check:
            check.number("lambda1", lambda1, above=0)
            check.number("lambda2", lambda2, above=0)
            check.number("lambda3", lambda3, above=0)
            check.one_of("age", age, AGES)
            super().__init__(sessions, num_items, k, sample_size)
        self.lambda1 = lambda1
        self.lambda3 = lambda3
        if age == "time" and sessions.times is not None:
            passed = (sessions.times.max() - sessions.times.flip(0)).double()
            ages = passed / passed.max().clamp(min=1)
        else:
            ages = torch.arange(len(sessions), dtype=torch.float64) / len(sessions)
        self.register_buffer("factor", (-ages / lambda2).exp() / self.start.diff().double().sqrt())

    factor: Tensor

    def click_weight(self, ago: Tensor, clicks: Tensor) -> Tensor:
        """By lambda1 [Q]."""
        return (-ago.double() / self.lambda1).exp()

    def session_weight(self, age: Tensor) -> Tensor:
        """By lambda2 and the session's length [P]."""
        return self.factor[age]

    def item_weight(self, found: Evidence) -> Tensor:
        """By lambda3 [E]."""
        return (-(found.position - found.shared).abs().double() / self.lambda3).exp()
