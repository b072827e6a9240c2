"""Stage 1: an item's text state and its graph vector are contrasted."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from pyg_srgnn.llm.aligned_model import AlignedModel
from pyg_srgnn.utils.progress import Bar


class TextStates:
    """Text states of some items, without what all of them share.

    Args:
        states: States of the items' texts [n, h].
        items: Their items [n].
        group: Number of each one's text [n]; equal texts have equal numbers.
    """

    def __init__(self, states: Tensor, items: Tensor, group: Tensor) -> None:
        self.mean = states.mean(dim=0)
        self.length = float((states - self.mean).norm(dim=1).mean())
        self.directions = F.normalize(states - self.mean)
        self.items = items
        self.group = group

    def to(self, device: torch.device | str) -> TextStates:
        """Move them."""
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(self, name, value.to(device))
        return self


def contrast(model: AlignedModel, texts: TextStates, rows: Tensor, temperature: float) -> Tensor:
    r"""InfoNCE in both directions, a scalar.

    With the cosine :math:`c_{ij}` between text state i and mapped vector j, the mean of
    :math:`-\log (e^{c_{ii} / \tau} / \sum_j e^{c_{ij} / \tau})` over texts, and over vectors alike.
    Other items of the same text are no wrong answers, and are left out.

    Args:
        model: The model, whose map is trained.
        texts: The text states.
        rows: Which of them to contrast with one another [n].
        temperature: :math:`\tau`.
    """
    mapped = F.normalize(model.into(model.item_vectors[texts.items[rows]]))
    logits = texts.directions[rows] @ mapped.T / temperature
    group = texts.group[rows]
    same = (group == group.unsqueeze(1)).fill_diagonal_(False)
    logits = logits.masked_fill(same, -torch.inf)
    right = torch.arange(len(rows), device=rows.device)
    return (F.cross_entropy(logits, right) + F.cross_entropy(logits.T, right)) / 2


def align_items(
    model: AlignedModel,
    texts: TextStates,
    steps: int = 300,
    batch_size: int = 512,
    lr: float = 1e-3,
    temperature: float = 0.1,
    seed: int = 0,
    progress: bool = True,
) -> list[float]:
    """Train the map from graph vectors; the map back begins as its transpose.

    Args:
        model: The model.
        texts: The text states, of items that were trained.
        steps: Batches. (default: 300)
        batch_size: Items that are contrasted with one another. (default: 512)
        lr: Learning rate of Adam. (default: 1e-3)
        temperature: See :func:`contrast`. (default: 0.1)
        seed: Seed of the batches. (default: 0)
        progress: Whether to show a bar. (default: True)

    Returns:
        The loss of every step.
    """
    optimizer = torch.optim.Adam(model.into.parameters(), lr=lr)
    generator = torch.Generator().manual_seed(seed)
    losses = []
    with Bar("stage 1, items" if progress else None, steps, "steps") as bar:
        for _ in range(steps):
            rows = torch.randperm(len(texts.items), generator=generator)[:batch_size]
            loss = contrast(model, texts, rows.to(texts.items.device), temperature)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            losses.append(loss.item())
            bar.advance(note=partial("loss {:.3f}".format, losses[-1]))
    with torch.no_grad():  # a state's first scores are about the logits that were contrasted
        mapped = model.into(model.item_vectors[texts.items])
        weight = model.into.weight / (texts.length * temperature * mapped.norm(dim=1).mean())
        model.back.weight.copy_(weight.T)
        model.back.bias.copy_(-texts.mean @ weight)
    return losses


@torch.no_grad()
def retrieval(model: AlignedModel, texts: TextStates, k: int = 1) -> float:
    """Share of the texts among whose k nearest mapped vectors, of these items, is their own."""
    cosines = texts.directions @ F.normalize(model.into(model.item_vectors[texts.items])).T
    rank = (cosines > cosines.diagonal().unsqueeze(1)).sum(dim=1)
    return float((rank < k).double().mean())
