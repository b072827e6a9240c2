"""Lays sessions out as rows of tokens, with a place for each clicked item's vector."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Prompts(NamedTuple):
    """B sessions of L clicks in all, as rows of S tokens.

    Args:
        tokens: Tokens [B, S]; 0 at the places of vectors, and behind the last one.
        row: Row of each click [L].
        place: Place of each click's vector in its row [L].
    """

    tokens: Tensor
    row: Tensor
    place: Tensor


def lay_out(items: Tensor, lengths: Tensor, texts: Tensor, instruction: Tensor) -> Prompts:
    """Lay sessions out: the instruction, then each click's text and a place for its vector.

    A decoder's state at such a place depends on the clicks so far alone. So one pass over a row
    gives the states of all prefixes of its session, and padding, which comes last, changes none.

    Args:
        items: Item of each click, session after session [L].
        lengths: Number of clicks of each session, at least 1 [B].
        texts: Tokens of each item's text, -1 where it has no more [V, T].
        instruction: Tokens of the instruction [P].
    """
    of_click = texts[items]
    width = (of_click >= 0).sum(dim=1) + 1
    row = torch.arange(lengths.numel(), device=items.device).repeat_interleave(lengths)
    ends = width.cumsum(0)
    before = F.pad(ends[lengths.cumsum(0)[:-1] - 1], (1, 0))  # tokens of the rows above
    place = instruction.numel() + ends - before[row] - 1
    tokens = row.new_zeros(lengths.numel(), int(place.max()) + 1)
    tokens[:, : instruction.numel()] = instruction
    click, number = (of_click >= 0).nonzero(as_tuple=True)
    tokens[row[click], (place - width + 1)[click] + number] = of_click[click, number]
    return Prompts(tokens, row, place)
