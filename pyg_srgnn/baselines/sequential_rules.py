"""Sequential rules: items that were clicked some steps after an item."""

from __future__ import annotations

from pyg_srgnn.baselines.markov import Markov
from pyg_srgnn.data.pairs import count_pairs, weights_by_distance
from pyg_srgnn.data.sessions import Sessions
from pyg_srgnn.utils.arguments import checking


class SequentialRules(Markov):
    """Scores an item by how often, and how soon, it was clicked after the session's last one (SR).

    A click d steps after another counts 1 / d, for d up to the window. Items that never followed
    come last, by popularity. From Ludewig and Jannach, "Evaluation of session-based
    recommendation algorithms", User Modeling and User-Adapted Interaction 2018. The scores are in
    units of 1 / 2520, so that they are whole numbers plus the popularity below 1.
    """

    @classmethod
    def fit(cls, sessions: Sessions, num_items: int, window: int = 10) -> SequentialRules:
        """Count the rules of the training sessions.

        Args:
            sessions: The training sessions.
            num_items: Number of items.
            window: Steps from a click to the last one that counts as its follower. (default: 10)

        Raises:
            ValueError: If the window is below 1.
        """
        with checking(cls) as check:
            check.whole("window", window, 1)
        pairs = count_pairs(sessions, num_items, weights_by_distance(window))
        return cls.from_pairs(sessions, num_items, *pairs)
