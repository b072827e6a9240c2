"""Recall of what follows in a session, by the type of the click: the metric of OTTO's data set."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from pyg_srgnn.functional.metrics import RECALL, WEIGHTED_RECALL, RecallWeights
from pyg_srgnn.functional.topk import rows_at_once

if TYPE_CHECKING:
    from pyg_srgnn.data.sessions import Sessions
    from pyg_srgnn.datasets.base import SessionDataset
    from pyg_srgnn.evaluation.loop import Scorer


class Truths(NamedTuple):
    """What is to be found: an item behind the cut of a session, once."""

    session: Tensor
    """Number of the session [n]."""
    item: Tensor
    """The item [n]."""
    event: Tensor
    """Number of the type [n]."""


def random_cuts(sessions: Sessions, seed: int = 0) -> tuple[Tensor, Tensor]:
    """One cut of each session with at least two clicks, drawn alike from all that it has.

    Returns:
        The sessions' numbers, and how many clicks come before the cut, int64 [S] both.
    """
    number = (sessions.lengths > 1).nonzero().squeeze(1)
    places = sessions.lengths[number] - 1
    draw = torch.rand(len(number), generator=torch.Generator().manual_seed(seed))
    return number, 1 + (draw * places).long().clamp_(max=places - 1)


def truths(
    sessions: Sessions, number: Tensor, cut: Tensor, following: int, num_events: int
) -> Truths:
    """What follows the cuts: of type ``following`` the next item, of others each item once.

    Args:
        sessions: The sessions, with types.
        number: The numbers of some of them, ascending [S].
        cut: How many of each one's clicks come before its cut [S].
        following: The number of that type.
        num_events: Number of types.
    """
    assert sessions.events is not None
    after = sessions.lengths[number] - cut
    session = torch.arange(len(number)).repeat_interleave(after)
    start = sessions.offsets[number] + cut
    click = torch.arange(len(session)) + (start - (after.cumsum(0) - after))[session]
    item, event = sessions.items[click], sessions.events[click].long()
    size = int(sessions.items.max()) + 1
    code = (session * num_events + event) * size + item
    is_next = event == following
    first = torch.full((len(number),), len(click)).scatter_reduce_(
        0, session[is_next], torch.arange(len(click))[is_next], "amin"
    )
    code = torch.cat([code[~is_next], code[first[first < len(click)]]])
    code = torch.unique(code)
    pair = code // size
    return Truths(pair // num_events, code % size, pair % num_events)


@torch.inference_mode()
def weighted_recall(
    scorer: Scorer,
    dataset: SessionDataset,
    asked: RecallWeights,
    k: int = 20,
    seed: int = 0,
    batch_size: int = 128,
    device: torch.device | str = "cpu",
) -> dict[str, float]:
    r"""Recall of each type of clicks behind one random cut of each session, and their mean.

    The k best items after the cut are compared with what follows:

    .. math::
        R_{type} = \frac{\sum_s |\text{best}_s \cap \text{truth}_{s,type}|}
        {\sum_s \min(k, |\text{truth}_{s,type}|)}, \qquad R = \sum_{type} w_{type} R_{type}

    That is the metric of `OTTO's data set <https://github.com/otto-de/recsys-dataset>`_: there, the
    truth of clicks is the next click alone, that of carts and orders every item that follows, once.
    The same k items are compared with each type.

    Args:
        scorer: The scorer, on ``device`` and in evaluation mode.
        dataset: The sessions, with types.
        asked: The weights of the types.
        k: How many items. (default: 20)
        seed: Seed of the cuts. (default: 0)
        batch_size: Sessions at once, at most. (default: 128)
        device: Where to score. (default: ``"cpu"``)

    Returns:
        Fractions ``recall_<type>@k``, without types that follow no cut, and, unless there are
        such, ``weighted_recall@k``.

    Raises:
        ValueError: If the dataset has no types, or lacks one that has a weight.
    """
    names, sessions = list(dataset.events), dataset.sessions
    missing = [name for name in asked.weights if name not in names]
    if missing or sessions.events is None:
        raise ValueError(
            f"weighted_recall: the clicks of {dataset} have the types {', '.join(names) or 'none'}"
            f"; expected {', '.join(asked.weights)}"
        )
    number, cut = random_cuts(sessions, seed)
    wanted = truths(sessions, number, cut, names.index(asked.following), len(names))
    every = dataset.unfiltered()  # the cut before a click of any type
    sample = sessions.offsets[number] - number + cut - 1
    best = []
    for part in torch.split(sample, rows_at_once(dataset.num_items, batch_size)):
        scores = scorer.scores(every.batch(part).to(device))
        best.append(scores.topk(min(k, dataset.num_items), dim=1).indices.cpu())
    hit = (torch.cat(best)[wanted.session] == wanted.item.unsqueeze(1)).any(dim=1)
    found = {}
    for name in asked.weights:
        of_type = wanted.event == names.index(name)
        most = torch.bincount(wanted.session[of_type]).clamp(max=k).sum()
        if most:
            found[name] = float(hit[of_type].sum() / most)
    result = {f"{RECALL.format(name)}@{k}": value for name, value in found.items()}
    if found.keys() == asked.weights.keys():
        total = sum(weight * found[name] for name, weight in asked.weights.items())
        result[f"{WEIGHTED_RECALL}@{k}"] = total
    return result
