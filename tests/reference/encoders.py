"""Mixed softmaxes and readouts of several levels, one session at a time, in plain loops."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


def state_after(p: Mapping[str, Any], inputs: Sequence[Tensor]) -> Tensor:
    """The state of the sequence expert's network after the last 20 clicks."""
    state = torch.zeros_like(inputs[0])
    for x in inputs[-20:]:
        gi = p["sequence.gru.weight_ih_l0"] @ x + p["sequence.gru.bias_ih_l0"]
        gh = p["sequence.gru.weight_hh_l0"] @ state + p["sequence.gru.bias_hh_l0"]
        reset = torch.sigmoid(gi.chunk(3)[0] + gh.chunk(3)[0])
        update = torch.sigmoid(gi.chunk(3)[1] + gh.chunk(3)[1])
        new = torch.tanh(gi.chunk(3)[2] + reset * gh.chunk(3)[2])
        state = (1 - update) * new + update * state
    return state


def mixed(
    p: Mapping[str, Any],
    entered: Sequence[Tensor],
    s: Tensor,
    rest: dict[int, Tensor],
    softmax: Callable[[Tensor], dict[int, Tensor]],
    sequence: str,
    softmaxes: int,
) -> dict[int, Tensor]:
    """The softmax ``rest`` mixed with others.

    Args:
        p: Parameters by name.
        entered: The vector that each click enters the model as.
        s: The session's vector.
        rest: Probability of each item in the model's own softmax.
        softmax: Gives the probabilities by another encoded session.
        sequence: How the sequence expert is trained.
        softmaxes: Number of softmaxes of the session's vector.
    """
    found = [(rest, torch.zeros((), dtype=s.dtype), True)]
    if sequence != "none":
        state = state_after(p, entered)
        known = torch.cat([s, state]).detach()
        hidden = torch.tanh(p["sequence.lin_gate.weight"] @ known + p["sequence.lin_gate.bias"])
        logit = torch.dot(p["sequence.gate.weight"][0], hidden) + p["sequence.gate.bias"][0]
        found.append((softmax(state), logit, sequence == "joint"))
    for k in range(2, softmaxes + 1):
        other = torch.tanh(p[f"softmax_{k}.lin.weight"] @ s + p[f"softmax_{k}.lin.bias"])
        logit = torch.dot(p[f"softmax_{k}.gate.weight"][0], s.detach())
        logit = logit + p[f"softmax_{k}.gate.bias"][0]
        found.append((softmax(other), logit, True))
    total = sum(torch.exp(logit.detach() if joint else logit) for _, logit, joint in found)
    total_of_joint = sum(torch.exp(logit) for _, logit, joint in found if joint)
    result = {}
    for i in rest:
        value = sum(
            torch.exp(logit.detach() if joint else logit) / total * q[i].detach()
            for q, logit, joint in found
        )
        together = sum(
            torch.exp(logit) / total_of_joint * q[i] for q, logit, joint in found if joint
        )
        # The gradient of the logarithm is the sum of those of the parts that are trained.
        for part in (together, *(q[i] for q, _, joint in found if not joint)):
            value = value * part / part.detach() if part > 0 else value
        result[i] = value
    return result


def read_out(
    p: Mapping[str, Any],
    seen: Sequence[Tensor],
    levels: int,
    positions: int,
    added: Sequence[Tensor | int],
) -> tuple[Tensor, list[float]]:
    """A session's vector by several queries, and the mean weight of every click.

    ``added`` goes into the attention of every click.
    """
    heads, weights = [], [0.0] * len(seen)
    for level in range(1, levels + 1):
        last = seen[-level:]
        query = sum(last) / len(last) @ p["readout.query"][level - 1]
        total = torch.zeros_like(seen[0])
        for t, click in enumerate(seen):
            gate = query + p["readout.lin_click.weight"] @ click + p["readout.lin_click.bias"]
            gate = gate + added[t]
            if positions:
                gate = gate + p["readout.position.weight"][min(positions, len(seen) - t) - 1]
            alpha = torch.dot(p["readout.q"][level - 1], torch.sigmoid(gate))
            total = total + alpha * click
            weights[t] += float(alpha.detach()) / levels
        heads.append(total)
    return p["readout.lin_out.weight"] @ torch.cat([seen[-1], *heads]), weights
