"""Adam for every kind of gradient: dense, or only of the rows that a step has read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn

from pyg_srgnn.nn import SessionModel
from pyg_srgnn.utils.arguments import checking


def adam(
    model: SessionModel,
    lr: float = 1e-3,
    weight_decay: float = 1e-5,
    fused: bool = True,
    decoupled: bool = False,
) -> torch.optim.Optimizer:
    """Adam for a model: plain, or row by row where its item table has sparse gradients.

    Args:
        model: The model; its ``loss_name`` tells which gradients it has.
        lr: Learning rate. (default: 1e-3)
        weight_decay: Coupled L2 penalty; of an item table with sparse gradients only the rows of
            the step have one. (default: 1e-5)
        fused: Whether the dense parameters are updated in one kernel. (default: True)
        decoupled: Whether the decay goes past the moments (AdamW, `Loshchilov & Hutter, 2019
            <https://arxiv.org/abs/1711.05101>`_), and past biases. (default: False)

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

    To a schedule or a checkpoint it is one optimizer: the group of the table, then the other one.

    Args:
        table: The parameter with sparse gradients [V, d]. A row that no gradient names stays as it
            is, its moments too.
        others: The parameters with dense gradients.
        lr: Learning rate. (default: 1e-3)
        weight_decay: Coupled L2 penalty; of the table only the rows of the step have one.
            (default: 0)
        fused: Whether the dense parameters are updated in one kernel. (default: False)
    """

    def __init__(
        self,
        table: nn.Parameter,
        others: Iterable[nn.Parameter],
        lr: float = 1e-3,
        weight_decay: float = 0.0,
        fused: bool = False,
    ) -> None:
        self._sparse = torch.optim.SparseAdam([table], lr=lr)
        self._dense = torch.optim.Adam(others, lr=lr, weight_decay=weight_decay, fused=fused)
        groups = [*self._sparse.param_groups, *self._dense.param_groups]
        super().__init__(groups, {"lr": lr, "weight_decay": weight_decay})
        self._share()

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over groups and state, such as a checkpoint or a copy holds."""
        super().__setstate__(state)
        self._share()

    def __getstate__(self) -> dict[str, Any]:
        """All of it: a copy has optimizers of its own."""
        inner = {"_sparse": self._sparse, "_dense": self._dense}
        return super().__getstate__() | inner

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group when the optimizer is made.

        Raises:
            ValueError: If it is added later: it would belong to neither kind of gradient.
        """
        if len(self.param_groups) == 2:
            raise ValueError("RowwiseAdam: groups cannot be added; make an optimizer of all")
        super().add_param_group(param_group)

    def _share(self) -> None:
        """Let both optimizers work on this one's groups and state."""
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
