"""R-Drop: two passes with different dropout are to say the same."""

from __future__ import annotations

from torch import Tensor
from torch_geometric.data import Data

from pyg_srgnn.nn.session_model import SessionModel

_LEAST = -60.0  # logarithm of a probability; items that a model excludes have minus infinity


def r_drop(model: SessionModel, data: Data) -> Tensor:
    r"""Mean divergence of a model's probabilities p and q in two passes, a scalar.

    .. math::
        \tfrac{1}{2} (KL(p \,\|\, q) + KL(q \,\|\, p))
        = \tfrac{1}{2} \sum_i (p_i - q_i) (\log p_i - \log q_i)

    as in `Liang et al., NeurIPS 2021 <https://arxiv.org/abs/2106.14448>`_, equation 2, over all
    items and with the mixture's components. The loss itself is that of a third pass.

    Args:
        model: The model in training mode; without dropout, there is no divergence.
        data: A ``Batch`` of training samples, whose clicks have been counted.
    """
    first, second = (model.log_distribution(data, counted=True).clamp(min=_LEAST) for _ in range(2))
    apart = ((first.exp() - second.exp()) * (first - second)).sum(dim=1)
    return model.mean_of(apart / 2, data)
