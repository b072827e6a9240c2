"""Supervised contrast: sessions of a batch with the same next item are to be alike."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_srgnn.nn.losses import at_least_float32
from pyg_srgnn.nn.normalize import normalize
from pyg_srgnn.nn.session_model import SessionModel

_TEMPERATURE = 0.1


def contrast(model: SessionModel, data: Data) -> Tensor:
    r"""Mean supervised contrastive loss of the sessions of a batch, a scalar.

    .. math::
        - \frac{1}{|P_b|} \sum_{p \in P_b} \log \frac{\exp(\cos(s_b, s_p) / \tau)}
        {\sum_{a \neq b} \exp(\cos(s_b, s_a) / \tau)}

    as in `Khosla et al., NeurIPS 2020 <https://arxiv.org/abs/2004.11362>`_, equation 2, with
    :math:`\tau = 0.1` and the other sessions :math:`P_b` with the next item of session b. A session
    that is alone with its next item has a loss of 0.

    Args:
        model: The model, in training mode.
        data: A ``Batch`` of training samples.
    """
    vectors = normalize(at_least_float32(model.encode(data)))
    left_out = torch.eye(len(vectors), dtype=torch.bool, device=vectors.device)
    if "target_weight" in data:  # what weighs nothing is not compared with
        left_out = left_out | (data.target_weight == 0)
    cosines = vectors @ vectors.T / _TEMPERATURE
    # Not minus infinity, of which a batch of one session would take a difference.
    cosines = cosines.masked_fill(left_out, torch.finfo(cosines.dtype).min / 2)
    log_p = cosines.log_softmax(dim=1)
    alike = (data.y.unsqueeze(1) == data.y) & ~left_out
    losses = -(log_p * alike).sum(dim=1) / alike.sum(dim=1).clamp(min=1)
    return model.mean_of(losses, data)
