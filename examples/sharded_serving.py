"""The best items of a catalogue that lies in parts on several processes, behind one router.

    torchrun --standalone --nproc-per-node 3 examples/sharded_serving.py

The first process is the router. It trains a small mixture on generated sessions, hands the rows of
the item table out to the others, and encodes the sessions to serve. Each part answers with its best
items, the logarithm of its sum of exponentials, and the scores of the candidates it has. What the
router makes of these answers is what the model says that has all items.

The router keeps its model, to compare with. One of a large catalogue would look up the rows of
clicked items, and their followers, in the parts as well.
"""

import argparse
from itertools import pairwise

import torch
import torch.distributed as dist
from torch import Tensor
from torch_geometric.data import Data

from pyg_srgnn.data import SessionLoader
from pyg_srgnn.datasets import Synthetic
from pyg_srgnn.functional.graphs import SessionGraphs
from pyg_srgnn.functional.mixture import Share, find_candidates
from pyg_srgnn.functional.sharded import Question, answer_of, candidate_pairs, merge, mixed
from pyg_srgnn.nn import SRGNN


def serve_part() -> None:
    """Answer questions for the rows that this process is given, until there are no more."""
    given: list[tuple[Tensor, int] | None] = [None]
    dist.scatter_object_list(given, None)
    vectors, first = given[0]
    while (question := broadcast(None)) is not None:
        with torch.inference_mode():
            dist.gather_object(answer_of(vectors, first, question))


def broadcast(question: Question | None) -> Question | None:
    """What the router asks, from it to all."""
    asked = [question]
    dist.broadcast_object_list(asked)
    return asked[0]


def topk(model: SRGNN, data: Data, k: int) -> tuple[Tensor, Tensor]:
    """Log-probabilities and items [B, k], by the parts."""
    question, shares = ask(model, data, k)
    broadcast(question)
    answers = [None] * dist.get_world_size()
    dist.gather_object(None, answers)
    return mixed(merge(answers[1:], k), shares, k)


def ask(model: SRGNN, data: Data, k: int) -> tuple[Question, list[Share]]:
    """What is asked of the parts for some sessions, and the shares of the mixture's components."""
    edges = data.edge_index, data.edge_weight, data.edge_weight_in
    graphs = SessionGraphs(*edges, data.alias_index, data.batch, data.num_graphs)
    h = model.nodes(data)
    vectors = model.finish(model.read(h, graphs))
    components = [*model.components.values()]
    sources = [component.source() for component in components]
    found, taken = find_candidates(sources, data.x, graphs)
    shares = [
        component.share(h, vectors, graphs, candidates)
        for component, candidates in zip(components, found, strict=True)
    ]
    return Question(vectors, k, taken, candidate_pairs(shares)), shares


def trained(train: Synthetic, steps: int) -> SRGNN:
    """A mixture of a softmax, the session's own items and followers."""
    torch.manual_seed(0)
    model = SRGNN(train.num_items, scale=12.0, repeat=True, transitions=50)
    model.set_training(train.sessions)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _, batch in zip(range(steps), SessionLoader(train, 100, shuffle=True), strict=False):
        loss = model.loss(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def route(args: argparse.Namespace) -> None:
    """Train, hand out the rows, serve, and compare with the model that has all items."""
    sizes = {"num_items": args.items, "num_sessions": 5_000, "num_test_sessions": 500}
    train, test = (Synthetic(args.root, split, **sizes) for split in ("train", "test"))
    model = trained(train, args.steps)
    parts = dist.get_world_size() - 1
    with torch.inference_mode():
        table = model.item_vectors()
        cuts = [part * len(table) // parts for part in range(parts + 1)]
        rows = [(table[start:stop].clone(), start) for start, stop in pairwise(cuts)]
        dist.scatter_object_list([None], [None, *rows])
        apart, moved, count = 0.0, 0, 0
        for batch in SessionLoader(test, 20):
            values, items = topk(model, batch, args.k)
            scores = model.scores(batch)
            apart = max(apart, (values - scores.topk(args.k).values).abs().max().item())
            # An item listed in place of another is as good as that one.
            moved += int(((scores.gather(1, items) - values).abs() > 1e-4).sum())
            count += items.numel()
    broadcast(None)
    print(f"{len(test)} sessions, {args.k} best of {args.items} items in {parts} parts")
    print(f"log-probabilities differ by at most {apart:.1e} from those in one place")
    print(f"{moved} of {count} listed items have another log-probability there")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", default="datasets", help="folder of all datasets (datasets)")
    parser.add_argument("--items", type=int, default=301, help="in the catalogue (301)")
    parser.add_argument("--steps", type=int, default=30, help="of training (30)")
    parser.add_argument("--k", type=int, default=20, help="best items (20)")
    args = parser.parse_args()
    dist.init_process_group("gloo")
    if dist.get_rank():
        serve_part()
    else:
        route(args)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
