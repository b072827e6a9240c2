"""Trains a model towards a trained one."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import Data

from pyg_srgnn.data.sessions import Sessions
from pyg_srgnn.functional.model_mixture import log_complement
from pyg_srgnn.functional.topk import best_of_scores
from pyg_srgnn.nn.model_mixture import ModelMixture
from pyg_srgnn.nn.session_model import SessionModel
from pyg_srgnn.utils.arguments import checking

KEPT = 200  # best items of the teacher that are compared one by one
_LEAST = -60.0  # logarithm of a probability; items that a model excludes have minus infinity
_BYTES = 6  # of an item in an answer that is kept: its number and half a float
_MEMORY = 2**31  # bytes that answers may take
_AT_ONCE = 2**22  # probabilities; an allocator of a CPU asks the system for larger blocks anew
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
        build: Makes a batch of the samples with some numbers, ``data.row``, where a sample is the
            same whenever it is drawn. Then, on a CPU, the teacher is asked once for each, if its
            answers take no more than 2 GiB. (default: None)

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(
        self,
        teacher: SessionModel | ModelMixture,
        sessions: Sessions,
        weight: float = 0.5,
        kept: int = KEPT,
        build: Callable[[Tensor], Data] | None = None,
    ) -> None:
        with checking(self) as check:
            check.number("weight", weight, above=0, most=1)
            check.whole("kept", kept, 1)
        self.teacher = teacher.eval()
        self.teacher.set_training(sessions)  # a checkpoint does not say how samples are numbered
        self.weight = weight
        self.kept = kept
        self._samples = sessions.num_samples
        self._build = build if self._samples * kept * _BYTES <= _MEMORY else None
        self._answers: _Answers | None = None

    def to(self, device: torch.device) -> None:
        """Move the teacher."""
        self.teacher.to(device)

    def __deepcopy__(self, memo: dict[int, object]) -> Distillation:
        """Itself: a copy of a model that is trained has the same teacher."""
        return self

    def loss(self, student: SessionModel, data: Data) -> Tensor:
        """Mean loss of the sessions, a scalar.

        Args:
            student: The model that is trained, in training mode.
            data: A ``Batch`` of session graphs with their next items ``data.y``.

        Raises:
            ValueError: If the student's loss is ``"sampled"``, which has no probabilities.
        """
        taught, items = self._taught(data, student.num_trained)
        loss, learned = student.loss_and_logs(data, items)
        assert learned is not None, "it was asked for the items' probabilities"
        apart = student.mean_of(divergence(taught, learned), data)
        return (1 - self.weight) * loss + self.weight * apart

    def _taught(self, data: Data, num_trained: int) -> tuple[Tensor, Tensor]:
        """Log-probabilities of the teacher's best items, and these [B, K] both."""
        if self._build is None or not data.x.is_cpu or "row" not in data:
            return self._ask(data, num_trained)
        if self._answers is None:
            self._answers = _Answers(self._samples, min(self.kept, num_trained))
        unknown = self._answers.unknown(data.row)
        size = max(1, _AT_ONCE // num_trained)
        for start in range(0, len(unknown), size):
            row = unknown[start : start + size]
            self._answers.add(row, *self._ask(self._build(row), num_trained))
        return self._answers.of(data.row)

    @torch.no_grad()
    def _ask(self, data: Data, num_trained: int) -> tuple[Tensor, Tensor]:
        # What the student's softmax is not trained on belongs to the rest.
        log_p = self.teacher.log_distribution(data, counted=True)[:, :num_trained]
        return best_of_scores(log_p, min(self.kept, num_trained))


class _Answers:
    """What a teacher has said of training samples.

    Memory is taken as it is filled. Batches draw samples again and again, so that a training of
    several epochs asks a fraction of what it looks up.

    Args:
        samples: Number of samples n.
        kept: Items K of each.
    """

    def __init__(self, samples: int, kept: int) -> None:
        self._known = torch.zeros(samples, dtype=torch.bool)
        self._items = torch.empty(samples, kept, dtype=torch.int32)
        self._logs = torch.empty(samples, kept, dtype=torch.float16)

    def unknown(self, row: Tensor) -> Tensor:
        """Those of the samples [B] that were not added, each once."""
        new: Tensor = torch.unique(row[~self._known[row]])
        return new

    def add(self, row: Tensor, logs: Tensor, items: Tensor) -> None:
        """Add log-probabilities of items [B, K] both."""
        self._items[row] = items.to(torch.int32)
        self._logs[row] = logs.clamp(min=_LEAST).to(torch.float16)
        self._known[row] = True

    def of(self, row: Tensor) -> tuple[Tensor, Tensor]:
        """What was added of samples [B]."""
        return self._logs[row].float(), self._items[row].long()


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
