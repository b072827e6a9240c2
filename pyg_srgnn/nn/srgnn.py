"""SR-GNN: from session graphs to scores over the whole catalogue."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Data

from pyg_srgnn.nn.losses import (
    bfloat16_is_fast,
    softmax_binary_cross_entropy,
    softmax_cross_entropy,
)
from pyg_srgnn.nn.readout import SessionReadout
from pyg_srgnn.nn.sampled import SAMPLINGS, NegativeSampler, sampled_softmax_cross_entropy
from pyg_srgnn.nn.srgnn_conv import SRGNNConv
from pyg_srgnn.nn.topk import best_of_products

FULL_LOSSES = {"cross_entropy": softmax_cross_entropy, "binary": softmax_binary_cross_entropy}
LOSSES = (*FULL_LOSSES, "sampled")
INITS = ("authors", "paper", "simplified")
PRODUCTS = ("full", "bfloat16", "auto")


class SRGNN(nn.Module):
    """SR-GNN (`Wu et al., AAAI 2019 <https://arxiv.org/abs/1811.00855>`_).

    Item embeddings pass through :class:`SRGNNConv` on each session's graph, a
    :class:`SessionReadout` makes a vector of each session, and its inner product with the
    *initial* embedding of every item is the item's score (equation 8).

    Args:
        num_items: Number of items V in the catalogue.
        channels: Size d of an item's embedding. (default: 100)
        num_steps: Rounds of propagation. (default: 1)
        reset_after: Gates as in the authors' code instead of the paper. (default: False)
        readout: ``"hybrid"``, ``"local"``, ``"average"`` or ``"attention"``. (default:
            ``"hybrid"``)
        readout_bias: Bias of the hybrid readout, as in the authors' code. (default: False)
        binary_edges: Whether a repeated edge counts once, as in the authors' code, instead of as
            often as it was clicked. (default: False)
        loss: ``"cross_entropy"``, or ``"binary"``, the form that the paper prints, or
            ``"sampled"``, for large catalogues: the first, estimated from drawn items, with sparse
            gradients of the item table. (default: ``"cross_entropy"``)
        init: How every parameter is drawn: ``"authors"`` U(-1/√d, 1/√d), ``"paper"`` N(0, 0.1²),
            ``"simplified"`` U(-0.1, 0.1). (default: ``"authors"``)
        negatives: Number of items that the sampled loss draws for a batch. (default: 1024)
        sampling: How it draws them: ``"popularity"``, which :meth:`set_popularity` must tell, or
            ``"uniform"``. (default: ``"popularity"``)
        products: What the loss over all items takes its products with the item table in:
            ``"full"``, the parameters' precision or autocast's; ``"bfloat16"``; or ``"auto"``,
            bfloat16 where the hardware has it. Scores are not touched. (default: ``"full"``)

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(
        self,
        num_items: int,
        channels: int = 100,
        num_steps: int = 1,
        reset_after: bool = False,
        readout: str = "hybrid",
        readout_bias: bool = False,
        binary_edges: bool = False,
        loss: str = "cross_entropy",
        init: str = "authors",
        negatives: int = 1024,
        sampling: str = "popularity",
        products: str = "full",
    ) -> None:
        super().__init__()
        for number, least in (("num_items", num_items), ("negatives", negatives)):
            if least < 1:
                raise ValueError(f"SRGNN: '{number}' must be >= 1 (got {least})")
        for name, value, allowed in (
            ("loss", loss, LOSSES),
            ("init", init, INITS),
            ("sampling", sampling, SAMPLINGS),
            ("products", products, PRODUCTS),
        ):
            if value not in allowed:
                raise ValueError(
                    f"SRGNN: '{name}' must be one of {', '.join(allowed)} (got {value!r})"
                )
        self.init = init
        self.loss_name = loss
        self.products = products
        self.binary_edges = binary_edges
        self.conv = SRGNNConv(channels, num_steps, reset_after)
        # Several processes must know beforehand whether they will exchange sparse gradients.
        self.embedding = nn.Embedding(num_items, channels, sparse=loss == "sampled")
        self.readout = SessionReadout(channels, readout, readout_bias)
        self.sampler = (
            NegativeSampler(num_items, negatives, sampling) if loss == "sampled" else None
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw every parameter as ``init`` says."""
        bound = self.embedding.embedding_dim**-0.5 if self.init == "authors" else 0.1
        for parameter in self.parameters():
            if self.init == "paper":
                nn.init.normal_(parameter, std=0.1)
            else:
                nn.init.uniform_(parameter, -bound, bound)

    @property
    def num_items(self) -> int:
        """Number of items in the catalogue."""
        return self.embedding.num_embeddings

    def forward(self, data: Data) -> Tensor:
        """Session vectors [B, d] of a ``Data`` or a ``Batch`` of session graphs."""
        batch, size = data.batch, getattr(data, "num_graphs", None)
        if batch is None:
            batch, size = torch.zeros_like(data.x), 1
        # The scores give every row of the table a gradient; a sparse one of the few rows read here
        # is added to that dense one in place, where a second table of zeros would cost as much.
        embedded = F.embedding(data.x, self.embedding.weight, sparse=True)
        # A session graph has each edge once: weights left out are those of the binary rule.
        weights = () if self.binary_edges else (data.edge_weight, data.edge_weight_in)
        h = self.conv(embedded, data.edge_index, *weights)
        s_h: Tensor = self.readout(h, data.alias_index, batch, size)
        return s_h

    def scores(self, data: Data) -> Tensor:
        """Scores of every item for every session [B, V]."""
        s_h: Tensor = self(data)
        return s_h @ self.embedding.weight.T

    def loss(self, data: Data) -> Tensor:
        """Mean loss of the sessions against their next items ``data.y``, a scalar.

        Raises:
            RuntimeError: If the loss samples by popularity, but :meth:`set_popularity` was not
                called.
        """
        table = self.embedding.weight
        if self.sampler is None:
            half = self.products == "bfloat16" or (
                self.products == "auto" and bfloat16_is_fast(table.device)
            )
            products = torch.bfloat16 if half else None
            return FULL_LOSSES[self.loss_name](self(data), table, data.y, products)
        items, log_probability = self.sampler(table.device)
        # Sparse, as in forward: no step works on the whole table.
        rows = F.embedding(torch.cat([data.y, items]), table, sparse=True)
        positives, negatives = torch.split(rows, [len(data.y), len(items)])
        return sampled_softmax_cross_entropy(
            self(data), positives, negatives, data.y, items, log_probability
        )

    def set_popularity(self, counts: Tensor) -> None:
        """Tell the sampled loss how often each item was clicked; other losses do not ask.

        Args:
            counts: Clicks of each item, int64 [V].

        Raises:
            ValueError: If the counts are not V whole numbers >= 0.
        """
        if self.sampler is not None:
            self.sampler.set_popularity(counts)

    def topk(self, data: Data, k: int) -> tuple[Tensor, Tensor]:
        """The k best items of every session.

        Returns:
            Their scores and their indices, best first, [B, k] both; k is capped at V.
        """
        if k < 1:
            raise ValueError(f"SRGNN: 'k' must be >= 1 (got {k})")
        return best_of_products(self(data), self.embedding.weight, min(k, self.num_items))

    @classmethod
    def from_authors(cls, state_dict: Mapping[str, Tensor], num_steps: int = 1) -> SRGNN:
        """Load a checkpoint of the authors' PyTorch code.

        Their table has a row 0 for padding, their update gate is one minus the paper's, and their
        readout is W_3 [s_g ; s_l]; all three are turned into this class's form.

        Args:
            state_dict: The checkpoint, a mapping of names to tensors.
            num_steps: Rounds of propagation, which their checkpoint does not tell. (default: 1)

        Raises:
            ValueError: If a tensor is missing, unknown, or has another shape.
        """
        given = dict(state_dict)
        missing = sorted(_AUTHORS - given.keys())
        unknown = sorted(given.keys() - _AUTHORS - _AUTHORS_UNUSED)
        if missing or unknown:
            raise ValueError(
                f"not a checkpoint of the authors' SR-GNN: missing {missing}, unknown {unknown}"
            )
        rows, channels = given["embedding.weight"].shape
        model = cls(rows - 1, channels, num_steps, True, readout_bias=True, binary_edges=True)

        # Chunks are reset, update, candidate; σ(-v) = 1 - σ(v) turns the update gate.
        turn = torch.ones_like(given["gnn.w_hh"][:, :1])
        turn[channels : 2 * channels] = -1
        w_3 = given["linear_transform.weight"]
        converted = {
            "embedding.weight": given["embedding.weight"][1:],
            "conv.lin_in.weight": given["gnn.linear_edge_in.weight"],
            "conv.lin_in.bias": given["gnn.linear_edge_in.bias"],
            "conv.lin_out.weight": given["gnn.linear_edge_out.weight"],
            "conv.lin_out.bias": given["gnn.linear_edge_out.bias"],
            "conv.bias": torch.cat([given["gnn.b_iah"], given["gnn.b_oah"]]),
            "conv.lin_ih.weight": turn * given["gnn.w_ih"],
            "conv.lin_ih.bias": turn[:, 0] * given["gnn.b_ih"],
            "conv.lin_hh.weight": turn * given["gnn.w_hh"],
            "conv.lin_hh.bias": turn[:, 0] * given["gnn.b_hh"],
            "readout.lin_last.weight": given["linear_one.weight"],
            "readout.lin_click.weight": given["linear_two.weight"],
            "readout.lin_click.bias": given["linear_one.bias"] + given["linear_two.bias"],
            "readout.q.weight": given["linear_three.weight"],
            "readout.lin_out.weight": torch.cat([w_3[:, channels:], w_3[:, :channels]], dim=1),
            "readout.lin_out.bias": given["linear_transform.bias"],
        }
        for name, parameter in model.named_parameters():
            if converted[name].shape != parameter.shape:
                raise ValueError(
                    f"the authors' checkpoint does not fit: {name} should have shape "
                    f"{list(parameter.shape)}, but {list(converted[name].shape)} was found"
                )
        model.to(given["embedding.weight"].dtype).load_state_dict(converted)
        return model


_AUTHORS = frozenset(
    ["embedding.weight", "linear_three.weight"]
    + [f"gnn.{name}" for name in ("w_ih", "w_hh", "b_ih", "b_hh", "b_iah", "b_oah")]
    + [
        f"{layer}.{part}"
        for layer in (
            "gnn.linear_edge_in",
            "gnn.linear_edge_out",
            "linear_one",
            "linear_two",
            "linear_transform",
        )
        for part in ("weight", "bias")
    ]
)
_AUTHORS_UNUSED = frozenset(["gnn.linear_edge_f.weight", "gnn.linear_edge_f.bias"])
