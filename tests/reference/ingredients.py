"""SR-GNN with every later ingredient, one session at a time, in plain loops over its equations.

Parameters are read from the model by name; everything else is written anew.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pyg_srgnn.nn import SRGNN
from tests.reference import (
    dense_srgnn,
    encoders,
    item_text,
    marks,
    repeat_counts,
    similar_items,
    users,
)
from tests.reference import text_expert as reference_expert
from tests.reference.graphs import dense_weights, session_graph
from tests.reference.names import conv_names, model_names, readout_names


def unit(x: Tensor) -> Tensor:
    """x at length 1."""
    return x / torch.sqrt(sum(v * v for v in x))


def log(x: Tensor) -> Tensor:
    """The logarithm; that of 0 has no gradient."""
    return torch.log(x) if x > 0 else x.detach().log()


def log_probabilities(
    model: SRGNN,
    session: Sequence[int],
    *,
    scale: float | None = None,
    residual: str = "none",
    last_k: int = 1,
    readout_levels: int = 1,
    positions: int = 0,
    frequency: bool = False,
    repeat: bool | str = False,
    neighbours: list[list[tuple[int, float]]] | None = None,
    transitions: list[dict[int, float]] | None = None,
    own: int | None = None,
    own_weight: float = 1.0,
    others: list[dict[int, float]] | None = None,
    similar: list[dict[int, float]] | None = None,
    item_bias: bool = False,
    popularity: Sequence[Sequence[float]] | None = None,
    temperature: bool = False,
    output_table: str = "tied",
    item_table: str = "id",
    texts: item_text.Vectors | None = None,
    text_neighbours: int = 0,
    clicks: Sequence[int] = (),
    num_trained: int | None = None,
    scored: Sequence[int] | None = None,
    text_expert: bool = False,
    expert_scored: Sequence[int] = (),
    events: Sequence[int] | None = None,
    pauses: Sequence[int] | None = None,
    num_events: int = 0,
    sequence: str = "none",
    softmaxes: int = 1,
    earlier: Sequence[int] = (),
) -> Tensor:
    """Logarithm of every item's probability [V].

    ``own`` is the target that training leaves out, counted with ``own_weight``; ``others`` are the
    transitions without those of its session, where these are left out; ``texts`` are whitened,
    ``clicks`` those of each item in training, ``scored`` the items in the softmax,
    ``expert_scored`` in the text expert's; ``popularity`` is that of every item, by each half-life;
    ``events`` are the clicks' types, ``pauses`` the seconds before them; ``earlier`` are the clicks
    of the user's earlier sessions.
    """
    p: dict[str, Any] = dict(model.named_parameters())
    names = conv_names(model.conv, lambda parameter: parameter)
    if readout_levels == 1:
        names = model_names(model, lambda parameter: parameter)
    table = list(p["embedding.weight"])
    if texts is not None:
        table = item_text.table(p, item_table, texts, model.embedding.channels)
    vectors = [unit(row) if scale and bool(row.any()) else row for row in table]
    graph = session_graph(session)
    num_trained = len(table) if num_trained is None else num_trained
    scored = range(len(table)) if scored is None else scored

    def entered(item: int) -> Tensor:
        if item_table == "id" and item >= num_trained:
            near = {} if texts is None else item_text.stand_ins(texts, num_trained, item)
            start = torch.zeros_like(vectors[0])
            return sum((w * entered(j) for j, w in near.items()), start)
        x = vectors[item]
        if neighbours is not None:
            mean = sum((w * table[j] for j, w in neighbours[item]), torch.zeros_like(x))
            if scale and neighbours[item] and bool(mean.any()):
                mean = unit(mean)
            x = x + p["global_graph.lin.weight"] @ mean
        return x

    marked = {} if events is None else {"event": list(events)}
    if pauses is not None:  # what was before the first click is no part of the session
        marked["gap"] = [0, *(marks.bucket(pause) for pause in pauses[1:])]
    inputs = {item: entered(item) for item in graph.nodes}
    rows = []
    for item in graph.nodes:
        x = inputs[item]
        if frequency:
            x = x + p["frequency.weight"][min(10, list(session).count(item))]
        at = [t for t, clicked in enumerate(session) if clicked == item]
        for name, values in marked.items():
            x = x + sum(p[f"marks.node.{name}.weight"][values[t]] for t in at) / len(at)
        rows.append(x)
    older = users.older_graph(session, earlier)
    rows += [entered(item) for item in older.nodes[len(graph.nodes) :]]
    for node in {older.alias[t] for t in range(len(earlier))}:
        rows[node] = rows[node] + p["older.node"]
    before = torch.stack(rows)
    a_in, a_out = dense_weights(graph)
    if events is not None:
        for (u, v), shares in marks.step_shares(graph.alias, events, num_events).items():
            for direction, weights, cell in ((0, a_out, (u, v)), (1, a_in, (v, u))):
                factors = [torch.exp(one) for one in p["marks.step.weight"][:, direction]]
                total = sum(share * one for share, one in zip(shares, factors, strict=True))
                place = torch.zeros_like(weights)
                place[cell] = 1.0
                moved = weights + place * weights[cell] * (total - 1)
                a_out, a_in = (moved, a_in) if direction == 0 else (a_out, moved)
    if "text_factor" in p:
        for u, v in {*zip(graph.alias, graph.alias[1:], strict=False)}:
            cosine = float(texts[graph.nodes[u]] @ texts[graph.nodes[v]])
            moved = torch.zeros_like(a_out), torch.zeros_like(a_in)
            moved[0][u, v] = moved[1][v, u] = 1.0
            outgoing, incoming = torch.exp(p["text_factor"] * cosine)
            a_out = a_out + moved[0] * a_out[u, v] * (outgoing - 1)
            a_in = a_in + moved[1] * a_in[v, u] * (incoming - 1)
    count = len(graph.nodes)
    if earlier:
        outgoing, incoming = torch.exp(p["older.log_factor"])
        further, older_in, older_out = len(rows) - count, *dense_weights(older)
        a_in, a_out = (torch.nn.functional.pad(a, (0, further, 0, further)) for a in (a_in, a_out))
        a_in, a_out = a_in + incoming * older_in, a_out + outgoing * older_out
    h = dense_srgnn.propagate(names, a_in, a_out, before, 1, False)
    if earlier:
        added_to_all = users.summary(p, h, graph.alias[-1], older.alias[:-1])
        h = torch.stack([row + added_to_all for row in h])
    h, before = h[:count], before[:count]
    if residual == "add":
        h = h + before
    if residual == "highway":
        mixed = []
        for old, new in zip(before, h, strict=True):
            both = torch.cat([old, new])
            g = torch.sigmoid(p["lin_residual.weight"] @ both + p["lin_residual.bias"])
            mixed.append(g * old + (1 - g) * new)
        h = torch.stack(mixed)

    seen = [h[node] for node in graph.alias]
    added = [
        sum((p[f"marks.click.{name}.weight"][values[t]] for name, values in marked.items()), 0)
        for t in range(len(seen))
    ]
    if readout_levels > 1:
        encoded, _ = encoders.read_out(p, seen, readout_levels, positions, added)
    else:
        local = sum(seen[-last_k:]) / len(seen[-last_k:])
        total = torch.zeros_like(local)
        for t, click in enumerate(seen):
            gate = names["W_1"] @ seen[-1] + names["W_2"] @ click + names["c"] + added[t]
            if positions:
                gate = gate + p["readout.position.weight"][min(positions, len(seen) - t) - 1]
            total = total + torch.dot(names["q"], torch.sigmoid(gate)) * click
        encoded = names["W_3"] @ torch.cat([local, total])
    if output_table == "delta":
        moved = [row + change for row, change in zip(table, p["output.delta"], strict=True)]
        vectors = [unit(row) if scale else row for row in moved]
    inside = set(session) if repeat else set()

    def softmax(encoded: Tensor) -> dict[int, Tensor]:
        """Probability of each item that the repeat head leaves."""
        s, factors = finished(p, encoded, scale, temperature, bool(popularity))
        scores = torch.stack([torch.dot(s, v) for v in vectors])
        for number, factor in enumerate(factors):
            of_all = [of_item[number] for of_item in popularity or ()]
            scores = scores + factor * torch.tensor(of_all, dtype=s.dtype)
        if item_bias:
            scores = scores + p["output.bias"]
        total = sum(torch.exp(scores[i]) for i in scored if i not in inside)
        nothing = torch.zeros_like(scores[0])
        return {
            i: torch.exp(scores[i]) / total if i in scored else nothing
            for i in range(len(scores))
            if i not in inside
        }

    s, _ = finished(p, encoded, scale, temperature, bool(popularity))
    rest = softmax(encoded)
    if sequence != "none" or softmaxes > 1:
        clicked = [inputs[item] for item in session]
        rest = encoders.mixed(p, clicked, s, rest, softmax, sequence, softmaxes)
    if text_expert:
        assert texts is not None
        arguments = rest, texts, clicks, expert_scored, scale or 12.0, positions
        expert = readout_names(model.text_expert.readout, lambda parameter: parameter)
        rest = reference_expert.mixed(p, expert, session, s, *arguments)
    if text_neighbours:
        assert texts is not None
        near = item_text.neighbours_of(texts, text_neighbours)
        rest = item_text.mixed_with_neighbours(p, session, s, rest, near, text_neighbours, clicks)
    if similar is not None:
        rest = similar_items.mixed(p, session, s, rest, similar, own, own_weight)
    if transitions is not None:
        rest = mixed_with_transitions(p, session, s, rest, transitions, own, own_weight, others)
    if not repeat:
        return torch.stack([log(rest[i]) for i in range(len(table))])
    if repeat == "counts":
        counted = transitions if others is None else others
        logit, within = repeat_counts.shares(p, session, s, counted)
    else:
        logit, within = own_shares(p, session, s, dict(zip(graph.nodes, h, strict=True)))
    g = torch.sigmoid(logit)
    return torch.stack(
        [log(g * within[i]) if i in within else log((1 - g) * rest[i]) for i in range(len(table))]
    )


def finished(
    p: dict[str, Any], encoded: Tensor, scale: float | None, temperature: bool, popularity: bool
) -> tuple[Tensor, list[Tensor]]:
    """The session's vector as it is multiplied, and the factors of popularity."""
    learned = []
    if temperature or popularity:
        learned = list(p["output.lin.weight"] @ encoded + p["output.lin.bias"])
    s = scale * unit(encoded) if scale else encoded
    if temperature:
        s = torch.exp(torch.tanh(learned.pop(0))) * s
    return s, learned


def own_shares(
    p: dict[str, Any], session: Sequence[int], s: Tensor, h: dict[int, Tensor]
) -> tuple[Tensor, dict[int, Tensor]]:
    """The gate's logit, and the probability of each item of the session among these."""
    r = {}
    for item, node in h.items():
        back = list(reversed(session)).index(item)
        hidden = (
            p["repeat.lin_node.weight"] @ node
            + p["repeat.lin_node.bias"]
            + p["repeat.lin_session.weight"] @ s
            + p["repeat.frequency.weight"][min(20, list(session).count(item))]
            + p["repeat.place.weight"][min(20, back)]
        )
        r[item] = torch.dot(p["repeat.q.weight"][0], torch.tanh(hidden))
    hidden = (
        p["repeat.lin_gate.weight"] @ s
        + p["repeat.lin_gate.bias"]
        + p["repeat.clicks.weight"][min(20, len(session))]
        + p["repeat.repeats.weight"][min(20, len(session) - len(h))]
    )
    logit = torch.dot(p["repeat.gate.weight"][0], torch.tanh(hidden)) + p["repeat.gate.bias"][0]
    total = sum(torch.exp(v) for v in r.values())
    return logit, {item: torch.exp(v) / total for item, v in r.items()}


def mixed_with_transitions(
    p: dict[str, Any],
    session: Sequence[int],
    s: Tensor,
    rest: dict[int, Tensor],
    transitions: list[dict[int, float]],
    own: int | None,
    own_weight: float,
    others: list[dict[int, float]] | None,
) -> dict[int, Tensor]:
    """(1 - m) p + m q over the items of ``rest``."""
    q = {i: torch.zeros((), dtype=s.dtype) for i in rest}
    for back, item in enumerate(reversed(session)):
        if back >= 10:
            break
        counts = dict(transitions[item])
        if own in counts:
            left = counts[own] - own_weight / (back + 1)
            counts[own] = max(0.0, left) if others is None else others[item][own]
        counts = {i: c for i, c in counts.items() if i in rest}
        if total := sum(counts.values()):
            for i, c in counts.items():
                q[i] = q[i] + torch.exp(p["transitions.place.weight"][back, 0]) * c / total
    mass = sum(q.values())
    if mass == 0:
        return rest
    last = (transitions if others is None else others)[session[-1]]
    known = math.log(1 + sum(last.values()))
    both = torch.cat([s.detach(), torch.tensor([known], dtype=s.dtype)])
    weight, bias = p["transitions.lin_gate.weight"], p["transitions.lin_gate.bias"]
    logit = torch.dot(p["transitions.gate.weight"][0], torch.tanh(weight @ both + bias))
    m = torch.sigmoid(logit + p["transitions.gate.bias"][0])
    alone = {i: value.detach() for i, value in rest.items()}
    mixed = {i: (1 - m) * alone[i] + m * q[i] / mass for i in rest}
    # Its gradient by the model is that of the model alone, and by the gate that of the mixture.
    return {i: mixed[i] * rest[i] / alone[i] if alone[i] > 0 else mixed[i] for i in rest}


def weights_of(
    sessions: Sequence[Sequence[int]], half_life: float | None = None
) -> list[list[float]]:
    """Weight of every click of every session: that of the sample whose target it is."""
    number, total = 0, sum(len(session) - 1 for session in sessions)
    result = []
    for session in sessions:
        row = [math.nan]  # the first click is no target, and comes after nothing
        for _ in session[1:]:
            age = (total - 1 - number) / total
            row.append(1.0 if half_life is None else 0.5 ** (age / half_life))
            number += 1
        result.append(row)
    return result


def transitions_of(
    sessions: Sequence[Sequence[int]], num_items: int, half_life: float | None = None
) -> list[dict[int, float]]:
    """For each item, how often, how soon and how lately every other one was clicked after it."""
    result: list[dict[int, float]] = [{} for _ in range(num_items)]
    for session, weight in zip(sessions, weights_of(sessions, half_life), strict=True):
        for a, first in enumerate(session):
            for b in range(a + 1, min(len(session), a + 11)):
                second = session[b]
                result[first][second] = result[first].get(second, 0.0) + weight[b] / (b - a)
    return result


def popularity_of(
    sessions: Sequence[Sequence[int]],
    num_items: int,
    half_lives: Sequence[float],
    without: int | None = None,
) -> list[list[float]]:
    """Logarithm of one plus each item's clicks by every half-life, less the mean of all items.

    The click that is the target of sample ``without`` is not counted; the mean is as it was.
    """
    result: list[list[float]] = [[] for _ in range(num_items)]
    for half_life in half_lives:
        count = [0.0] * num_items
        left_out = [0.0] * num_items
        number, total = 0, sum(len(session) - 1 for session in sessions)
        for session in sessions:
            for at, item in enumerate(session):
                weight = 0.5 ** ((total - 1 - number) / total / half_life)
                count[item] += weight
                if at and number == without:
                    left_out[item] = weight
                number += at > 0  # a first click is as old as the second one
        mean = sum(math.log(1 + c) for c in count) / num_items
        for item in range(num_items):
            result[item].append(math.log(1 + count[item] - left_out[item]) - mean)
    return result


def near_of(
    sessions: Sequence[Sequence[int]],
    item: int,
    other: int,
    window: int,
    half_life: float | None = None,
    own: int | None = None,
) -> float:
    """How often, and how lately, two items were clicked within a window, or only in one session."""
    found = 0.0
    for number, weight in enumerate(weights_of(sessions, half_life)):
        if own not in (None, number):
            continue
        for a, first in enumerate(sessions[number]):
            for b, second in enumerate(sessions[number]):
                if first == item and second == other and 0 < abs(a - b) <= window:
                    found += weight[max(a, b)]
    return found


def neighbours_of(
    sessions: Sequence[Sequence[int]],
    num_items: int,
    most: int,
    window: int,
    half_life: float | None = None,
) -> list[list[tuple[int, float]]]:
    """For each item its most frequent neighbours within a window, and their shares."""
    result = []
    weights = weights_of(sessions, half_life)
    for item in range(num_items):
        count: dict[int, float] = {}
        for session, weight in zip(sessions, weights, strict=True):
            for a, first in enumerate(session):
                for b, second in enumerate(session):
                    if first == item and second != item and 0 < abs(a - b) <= window:
                        count[second] = count.get(second, 0) + weight[max(a, b)]
        best = sorted(count.items(), key=lambda pair: (-pair[1], pair[0]))[:most]
        total = sum(c for _, c in best)
        result.append([(other, c / total) for other, c in best])
    return result


def smoothed(logs: Tensor, target: int, smoothing: float) -> Tensor:
    """Cross-entropy against a target that shares ``smoothing`` of its probability with all."""
    total = torch.zeros((), dtype=logs.dtype)
    for i, value in enumerate(logs):
        wanted = smoothing / len(logs) + (1 - smoothing) * (i == target)
        total = total - wanted * value
    return total
