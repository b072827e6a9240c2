"""How many kernels does a training step launch?

A GPU that has little to compute waits for the host, which takes some ten microseconds a launch:
the number of launches is the time of a step. It is counted without a GPU, as calls of ATen
operators below autograd that work on elements. What gives another view of the same memory, or
memory alone, launches nothing. A few operators launch several kernels (a sort) and some of them
are fused by ``torch.compile``: it is a number to compare models and versions by.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

_ALLOCATIONS = ("aten.empty", "aten.new_empty", "aten._unsafe_view", "aten.detach")
_WAITS = (
    "aten._local_scalar_dense",
    "aten._unique2",
    "aten.bincount",
    "aten.equal",
    "aten.masked_select",
    "aten.nonzero.",
    "aten.repeat_interleave.Tensor",
    "aten.unique_",
)


class Launches(TorchDispatchMode):
    """Counts what would be launched while it is active, backward passes included.

    Attributes:
        calls: Number of launches of each operator.
        waits: Number of those for whose result the host would wait: the size of a tensor, or a
            number.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        self.waits: Counter[str] = Counter()

    @property
    def total(self) -> int:
        """Number of all launches."""
        return self.calls.total()

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Count one operator, and run it."""
        result = func(*args, **(kwargs or {}))
        name = str(func)
        # Some, like promote_types, only look at tensors.
        works = name.startswith("aten.") and any(
            str(each.type).startswith(("Tensor", "List[Tensor]", "Optional[Tensor]"))
            for each in (*func._schema.returns, *func._schema.arguments[:1])
        )
        if works and not func.is_view and not name.startswith(_ALLOCATIONS):
            self.calls[name] += 1
            if name.startswith(_WAITS):
                self.waits[name] += 1
        return result


def launches(step: Callable[[], Any]) -> Launches:
    """What a step launches, after two that make buffers and the optimizer's state."""
    for _ in range(2):
        step()
    with Launches() as counted:
        step()
    return counted


def aten_calls(step: Callable[[], Any]) -> int:
    """ATen calls of a step as torch's profiler lists them, those within others and views too."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as found:
        step()
    return sum(event.name.startswith("aten::") for event in found.events())
