"""Mixes in the items whose texts are nearest to those of the session's items."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyg_srgnn.data.sessions import Sessions
from pyg_srgnn.functional.graphs import SessionGraphs
from pyg_srgnn.functional.lookups import (
    BUCKETS,
    PLACES,
    Candidates,
    Pairs,
    text_neighbours_of,
)
from pyg_srgnn.functional.mixture import Share
from pyg_srgnn.functional.whitening import nearest
from pyg_srgnn.nn.component import Component
from pyg_srgnn.nn.item_text import ItemText
from pyg_srgnn.nn.losses import at_least_float32

_SHARPNESS = 5.0  # before training


_AFTER_COLD = 3.0  # added to the gate's logit where the last click is on a cold item
_COLD = 2.0  # added to the logarithm of a cold item's factor


class TextNeighbourHead(Component):
    r"""A mixture of the model's softmax with the nearest texts of the last clicks.

    .. math::
        p(i) = (1 - m) \cdot softmax(s^\top v)_i + m \cdot q(i)

    with :math:`q` of :func:`pyg_srgnn.functional.lookups.text_neighbours_of`. Neighbours are not
    trained; the weight of a place, the sharpness of the cosines, a factor for how often an item was
    clicked, and the gate :math:`m` are. So cold items are recommended, and ids give the order of
    the others.

    These few parameters are trained on sessions that the model within, its item vectors and its
    encoder, is not trained on: where it has memorised the targets, a gate would never trust
    anything else. There, a twentieth of the items, of those that came on sale last, count as cold,
    so that it is learned how much probability items without a click deserve, and how much a gate
    trusts texts after one. It adds to what was chosen on validation: a factor of :math:`e^2` for
    cold items, and 3 to the gate's logit after one.

    Args:
        num_items: Number of items V.
        channels: Size d of a session's vector.
        num_neighbours: Neighbours kept of each item, the nearest.
    """

    lookup = "text_neighbours"

    def __init__(self, num_items: int, channels: int, num_neighbours: int) -> None:
        super().__init__()
        self.place = nn.Embedding(PLACES, 1)
        self.clicks = nn.Embedding(BUCKETS, 1)
        self.log_sharpness = nn.Parameter(torch.zeros(1))
        self.lin_gate = nn.Linear(channels + 3, channels)
        self.gate = nn.Linear(channels, 1)
        neighbours = torch.zeros(num_items, num_neighbours, dtype=torch.int32)
        self.register_buffer("neighbours", neighbours)
        self.register_buffer("cosine", torch.zeros(num_items, num_neighbours))
        self.register_buffer("bucket", torch.zeros(num_items, dtype=torch.int32))

    neighbours: Tensor
    cosine: Tensor
    bucket: Tensor

    def set_text(self, text: ItemText) -> None:
        """Find the neighbours of all items."""
        vectors = text.vectors
        own = torch.arange(len(vectors), device=vectors.device)
        neighbours, cosine = nearest(vectors, vectors, self.neighbours.size(1), own)
        self.neighbours.copy_(neighbours)
        self.cosine.copy_(cosine)

    def set_training(self, sessions: Sessions) -> None:
        """Count the clicks of the training sessions."""
        counts = torch.bincount(sessions.items, minlength=len(self.bucket))
        self.bucket.copy_(bucket_of(counts))

    def tables(self) -> dict[str, Tensor]:
        """The neighbours, and what is learned of buckets and places."""
        factor = self.clicks.weight.squeeze(1)
        return {
            "neighbours": self.neighbours,
            "cosine": self.cosine,
            "bucket": self.bucket,
            "bucket_weight": torch.cat([factor[:1] + _COLD, factor[1:]]).exp(),
            "place_weight": self.place.weight.squeeze(1).exp(),
            "sharpness": _SHARPNESS * self.log_sharpness.exp(),
        }

    def candidates_on_trial(
        self, x: Tensor, graphs: SessionGraphs, taken: Pairs | None, as_cold: Tensor
    ) -> Candidates:
        """Candidates where some trained items count as cold, and cold ones are no candidates.

        Args:
            x: See :class:`~pyg_srgnn.functional.lookups.Lookup`.
            graphs: See there.
            taken: See there.
            as_cold: Which of the first T items count as cold, bool [T].
        """
        tables = self.tables()
        # Without a click nothing is a target: one more bucket, whose factor is 0.
        bucket = self.bucket.masked_fill(self.bucket == 0, BUCKETS)
        bucket[: len(as_cold)].masked_fill_(as_cold, 0)
        tables |= {"bucket": bucket, "bucket_weight": F.pad(tables["bucket_weight"], (0, 1))}
        return text_neighbours_of(x, graphs, taken, None, **tables)

    def forward(
        self, h: Tensor, s_h: Tensor, graphs: SessionGraphs, known: Tensor | None
    ) -> tuple[Tensor, None]:
        """The gate's logit [B]; see :meth:`Component.forward`."""
        assert known is not None, "text_neighbours_of describes the last item"
        both = torch.cat([s_h.detach(), known], dim=1)
        hidden = torch.tanh(self.lin_gate(both))
        gate = self.gate(hidden).squeeze(1) + _AFTER_COLD * known[:, 2]
        return at_least_float32(gate), None

    def losses(
        self, share: Share, rest: Tensor, target: Tensor, held_out: Tensor | None = None
    ) -> Tensor:
        """Loss of each session [B]; see :meth:`Component.losses`.

        Where sessions are held out, :meth:`SRGNN.loss` trains the parameters on these alone, and
        the model within on the others.
        """
        alone = rest.detach()
        mixed = super().losses(share, alone, target)
        return (mixed if held_out is None else mixed.detach()) + rest - alone


def bucket_of(clicks: Tensor) -> Tensor:
    """Bucket of counts of clicks: 0, 1, 2 to 3, 4 to 7, and so on; see :data:`BUCKETS`."""
    return torch.frexp(clicks.double()).exponent.clamp(max=BUCKETS - 1).to(torch.int32)
