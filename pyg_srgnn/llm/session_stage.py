"""Stage 2: LoRA layers and maps learn to predict the next item."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from pyg_srgnn.data.sessions import Sessions
from pyg_srgnn.llm.aligned_model import AlignedModel
from pyg_srgnn.nn.losses import softmax_cross_entropy
from pyg_srgnn.utils.progress import Bar


def next_item_loss(
    model: AlignedModel, clicks: Tensor, lengths: Tensor, candidates: Tensor
) -> Tensor:
    """Mean loss of all samples of some sessions, a scalar.

    Args:
        model: The model.
        clicks: Item of each click, session after session [L].
        lengths: Number of clicks of each session, at least 2 [B].
        candidates: Items in the softmax, in ascending order; every target is one [C].
    """
    last = torch.zeros_like(clicks, dtype=torch.bool)
    last[lengths.cumsum(0) - 1] = True
    vectors = model(clicks[~last], lengths - 1)
    target = torch.searchsorted(candidates, clicks[~last.roll(1)])
    return softmax_cross_entropy(vectors, model.item_vectors[candidates], target)


def train_epoch(
    model: AlignedModel,
    sessions: Sessions,
    optimizer: torch.optim.Optimizer,
    epoch: int,
    batch_size: int = 16,
    seed: int = 0,
    what: str | None = None,
) -> float:
    """One pass over the training sessions, in an order that seed and epoch alone decide.

    Of a session the last ``max_clicks`` samples are trained on, in one pass over its row. Items
    that no session has are left out of the softmax.

    Args:
        model: The model.
        sessions: The training sessions.
        optimizer: Of ``model.trained()``.
        epoch: Number of the epoch.
        batch_size: Sessions in a batch. (default: 16)
        seed: Seed of the order. (default: 0)
        what: Shown beside a bar. (default: None, no bar)

    Returns:
        The mean loss of the batches.
    """
    model.train()
    device = model.item_vectors.device
    candidates = torch.unique(sessions.items).to(device)
    usable = (sessions.lengths > 1).nonzero().flatten()
    generator = torch.Generator().manual_seed(seed + epoch)
    order = usable[torch.randperm(len(usable), generator=generator)]
    batches = torch.split(order, batch_size)
    total = 0.0
    with Bar(what, len(batches), "batches") as bar:
        for done, chosen in enumerate(batches, 1):
            lengths = sessions.lengths[chosen].clamp(max=model.max_clicks + 1)
            skipped = sessions.offsets[chosen + 1] - lengths.cumsum(0)
            click = torch.arange(int(lengths.sum())) + skipped.repeat_interleave(lengths)
            loss = next_item_loss(
                model, sessions.items[click].to(device), lengths.to(device), candidates
            )
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.trained().values(), 1.0)
            optimizer.step()
            total += loss.item()
            bar.advance(note=partial("loss {:.3f}".format, total / done))
    model.eval()
    return total / len(batches)
