"""Counts the users of a log, and refuses one in which none comes back."""

from __future__ import annotations

from typing import Any

import torch

from pyg_srgnn.clicklog.spec import Preparation
from pyg_srgnn.data.earlier import EarlierClicks
from pyg_srgnn.data.sessions import Sessions


def count_users(training: Sessions, test: Sessions, preparation: Preparation) -> dict[str, Any]:
    """Count users, sessions without one, and sessions with earlier ones of their user.

    Args:
        training: The training sessions, with users.
        test: The test sessions, with users.
        preparation: The declaration.

    Returns:
        ``users`` of the log, ``anonymous`` sessions without a user, and ``with_earlier``, the
        training and the test sessions of a user that has earlier ones.

    Raises:
        ValueError: If no session has an earlier one.
    """
    lengths = EarlierClicks([training, test], 1).lengths
    user = torch.cat([part.visits[:, 0] for part in (training, test) if part.visits is not None])
    known = user[user >= 0]
    users = torch.unique(known).numel()
    if not lengths.any():
        raise ValueError(
            f"dataset.user={preparation.user}: no session has an earlier one of its user; found "
            f"{len(known):,} sessions of {users:,} users and {len(user) - len(known):,} of none, "
            f"expected users with several sessions, of which one ends before another begins; "
            f"leave dataset.user out if there are none"
        )
    earlier = {
        "training": int(lengths[: len(training)].count_nonzero()),
        "test": int(lengths[len(training) :].count_nonzero()),
    }
    return {"users": users, "anonymous": len(user) - len(known), "with_earlier": earlier}
