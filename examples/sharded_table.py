"""SR-GNN whose item table lies in parts on several processes, for a catalogue beyond one machine.

    torchrun --standalone --nproc-per-node 2 examples/sharded_table.py

The table is a DTensor whose rows are shared out. A lookup is the sum of what every process finds
in its rows. The loss goes over the whole catalogue: every process takes the products with its rows,
and their greatest and the sums of their exponentials are exchanged. Adam keeps the moments of a row
where the row lies. What travels is [clicks, d] and [sessions, d] numbers, never the table. All
other weights are small and everywhere the same: every process encodes every session.

Beside it, every process trains the same model whole, which only an example can afford.
"""

import argparse
import os
import sys

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.parallel import loss_parallel
from torch_geometric.data import Data

from pyg_srgnn.data import SessionLoader
from pyg_srgnn.datasets import Synthetic
from pyg_srgnn.evaluation import evaluate, ranks
from pyg_srgnn.nn import SRGNN


class ShardedSRGNN(SRGNN):
    """The paper's model, with a part of the item table on each process."""

    def shard(self, mesh: DeviceMesh) -> None:
        """Keep this process's part of the rows."""
        self.mesh = mesh
        # A table that fits nowhere would be drawn in parts, by torch.distributed.tensor.rand.
        table = distribute_tensor(self.embedding.weight.detach(), mesh, [Shard(0)])
        self.embedding.weight = nn.Parameter(table)

    def alike(self, tensor: Tensor) -> DTensor:
        """What all processes have alike; its gradient is the sum of theirs."""
        return DTensor.from_local(tensor, self.mesh, [Replicate()], run_check=False)

    def embed(self, items: Tensor) -> Tensor:
        """Embeddings of items [N, d]."""
        rows = F.embedding(self.alike(items), self.embedding.weight)
        return rows.redistribute(placements=[Replicate()]).to_local()

    def scores(self, data: Data) -> DTensor:
        """Scores of every item for every session [B, V]; each process has those of its rows."""
        return self.alike(self(data)) @ self.embedding.weight.T

    def ranks(self, data: Data) -> Tensor:
        """Rank of each target [B]: how many items score as high, summed over the parts."""
        scores = self.scores(data)
        of_target = scores.gather(1, self.alike(data.y.unsqueeze(1)))
        return (scores >= of_target).sum(dim=1).full_tensor()


def step(model: SRGNN, optimizer: torch.optim.Optimizer, batch: Data) -> float:
    """A step of training; its loss."""
    optimizer.zero_grad()
    if isinstance(model, ShardedSRGNN):
        with loss_parallel():
            loss = F.cross_entropy(model.scores(batch), batch.y)
            loss.backward()
        loss = loss.to_local()
    else:
        loss = model.loss(batch)
        loss.backward()
    optimizer.step()
    return loss.item()


def adam(model: SRGNN) -> torch.optim.Optimizer:
    """Adam, with the table in a group of its own: a group has tensors of one kind."""
    table = model.embedding.weight
    others = [parameter for parameter in model.parameters() if parameter is not table]
    return torch.optim.Adam([{"params": [table]}, {"params": others}], lr=3e-3, weight_decay=1e-5)


def held(model: SRGNN, optimizer: torch.optim.Optimizer) -> list[int]:
    """Bytes that this process holds of the table, its gradient and its moments."""
    table = model.embedding.weight
    tensors = [table, table.grad, *(optimizer.state[table][of] for of in ("exp_avg", "exp_avg_sq"))]
    parts = [each.to_local() if isinstance(each, DTensor) else each for each in tensors]
    return [part.nbytes for part in parts]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", default="datasets", help="folder of all datasets (datasets)")
    parser.add_argument("--sessions", type=int, default=5_000, help="training sessions (5000)")
    parser.add_argument("--items", type=int, default=301, help="in the catalogue (301)")
    parser.add_argument("--steps", type=int, default=50, help="of 100 sessions, at most (50)")
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    args = parser.parse_args()

    dist.init_process_group("gloo")
    rank, size = dist.get_rank(), dist.get_world_size()
    say = print if rank == 0 else lambda *_: None
    sizes = {"num_items": args.items, "num_sessions": args.sessions, "num_test_sessions": 500}
    train, test = (Synthetic(args.root, split, **sizes) for split in ("train", "test"))

    torch.manual_seed(0)
    whole = SRGNN(train.num_items).to(getattr(torch, args.dtype))
    sharded = ShardedSRGNN(train.num_items).to(getattr(torch, args.dtype))
    sharded.load_state_dict(whole.state_dict())
    sharded.shard(init_device_mesh("cpu", (size,)))
    sides = [(whole, adam(whole)), (sharded, adam(sharded))]

    losses = []
    for _, batch in zip(range(args.steps), SessionLoader(train, 100, shuffle=True), strict=False):
        losses.append([step(model, optimizer, batch) for model, optimizer in sides])
    one, other = torch.tensor(losses, dtype=torch.float64).T
    say(f"loss after {len(losses)} steps: {one[-1]:.6f} whole, {other[-1]:.6f} in parts")
    say(f"losses differ by at most {(one - other).abs().max():.1e}")
    differ = 0.0
    for mine, theirs in zip(whole.parameters(), sharded.parameters(), strict=True):
        theirs = theirs.full_tensor() if isinstance(theirs, DTensor) else theirs
        differ = max(differ, (mine - theirs).abs().max().item())
    say(f"weights differ by at most {differ:.1e}")

    differing, hits = 0, 0
    with torch.no_grad():
        for batch in SessionLoader(test, 256):
            found = sharded.ranks(batch)
            differing += int((found != ranks(sharded.scores(batch).full_tensor(), batch.y)).sum())
            hits += int((found <= 20).sum())
    say(f"{differing} of {len(test)} ranks differ from those of all scores in one place")
    metrics = evaluate(whole.eval(), SessionLoader(test, 256), train.num_items)
    say(f"HR@20: {metrics['hr@20']:.4f} whole, {hits / len(test):.4f} in parts")

    for title, side in zip(("whole", "in parts"), sides, strict=True):
        every = [torch.zeros(4, dtype=torch.int64) for _ in range(size)]
        dist.all_gather(every, torch.tensor(held(*side)))
        for number, (table, gradient, *moments) in enumerate(torch.stack(every).tolist()):
            say(
                f"{title}, process {number}: table {table:,} bytes, gradient {gradient:,}, "
                f"moments {sum(moments):,}"
            )
    dist.destroy_process_group()
    # Torch keeps the mesh of a DTensor, and with it Gloo's threads, until the process ends. One of
    # them that needs Python while that is being torn down aborts it, so it is not torn down.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
