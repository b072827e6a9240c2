"""The facts of an exported mixture of models, as its manifest has them."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, fields
from typing import Any

import torch

from pyg_srgnn.functional.model_mixture import Weights

MEMBER = re.compile(r"member_[1-9]\d*")
_MOST = 64  # members


@dataclass(frozen=True)
class MixtureFacts:
    """Facts of an exported mixture that scoring needs.

    Args:
        members: Folders of its members, each of which is an export.
        new: Weight of each member in the new items, as for the next three; see
            :class:`pyg_srgnn.functional.model_mixture.Weights`.
        own: In the session's own items.
        gate: In the probability of the session's own items together.
        temperature: The temperature of each member.
        log_probabilities: True.
    """

    members: list[str]
    new: list[float]
    own: list[float]
    gate: list[float]
    temperature: list[float]
    log_probabilities: bool = True

    @property
    def weights(self) -> Weights:
        """The weights and temperatures."""
        return Weights(*(torch.tensor(getattr(self, name)) for name in Weights._fields))

    @classmethod
    def from_json(cls, found: Any) -> MixtureFacts:
        """Read the facts from the values of :func:`dataclasses.asdict`.

        Raises:
            ValueError: If a fact is missing or out of its range; names it.
        """
        names = [one.name for one in fields(cls)]
        if not isinstance(found, dict) or not found.keys() >= set(names):
            raise ValueError(f"scorer must have {', '.join(names)} (got {found!r:.80})")
        members = found["members"]
        fits = isinstance(members, list) and 0 < len(members) <= _MOST
        fits = fits and all(isinstance(one, str) and MEMBER.fullmatch(one) for one in members)
        if not fits or len(set(members)) != len(members):
            raise ValueError(f"scorer.members must be 1 to {_MOST} folders (got {members!r:.80})")
        for name in Weights._fields:
            values = found[name]
            fits = isinstance(values, list) and len(values) == len(members)
            least = 1e-3 if name == "temperature" else 0
            if not fits or not all(_is_number(value, least) for value in values):
                raise ValueError(
                    f"scorer.{name} must be {len(members)} numbers >= {least} (got {values!r:.80})"
                )
        if found["log_probabilities"] is not True:
            raise ValueError("scorer.log_probabilities must be true of a mixture")
        return cls(**{name: found[name] for name in names})


def _is_number(value: Any, least: float) -> bool:
    fits = isinstance(value, int | float) and not isinstance(value, bool)
    return fits and math.isfinite(value) and value >= least
