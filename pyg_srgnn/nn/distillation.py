"""Trains a model towards a trained one."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import Data

from pyg_srgnn.data.sessions import Sessions
from pyg_srgnn.functional.model_mixture import log_complement
from pyg_srgnn.nn.model_mixture import ModelMixture
from pyg_srgnn.nn.session_model import SessionModel
from pyg_srgnn.utils.arguments import checking

KEPT = 200  # best items of the teacher that are compared one by one
_LEAST = -60.0  # logarithm of a probability; items that a model excludes have minus infinity
_LEAST_REST = 1e-4  # probability of the rest; what is less is lost to rounding


class Distillation:
    r"""A loss that a trained model, the teacher, gives to another one, the student.

    .. math::
        (1 - w) \cdot loss + w \cdot KL(teacher \,\|\, student)

    as in `Hinton et al., 2015 <https://arxiv.org/abs/1503.02531>`_. The divergence is that over the
    teacher's best items and the rest together. The teacher's counts leave a sample's own transition
    out, as the student's do in training: it says what it would say had it not counted this sample.

    Args:
        teacher: The teacher, which has the student's items. It is not trained.
        sessions: The sessions that the student is trained on.
        weight: The weight w, above 0 and at most 1. (default: 0.5)
        kept: Best items of the teacher that are compared one by one. (default: 200)

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(
        self,
        teacher: SessionModel | ModelMixture,
        sessions: Sessions,
        weight: float = 0.5,
        kept: int = KEPT,
    ) -> None:
        with checking(self) as check:
            check.number("weight", weight, above=0, most=1)
            check.whole("kept", kept, 1)
        self.teacher = teacher.eval()
        self.teacher.set_training(sessions)  # a checkpoint does not say how samples are numbered
        self.weight = weight
        self.kept = kept

    def to(self, device: torch.device) -> None:
        """Move the teacher."""
        self.teacher.to(device)

    def loss(self, student: SessionModel, data: Data) -> Tensor:
        """Mean loss of the sessions, a scalar.

        Args:
            student: The model that is trained, in training mode.
            data: A ``Batch`` of session graphs with their next items ``data.y``.
        """
        with torch.no_grad():
            # What the student's softmax is not trained on belongs to the rest.
            taught = self.teacher.log_distribution(data, counted=True)[:, : student.num_trained]
            taught, items = taught.topk(min(self.kept, taught.size(1)), sorted=False)
        loss, learned = student.loss_and_logs(data, items)
        assert learned is not None, "it was asked for the items' probabilities"
        apart = student.mean_of(divergence(taught, learned), data)
        return (1 - self.weight) * loss + self.weight * apart


def divergence(log_q: Tensor, log_p: Tensor) -> Tensor:
    r"""Kullback-Leibler divergence of each session over some items and the rest together [B].

    .. math::
        \sum_{i \in K} q_i \log \frac{q_i}{p_i} + q_R \log \frac{q_R}{p_R}, \qquad
        q_R = 1 - \sum_{i \in K} q_i

    Args:
        log_q: The teacher's log-probabilities of the items of K [B, K].
        log_p: The student's [B, K].
    """
    q, p = (
        torch.cat([logs, log_complement(logs.logsumexp(1, keepdim=True), _LEAST_REST)], dim=1)
        for logs in (log_q.clamp(min=_LEAST), log_p.clamp(min=_LEAST))
    )
    return F.kl_div(p, q, reduction="none", log_target=True).sum(dim=1)
