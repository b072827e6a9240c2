"""Compares a model with a reference in plain loops: scores, and gradients of the loss."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data import Batch

from pyg_srgnn.nn import SRGNN
from tests.nn.test_ingredients import TARGETS


def agrees(model: SRGNN, batch: Batch, expected: Tensor) -> None:
    """Check log-probabilities [B, V], and the gradients of all parameters, each of which has one.

    Args:
        model: The model, float64.
        batch: The sessions of :mod:`tests.nn.test_ingredients`, with their targets.
        expected: What the reference makes of the model's parameters.
    """
    with torch.no_grad():
        found = model.scores(batch).log_softmax(dim=1)
    torch.testing.assert_close(found, expected.detach(), rtol=0, atol=1e-9)
    wanted = torch.stack([-row[target] for row, target in zip(expected, TARGETS, strict=True)])
    wanted.mean().backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    model.loss(batch).backward()
    for name, parameter in model.named_parameters():
        assert gradients[name].abs().max() > 1e-9, f"{name} is not tested"
        torch.testing.assert_close(parameter.grad, gradients[name], rtol=0, atol=1e-8)
