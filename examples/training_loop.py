"""SR-GNN in a plain PyTorch loop: validation chooses the epoch, the test set is read once.

The sessions are generated, so the best that any model can be expected to reach is known as well.
"""

import argparse
from copy import deepcopy

import torch

from pyg_srgnn.baselines import Markov, Popularity
from pyg_srgnn.data import SessionLoader
from pyg_srgnn.datasets import Synthetic
from pyg_srgnn.evaluation import evaluate
from pyg_srgnn.nn import SRGNN


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--root", default="datasets", help="folder of all datasets")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--sessions", type=int, default=15_000, help="training sessions")
    args = parser.parse_args()

    torch.manual_seed(0)
    train, valid, test = (
        Synthetic(args.root, split, num_sessions=args.sessions)
        for split in ("train", "valid", "test")
    )
    print(train, valid, test, sep="\n")
    num_items = train.num_items
    batches = SessionLoader(train, batch_size=100, shuffle=True)

    model = SRGNN(num_items)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3, weight_decay=1e-5, fused=True)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=3, gamma=0.1)
    best, weights = -1.0, model.state_dict()
    for epoch in range(1, args.epochs + 1):
        batches.sampler.set_epoch(epoch)
        model.train()
        total = 0.0
        for batch in batches:
            loss = model.loss(batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * batch.num_graphs
        schedule.step()
        found = evaluate(model.eval(), SessionLoader(valid, batch_size=256), num_items)
        print(f"epoch {epoch}: loss {total / len(train):.3f}, valid hr@20 {found['hr@20']:.2%}")
        if found["hr@20"] > best:
            best, weights = found["hr@20"], deepcopy(model.state_dict())
    model.load_state_dict(weights)

    print(f"\n{'test, percent':14} {'HR@20':>6} {'MRR@20':>6}")
    for name, scorer in (
        ("popularity", Popularity.fit(train.sessions, num_items)),
        ("markov", Markov.fit(train.sessions, num_items)),
        ("SR-GNN", model),
    ):
        show(name, evaluate(scorer, SessionLoader(test, batch_size=256), num_items))
    show("optimum", test.optimum())


def show(name: str, metrics: dict[str, float]) -> None:
    print(f"{name:14} {100 * metrics['hr@20']:6.2f} {100 * metrics['mrr@20']:6.2f}")


if __name__ == "__main__":
    main()
