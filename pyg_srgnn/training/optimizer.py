"""Adam for dense gradients and for sparse gradients of the item table."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn

from pyg_srgnn.nn import SessionModel
from pyg_srgnn.utils.arguments import checking


def adam(
    model: SessionModel,
    lr: float,
    weight_decay: float,
    fused: bool = True,
    decoupled: bool = False,
) -> torch.optim.Optimizer:
    """Adam for a model; :class:`RowwiseAdam` if its item table has sparse gradients.

    Args:
        model: The model; with ``loss_name="sampled"`` its item table has sparse gradients.
        lr: Learning rate.
        weight_decay: Coupled L2 penalty; with sparse gradients, only of the item rows of a step.
        fused: Whether the dense parameters are updated in one kernel. (default: True)
        decoupled: Whether to decay as AdamW (`Loshchilov & Hutter, 2019
            <https://arxiv.org/abs/1711.05101>`_), biases excepted. (default: False)

    Raises:
        ValueError: If the decay is to be decoupled with sparse gradients.
    """
    with checking("adam") as check:
        check.number("lr", lr, above=0)
        check.number("weight_decay", weight_decay, least=0)
        check.flag("decoupled", decoupled)
        fits = model.loss_name != "sampled" or not decoupled
        check.that(fits, "decoupled", "False with loss='sampled'", decoupled)
    if decoupled:
        groups: list[dict[str, Any]] = [
            {"params": [p for p in model.parameters() if p.dim() > 1]},
            {"params": [p for p in model.parameters() if p.dim() < 2], "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=lr, weight_decay=weight_decay, fused=fused)
    if model.loss_name != "sampled":
        return torch.optim.Adam(model.parameters(), lr=lr, weight_decay=weight_decay, fused=fused)
    table = cast(nn.Parameter, model.embedding.weight)
    others = [parameter for parameter in model.parameters() if parameter is not table]
    return RowwiseAdam(table, others, lr, weight_decay, fused)


class RowwiseAdam(torch.optim.Optimizer):
    """:class:`torch.optim.SparseAdam` for a table and :class:`torch.optim.Adam` for the rest.

    For a schedule or a checkpoint it is one optimizer with two groups: the table, and the rest.

    Args:
        table: The parameter with sparse gradients [V, d]. Rows without a gradient keep their values
            and moments.
        others: The parameters with dense gradients.
        lr: Learning rate.
        weight_decay: Coupled L2 penalty; of the table, only of the rows of a step.
        fused: Whether the dense parameters are updated in one kernel. (default: False)
    """

    def __init__(
        self,
        table: nn.Parameter,
        others: Iterable[nn.Parameter],
        lr: float,
        weight_decay: float,
        fused: bool = False,
    ) -> None:
        self._sparse = torch.optim.SparseAdam([table], lr=lr)
        self._dense = torch.optim.Adam(others, lr=lr, weight_decay=weight_decay, fused=fused)
        groups = [*self._sparse.param_groups, *self._dense.param_groups]
        super().__init__(groups, {"lr": lr, "weight_decay": weight_decay})
        self._share()

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore groups and state from a checkpoint or a copy."""
        super().__setstate__(state)
        self._share()

    def __getstate__(self) -> dict[str, Any]:
        """Return the state with both optimizers, for a copy."""
        inner = {"_sparse": self._sparse, "_dense": self._dense}
        return super().__getstate__() | inner

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group in the constructor.

        Raises:
            ValueError: If it is added later: it would belong to neither optimizer.
        """
        if len(self.param_groups) == 2:
            raise ValueError("RowwiseAdam: groups cannot be added; make an optimizer of all")
        super().add_param_group(param_group)

    def _share(self) -> None:
        """Share groups and state with both optimizers."""
        self._sparse.param_groups, self._dense.param_groups = (
            self.param_groups[:1],
            self.param_groups[1:],
        )
        self._sparse.state = self._dense.state = self.state

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update the rows that have a gradient, and the dense parameters.

        Args:
            closure: Computes the loss and its gradients. (default: none)

        Returns:
            The closure's loss.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        (group,) = self._sparse.param_groups
        (table,) = group["params"]
        if table.grad is not None and group["weight_decay"]:
            # Unique rows, or a row read twice would decay twice.
            gradient = cast(Tensor, table.grad.coalesce())
            rows = table.index_select(0, gradient.indices()[0])
            gradient.values().add_(rows, alpha=group["weight_decay"])
            table.grad = gradient
        self._sparse.step()  # type: ignore[no-untyped-call]
        self._dense.step()
        return loss
