"""The opponent: SR-GNN in the structure that its public implementations share.

Samples are lists of item ids 1 … V, and 0 is a padding item. Every batch pads its prefixes and
their nodes and fills one adjacency matrix a prefix in Python loops; the model multiplies these
dense matrices, and the loss takes the scores of all items as a tensor that autograd keeps. The
mathematics are those of :class:`pyg_srgnn.nn.SRGNN` in the authors' form. As in the public code,
clicks are padded to the longest prefix of the whole dataset; ``--pad batch`` pads to the longest of
the batch instead, an opponent that is faster than what is out there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyg_srgnn.nn import SRGNN

Batch = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


PADS = ("dataset", "batch")


def dense_batch(
    prefixes: Sequence[Sequence[int]], targets: Sequence[int], num_clicks: int | None = None
) -> Batch:
    """Pad prefixes and build their adjacency matrices.

    Args:
        prefixes: Item ids of the clicks of each session.
        targets: Item id of each session's next click.
        num_clicks: Clicks to pad to. (default: those of the longest prefix)

    Returns:
        Node items [B, N], adjacency [B, N, 2N] (in-degree normalised incoming edges beside
        out-degree normalised outgoing ones), node of each click [B, L], mask of the clicks [B, L]
        and targets [B].
    """
    num_clicks = num_clicks or max(len(prefix) for prefix in prefixes)
    num_nodes = max(len(np.unique(prefix)) for prefix in prefixes)
    items, adjacency, alias, mask = [], [], [], []
    for prefix in prefixes:
        node = np.unique(prefix)
        items.append(node.tolist() + (num_nodes - len(node)) * [0])
        counts = np.zeros((num_nodes, num_nodes), dtype=np.float32)
        for i in range(len(prefix) - 1):
            u = np.where(node == prefix[i])[0][0]
            v = np.where(node == prefix[i + 1])[0][0]
            counts[u][v] += 1
        into, out = counts.sum(axis=0), counts.sum(axis=1)
        into[into == 0] = 1
        out[out == 0] = 1
        adjacency.append(np.concatenate([(counts / into).T, (counts.T / out).T], axis=1))
        padding = (num_clicks - len(prefix)) * [0]
        alias.append([np.where(node == item)[0][0] for item in prefix] + padding)
        mask.append(len(prefix) * [1] + padding)
    return (
        torch.tensor(np.array(items)),
        torch.tensor(np.array(adjacency)),
        torch.tensor(np.array(alias)),
        torch.tensor(mask),
        torch.tensor(targets),
    )


class DenseLoader:
    """Batches of a dataset's samples, which are kept as lists of item ids.

    Args:
        dataset: A :class:`pyg_srgnn.datasets.SessionDataset`.
        numbers: The samples that will be asked for.
        pad: Pad clicks to the longest prefix of the ``"dataset"``, or of the ``"batch"``.
            (default: ``"dataset"``)
    """

    def __init__(self, dataset: Any, numbers: Tensor, pad: str = "dataset") -> None:
        longest = int(dataset.sessions.lengths.max()) - 1
        self.num_clicks = longest if pad == "dataset" else None
        self.samples: dict[int, tuple[list[int], int]] = {}
        numbers = numbers.unique()
        for number, session, cut in zip(
            numbers.tolist(),
            *(part.tolist() for part in dataset.sessions.samples(numbers)),
            strict=True,
        ):
            ids = (dataset.sessions[session][: cut + 1] + 1).tolist()
            self.samples[number] = ids[:-1], ids[-1]

    def __call__(self, index: Tensor) -> Batch:
        """The batch of some samples."""
        prefixes, targets = zip(*(self.samples[number] for number in index.tolist()), strict=True)
        return dense_batch(prefixes, targets, self.num_clicks)


class DenseSRGNN(nn.Module):
    """SR-GNN over padded nodes and dense adjacency matrices, one step of propagation.

    Args:
        num_items: Number of items V; the table has V + 1 rows.
        channels: Size d of an item's embedding.
    """

    def __init__(self, num_items: int, channels: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_items + 1, channels)
        self.edge_in = nn.Linear(channels, channels)
        self.edge_out = nn.Linear(channels, channels)
        self.bias_in = nn.Parameter(torch.zeros(channels))
        self.bias_out = nn.Parameter(torch.zeros(channels))
        self.gates_input = nn.Linear(2 * channels, 3 * channels)
        self.gates_hidden = nn.Linear(channels, 3 * channels)
        self.attend_last = nn.Linear(channels, channels)
        self.attend_click = nn.Linear(channels, channels)
        self.attend = nn.Linear(channels, 1, bias=False)
        self.transform = nn.Linear(2 * channels, channels)

    def propagate(self, adjacency: Tensor, hidden: Tensor) -> Tensor:
        """One gated step; ``keep`` is one minus the paper's update gate."""
        n = adjacency.size(1)
        into = torch.matmul(adjacency[:, :, :n], self.edge_in(hidden)) + self.bias_in
        out = torch.matmul(adjacency[:, :, n:], self.edge_out(hidden)) + self.bias_out
        i_r, i_z, i_n = self.gates_input(torch.cat([into, out], 2)).chunk(3, 2)
        h_r, h_z, h_n = self.gates_hidden(hidden).chunk(3, 2)
        reset = torch.sigmoid(i_r + h_r)
        keep = torch.sigmoid(i_z + h_z)
        new = torch.tanh(i_n + reset * h_n)
        return new + keep * (hidden - new)

    def forward(self, items: Tensor, adjacency: Tensor, alias: Tensor, mask: Tensor) -> Tensor:
        """Scores of all items but the padding item [B, V]."""
        nodes = self.propagate(adjacency, self.embedding(items))
        clicks = nodes.gather(1, alias.unsqueeze(2).expand(-1, -1, nodes.size(2)))
        last = clicks[torch.arange(len(mask)), mask.sum(1) - 1]
        q1 = self.attend_last(last).unsqueeze(1)
        alpha = self.attend(torch.sigmoid(q1 + self.attend_click(clicks)))
        attended = torch.sum(alpha * clicks * mask.unsqueeze(2).float(), 1)
        session = self.transform(torch.cat([attended, last], 1))
        return torch.matmul(session, self.embedding.weight[1:].T)

    def loss(self, batch: Batch) -> Tensor:
        """Mean cross-entropy of a batch."""
        *inputs, targets = batch
        return F.cross_entropy(self(*inputs), targets - 1)

    @torch.no_grad()
    def copy_weights(self, model: SRGNN) -> DenseSRGNN:
        """Take over the weights of the package's model in the authors' form, with one step."""
        d, conv, readout = model.conv.channels, model.conv, model.readout
        self.embedding.weight[1:] = model.embedding.weight
        for name, mine in self._same().items():
            mine.load_state_dict(model.get_submodule(name).state_dict())
        for gates in (self.gates_input, self.gates_hidden):  # 1 - sigmoid(v) = sigmoid(-v)
            gates.weight[d : 2 * d] *= -1
            gates.bias[d : 2 * d] *= -1
        self.bias_in.copy_(conv.bias[:d])
        self.bias_out.copy_(conv.bias[d:])
        self.attend_last.weight.copy_(readout.lin_last.weight)
        self.attend_last.bias.zero_()
        self.transform.weight.copy_(readout.lin_out.weight.roll(d, 1))  # [s_g ; s_l] here
        return self

    def gradients(self) -> dict[str, Tensor]:
        """Gradients of the weights in the names and the form of the package's model."""
        d = self.bias_in.numel()
        found = {f"{name}.weight": mine.weight.grad.clone() for name, mine in self._same().items()}
        for name in ("conv.lin_ih.weight", "conv.lin_hh.weight"):
            found[name][d : 2 * d] *= -1
        found["readout.lin_out.weight"] = self.transform.weight.grad.roll(d, 1)
        found["readout.lin_last.weight"] = self.attend_last.weight.grad
        return found | {"embedding.weight": self.embedding.weight.grad[1:]}

    def _same(self) -> dict[str, nn.Linear]:
        return {
            "conv.lin_in": self.edge_in,
            "conv.lin_out": self.edge_out,
            "conv.lin_ih": self.gates_input,
            "conv.lin_hh": self.gates_hidden,
            "readout.lin_click": self.attend_click,
            "readout.q": self.attend,
            "readout.lin_out": self.transform,
        }


def twins(num_items: int, channels: int, products: str = "full") -> tuple[SRGNN, DenseSRGNN]:
    """The package's model in the authors' form, always the same, and the opponent of its weights.

    Args:
        num_items: Number of items V.
        channels: Size d of an item's embedding.
        products: See :class:`pyg_srgnn.nn.SRGNN`. (default: ``"full"``)
    """
    torch.manual_seed(0)
    model = SRGNN(num_items, channels, reset_after=True, readout_bias=True, products=products)
    return model, DenseSRGNN(num_items, channels).copy_weights(model)
