# %% [markdown]
# # Reuse SRGNNConv
#
# The layer knows nothing of sessions: it takes node features and directed edges, as any layer of
# PyTorch Geometric, and passes messages along both directions, each with weights of its own.

# %%
import torch
from torch import nn
from torch_geometric.nn import GatedGraphConv

from pyg_srgnn.nn import SRGNNConv

torch.manual_seed(0)
x, edge_index = torch.randn(4, 16), torch.tensor([[0, 1, 1, 2], [1, 2, 3, 3]])
conv = SRGNNConv(channels=16, num_steps=2)
print(conv, tuple(conv(x, edge_index).shape))

# %% [markdown]
# Without weights, an edge counts one over the degree of its start, in both directions. Any others
# can be given, one for each direction.

# %%
by_degree = conv(x, edge_index)
out = torch.tensor([1.0, 0.5, 0.5, 1.0])  # of the edges as they are
back = torch.tensor([1.0, 1.0, 0.5, 0.5])  # of the edges turned round
assert torch.allclose(by_degree, conv(x, edge_index, out, back), atol=1e-6)

# %% [markdown]
# It stands wherever a layer stands.


# %%
class Model(nn.Module):
    """Two layers and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList([SRGNNConv(16), SRGNNConv(16)])
        self.classify = nn.Linear(16, 2)

    def forward(self, x: torch.Tensor, edge_index: torch.Tensor) -> torch.Tensor:
        """Scores of both classes for every node [N, 2]."""
        for conv in self.convs:
            x = torch.relu(conv(x, edge_index))
        return self.classify(x)


print(Model()(x, edge_index).shape)

# %% [markdown]
# What the second direction is worth: nodes of a random directed graph, labelled by whether more
# edges leave than arrive. A layer that sees arriving edges alone can only guess.

# %%
edges = torch.randint(200, (2, 800))
label = (torch.bincount(edges[0], minlength=200) > torch.bincount(edges[1], minlength=200)).long()
ones, counts = torch.ones(200, 8), torch.ones(edges.size(1))


def accuracy(conv: nn.Module, *weights: torch.Tensor) -> float:
    """Of a classifier on that layer, after training on all nodes."""
    torch.manual_seed(0)
    head = nn.Linear(8, 2)
    optimizer = torch.optim.Adam([*conv.parameters(), *head.parameters()], lr=0.02)
    for _ in range(150):
        optimizer.zero_grad()
        found = head(conv(ones, edges, *weights))
        nn.functional.cross_entropy(found, label).backward()
        optimizer.step()
    return float((found.argmax(1) == label).float().mean())


both, one = accuracy(SRGNNConv(8), counts, counts), accuracy(GatedGraphConv(8, num_layers=1))
print(f"SRGNNConv {both:.0%}, GatedGraphConv {one:.0%}")
assert both > 0.9 > one
