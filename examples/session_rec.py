"""Session-based recommendation in PyG's own parts: a Dataset, its DataLoader, one convolution.

The graph of a session has its distinct items as nodes and its steps as edges; the next item is the
target. ``--conv gated`` takes PyG's GatedGraphConv, which knows one direction of the edges, in
place of SRGNNConv, which knows both.
"""

import argparse

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader
from torch_geometric.nn import GatedGraphConv
from torch_geometric.utils import scatter, softmax

from pyg_srgnn.datasets import Synthetic
from pyg_srgnn.nn import SRGNNConv


class Net(nn.Module):
    """Embeds items, passes messages, attends over the clicks, and scores all items."""

    def __init__(self, num_items: int, channels: int, conv: str) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_items, channels)
        self.conv: nn.Module
        if conv == "srgnn":
            self.conv = SRGNNConv(channels)
        else:
            self.conv = GatedGraphConv(channels, num_layers=1)
        self.query, self.key = nn.Linear(channels, channels), nn.Linear(channels, channels)
        self.gate = nn.Linear(channels, 1, bias=False)
        self.join = nn.Linear(2 * channels, channels)

    def forward(self, data: Data) -> Tensor:
        """Scores of all items for every session [B, V]."""
        h = self.conv(self.embedding(data.x), data.edge_index)
        clicks, session = h[data.alias_index], data.batch[data.alias_index]  # nodes by click
        last = clicks[session.bincount().cumsum(0) - 1]
        weight = self.gate(torch.sigmoid(self.query(last)[session] + self.key(clicks)))
        pooled = scatter(softmax(weight, session) * clicks, session, reduce="sum")
        vector = self.join(torch.cat([last, pooled], dim=-1))
        return F.linear(vector, self.embedding.weight)


def train(model: Net, loader: DataLoader, optimizer: torch.optim.Optimizer) -> float:
    """One epoch; the mean loss."""
    model.train()
    total = 0.0
    for data in loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(data), data.y)
        loss.backward()
        optimizer.step()
        total += loss.item() * data.num_graphs
    return total / len(loader.dataset)


@torch.no_grad()
def test(model: Net, loader: DataLoader, k: int = 20) -> tuple[float, float]:
    """HR@k and MRR@k."""
    model.eval()
    hits, reciprocal = 0, 0.0
    for data in loader:
        scores = model(data)
        rank = (scores >= scores.gather(1, data.y[:, None])).sum(1)  # ties count against it
        hits += int((rank <= k).sum())
        reciprocal += float((1 / rank)[rank <= k].sum())
    return hits / len(loader.dataset), reciprocal / len(loader.dataset)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--conv", choices=["srgnn", "gated"], default="srgnn")
    parser.add_argument("--root", default="datasets", help="folder of all datasets")
    parser.add_argument("--sessions", type=int, default=10_000, help="training sessions")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--lr", type=float, default=0.003)
    args = parser.parse_args()

    torch.manual_seed(0)
    sizes = {"num_sessions": args.sessions, "num_test_sessions": args.sessions // 10}
    splits = {split: Synthetic(args.root, split, **sizes) for split in ("train", "valid", "test")}
    loaders = {
        split: DataLoader(dataset, batch_size=128, shuffle=split == "train")
        for split, dataset in splits.items()
    }
    model = Net(splits["train"].num_items, args.channels, args.conv)
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)

    best, weights = -1.0, model.state_dict()
    for epoch in range(1, args.epochs + 1):
        loss = train(model, loaders["train"], optimizer)
        hr, mrr = test(model, loaders["valid"])
        print(f"Epoch: {epoch:02d}, Loss: {loss:.4f}, Val HR@20: {hr:.4f}, MRR@20: {mrr:.4f}")
        if hr > best:
            best = hr
            weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.load_state_dict(weights)
    hr, mrr = test(model, loaders["test"])
    print(f"Test HR@20: {hr:.4f}, MRR@20: {mrr:.4f}")


if __name__ == "__main__":
    main()
