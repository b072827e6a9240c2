"""SRGNNConv alone: nodes of a directed graph, classified by whom they follow and who follows them.

Every person has a colour, which everybody sees, and two tastes, which nobody sees: the colour they
like to follow, and the colour that likes to follow them. The class of a node is its pair of tastes,
so its own colour says nothing, one direction of the edges says half, and both say it all.
"""

import argparse

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import SAGEConv
from torch_geometric.transforms import RandomNodeSplit
from torch_geometric.utils import stochastic_blockmodel_graph

from pyg_srgnn.nn import SRGNNConv


def generate(num_nodes: int) -> Data:
    """A block model: one block for every colour and pair of tastes."""
    blocks = torch.cartesian_prod(*[torch.arange(2)] * 3)  # colour, followed by, follows
    colour, followed_by, follows = blocks.T
    suits = (colour[:, None] == followed_by).long() + (colour == follows[:, None]).long()
    chance = torch.tensor([0.0, 4.0, 24.0])[suits] / num_nodes  # about 8 edges a node
    edge_index = stochastic_blockmodel_graph([num_nodes // 8] * 8, chance, directed=True)
    block = torch.arange(8).repeat_interleave(num_nodes // 8)
    x, y = F.one_hot(colour[block], 2).float(), (2 * followed_by + follows)[block]
    return RandomNodeSplit(num_val=0.2, num_test=0.4)(Data(x=x, edge_index=edge_index, y=y))


class Classifier(nn.Module):
    """Two layers of a convolution between two linear layers; without one, an MLP."""

    def __init__(self, conv: type[nn.Module] | None, *args: int, channels: int = 32) -> None:
        super().__init__()
        self.encode = nn.Linear(2, channels)
        self.convs = nn.ModuleList(conv(*args) for _ in range(2) if conv)
        self.hidden = nn.Linear(channels, channels)
        self.decode = nn.Linear(channels, 4)

    def forward(self, data: Data) -> Tensor:
        """Logits of the classes [N, 4]."""
        h = self.encode(data.x)
        for conv in self.convs:
            h = conv(h, data.edge_index).relu()
        return self.decode(self.hidden(h).relu())


def accuracy_of(model: nn.Module, data: Data, epochs: int) -> float:
    """Train the model; its test accuracy in the epoch with the best validation accuracy."""
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    best = (0.0, 0.0)
    for _ in range(epochs):
        loss = F.cross_entropy(model(data)[data.train_mask], data.y[data.train_mask])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            right = (model(data).argmax(dim=1) == data.y).float()
        now = (right[data.val_mask].mean().item(), right[data.test_mask].mean().item())
        best = max(best, now, key=lambda accuracies: accuracies[0])
    return best[1]


parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--nodes", type=int, default=2000)
parser.add_argument("--epochs", type=int, default=60)
args = parser.parse_args()

torch.manual_seed(0)
print(data := generate(args.nodes))
for name, model in (
    ("MLP, no edges", Classifier(None)),
    ("SAGEConv, one direction", Classifier(SAGEConv, 32, 32)),
    ("SRGNNConv, both directions", Classifier(SRGNNConv, 32)),
):
    print(f"{name:27} {accuracy_of(model, data, args.epochs):6.1%}")
