"""The ways in which a catalogue can be searched, and the one that was chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

AUTO = "auto"
WAYS = ("float32", "int8", "bfloat16", "float16", "float32_blocks")
"""Those that take the least memory first."""
CHOICES = (AUTO, *WAYS)
"""What may be asked for: the fastest way, or a certain one."""
SESSIONS = (1, 16)
"""Sessions at once that are timed."""


@dataclass(frozen=True)
class Choice:
    """How a catalogue is searched, and why.

    Args:
        precision: One of :data:`WAYS`.
        asked: One of :data:`CHOICES`.
        items: Number of items V.
        threads: Threads of torch.
        milliseconds: Of every way that was timed, those of a search for each number of
            :data:`SESSIONS`; fewer of one that was given up. (default: nothing was timed)
    """

    precision: str
    asked: str
    items: int
    threads: int
    milliseconds: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def __str__(self) -> str:
        """One line for people."""
        size = f"{self.items:,} items, {self.threads} thread{'s' * (self.threads != 1)}"
        if not self.milliseconds:
            why = "so few need no other" if self.asked == AUTO else f"precision={self.asked}"
            return f"{self.precision} ({why}; {size})"
        sessions = " and ".join(map(str, SESSIONS))
        times = ", ".join(
            f"{name} {' and '.join(f'{of:.2f}' for of in took)}"
            for name, took in self.milliseconds.items()
        )
        return f"{self.precision} (the fastest; {size}; ms of {sessions} sessions: {times})"
