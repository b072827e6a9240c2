"""Fits the weights of a mixture whose members are fixed."""

from __future__ import annotations

import torch
from torch import Tensor

TEMPERATURES = (0.7, 0.8, 0.9, 1.0, 1.15, 1.3, 1.5)
_STEPS = 200  # of expectation and maximisation, each of which raises the likelihood
_STEPS_OF_TRIAL = 20


def mixture_weights(logs: Tensor, steps: int = _STEPS) -> tuple[Tensor, Tensor]:
    r"""The weights that maximise :math:`\sum_n \log \sum_m w_m \exp l_{nm}`, which has one maximum.

    Args:
        logs: What each member gives to each sample, logarithms [n, M]. A sample to which no member
            gives anything does not count.
        steps: Steps of expectation and maximisation. (default: 200)

    Returns:
        The weights [M], which sum to 1, and the maximum, a scalar. Without any sample, all
        members weigh the same.
    """
    logs = logs[logs.isfinite().any(dim=1)]
    weight = logs.new_full((logs.size(1),), 1 / logs.size(1))
    if logs.size(0):
        for _ in range(steps):
            weight = (logs + weight.log()).softmax(dim=1).mean(dim=0)
    return weight, (logs + weight.log()).logsumexp(dim=1).sum()


def best_temperatures(new: Tensor, own: Tensor) -> Tensor:
    """The choice of a temperature for each member with which their mixtures are likeliest.

    One member after another takes the best of its temperatures, until none changes.

    Args:
        new: What each member gives to new targets among the new items at each temperature,
            logarithms [n, M, T].
        own: The same of targets that the sessions hold [m, M, T].

    Returns:
        Which temperature, int64 [M].
    """
    members, choices = new.shape[1:]
    chosen = torch.full((members,), TEMPERATURES.index(1.0), device=new.device)

    def likelihood(which: Tensor) -> Tensor:
        index = which.view(1, members, 1)
        parts = (logs.take_along_dim(index, dim=2).squeeze(2) for logs in (new, own))
        return torch.stack([mixture_weights(part, _STEPS_OF_TRIAL)[1] for part in parts]).sum()

    while True:
        before = chosen.clone()
        for member in range(members):
            trials = chosen.repeat(choices, 1)
            trials[:, member] = torch.arange(choices, device=chosen.device)
            found = torch.stack([likelihood(trial) for trial in trials])
            best = found.argmax()
            if found[best] > found[chosen[member]]:
                chosen = trials[best]
        if torch.equal(before, chosen):
            return chosen
