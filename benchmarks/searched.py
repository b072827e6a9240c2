"""How well, and how fast, is a mixture searched without the scores of all items?

The twenty best items of sessions in 8 bits and by an index, beside the scores of all items in
float32, in turns. The model is that of a run, with its test sessions; or one of many items that is
trained here for some minutes with the sampled loss, as vectors that are drawn have no clusters.
Its sessions walk around rings of 50 items. *Off* is how far logarithms of probabilities are from
those of float32; *apart* are neighbours in a list that differ by more than the bound, *wrong* those
of them that have changed places.

    OMP_NUM_THREADS=1 python -m benchmarks.searched --run runs/diginetica/latest
    OMP_NUM_THREADS=1 python -m benchmarks.searched --items 1e6 --minutes 3
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from time import perf_counter, thread_time
from typing import Any

from benchmarks.measure import ADAM, options, run, whole
from benchmarks.shop import model_settings

_RING, _NEXT = 50, 4  # items of a ring, and how far the next click may be
_COUNTED = 500_000  # sessions that transitions are counted in
_K = 20


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, print the table, write the JSON."""
    parser = options(__doc__)
    parser.add_argument("--run", help="a run of a mixture (default: a model that is trained here)")
    parser.add_argument("--items", type=whole, default=10**6, help="of the trained model (1e6)")
    parser.add_argument("--channels", type=whole, default=100, help="size of an embedding (100)")
    parser.add_argument("--minutes", type=float, default=3.0, help="of training (3)")
    parser.add_argument("--sessions", type=whole, help="at most (default: all of the test)")
    return run(parser, measure, table, arguments)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Everything that the table shows; ``args`` are the command's."""
    import torch

    from pyg_srgnn.inference.exported import searched
    from pyg_srgnn.inference.exported_components import ExportedMixture
    from pyg_srgnn.inference.index import Index
    from pyg_srgnn.inference.manifest import Facts
    from pyg_srgnn.nn.encoders import encoder_of, weights_of

    if args.run:
        model, clicks, sessions = _of_run(args.run, args.sessions)
    else:
        model, clicks, sessions = _trained(args)
    encoder = encoder_of(model.eval())
    weights = weights_of(model, clicks)
    facts = Facts.of(encoder, weights)
    ways = {
        name: ExportedMixture(encoder.encode, facts, weights, name) for name in ("float32", "int8")
    }
    result: dict[str, Any] = {"items": model.num_items, "sessions": len(sessions), "ways": {}}
    with torch.inference_mode():
        vectors = ways["int8"]._vectors(*ways["int8"]._flat(sessions[:2_000]))
    try:
        vectors_of_items = searched(facts, weights)[0]
        index, result["index"] = Index.build(vectors_of_items, vectors[:500].clone(), log_sums=True)
        ways["index"] = ExportedMixture(encoder.encode, facts, weights, "float32", index)
    except ValueError as error:
        result["index"] = str(error)
    bound = ways["int8"].catalogue.log_sum_bound(vectors)
    result["bound"] = {"mean": float(bound.mean()), "max": float(bound.max())}
    result["ways"] = _compare(ways, sessions)
    return result


def _compare(ways: dict[str, Any], sessions: list[list[int]]) -> dict[str, Any]:
    """Lists and times of each way; the first is the one that the others are compared with."""
    import torch

    from pyg_srgnn.functional.wanted import Wanted

    found: dict[str, dict[str, list[Any]]] = {
        name: {"1": [], "16": [], "hits": [], "off": [], "wrong": []} for name in ways
    }
    for size, many in ((1, 200), (16, len(sessions))):
        for start in range(0, min(many, len(sessions)), size):
            part, exact = sessions[start : start + size], None
            for name, scorer in ways.items():
                began = thread_time()
                ((values, items),) = scorer.best(part, [Wanted(range(len(part)), _K)])
                found[name][str(size)].append(1000 * (thread_time() - began))
                if size == 1:
                    continue
                exact = exact or (values, items)
                same = items.unsqueeze(2) == exact[1].unsqueeze(1)
                found[name]["hits"] += same.any(dim=2).double().mean(dim=1).tolist()
                place = same.double().argmax(dim=2)
                off = (values - exact[0].gather(1, place)).abs()[same.any(dim=2)]
                found[name]["off"] += off.tolist()
                if name == "int8":
                    with torch.inference_mode():
                        bound = scorer.catalogue.log_sum_bound(scorer._vectors(*scorer._flat(part)))
                    apart = exact[0][:, :-1] - exact[0][:, 1:] > bound.unsqueeze(1)
                    for row, at in apart.nonzero().tolist():
                        one, other = items[row, : at + 1], exact[1][row, : at + 1]
                        found[name]["wrong"].append(set(one.tolist()) != set(other.tolist()))
    told = {}
    for name, of in found.items():
        hits, off = torch.tensor(of["hits"]), torch.tensor(of["off"])
        told[name] = {
            "ms of 1": float(torch.tensor(of["1"]).median()),
            "ms of 16": float(torch.tensor(of["16"]).median()),
            "recall": float(hits.mean()),
            "off": float(off.mean()),
            "most off": float(off.max()),
            "apart": len(of["wrong"]),
            "wrong": sum(of["wrong"]),
        }
    return told


def _of_run(path: str, most: int | None) -> tuple[Any, Any, list[list[int]]]:
    """The model of a run, clicks of its items, and its test sessions up to their targets."""
    from pyg_srgnn.checkpoint import Checkpoint
    from pyg_srgnn.datasets import open_dataset

    checkpoint = Checkpoint.load(path)
    part = open_dataset(checkpoint.dataset, "test")
    found = []
    for number in range(min(len(part), most or len(part))):
        data = part[number]
        found.append(data.x[data.alias_index].tolist())
    return checkpoint.model, checkpoint.clicks, found


def _trained(args: argparse.Namespace) -> tuple[Any, Any, list[list[int]]]:
    """A model of many items after some minutes, clicks of its items, and other sessions."""
    import torch

    from pyg_srgnn.data import Sessions, session_graphs
    from pyg_srgnn.nn import build_model
    from pyg_srgnn.training.optimizer import adam

    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    numbers = torch.randperm(args.items, generator=generator)

    def draw(count: int) -> tuple[Any, Any]:
        lengths = torch.randint(2, 8, (count,), generator=generator)
        ring = (args.items // _RING * torch.rand(count, generator=generator) ** 2).long()
        steps = torch.randint(1, _NEXT + 1, (count, 8), generator=generator)
        start = torch.randint(_RING, (count, 1), generator=generator)
        walk = ring.unsqueeze(1) * _RING + (start + steps.cumsum(dim=1)) % _RING
        return numbers[walk], lengths

    settings = {**model_settings("srgnn", args.items, args.channels), "loss": "sampled"}
    # Nothing was counted of the sessions that it is trained on: they are drawn anew.
    settings |= {"neighbours": 0, "repeat": True, "leave_out": "click"}
    model = build_model(settings)
    walk, lengths = draw(min(_COUNTED, args.items))
    kept = torch.arange(8) < lengths.unsqueeze(1)
    flat, ends = walk[kept], lengths.cumsum(0)
    model.set_training(Sessions(flat, torch.cat([ends.new_zeros(1), ends])))
    counts = flat.bincount(minlength=args.items)
    model.set_popularity(counts)
    optimizer = adam(model, lr=3e-3, weight_decay=ADAM["weight_decay"])
    began = perf_counter()
    while perf_counter() - began < 60 * args.minutes:
        walk, lengths = draw(512)
        kept = torch.arange(8) < (lengths - 1).unsqueeze(1)
        target = walk.gather(1, lengths.unsqueeze(1) - 1).squeeze(1)
        optimizer.zero_grad()
        model.loss(session_graphs(walk[kept], lengths - 1, target)).backward()
        optimizer.step()
    walk, lengths = draw(args.sessions or 2_000)
    rows = zip(walk.tolist(), lengths.tolist(), strict=True)
    return model, counts, [clicks[: length - 1] for clicks, length in rows]


def table(result: dict[str, Any]) -> str:
    """The figures for people."""
    bound, index = result["bound"], result["index"]
    lines = [
        f"{result['items']:,} items, {result['sessions']:,} sessions; bound of the logarithm in 8 "
        f"bits: mean {bound['mean']:.3f}, greatest {bound['max']:.3f}",
        f"index: {index}",
        "",
        f"{'':10}{'ms of 1':>9}{'of 16':>9}{'recall':>9}{'off':>9}{'most':>9}"
        f"{'apart':>9}{'wrong':>7}",
    ]
    for name, of in result["ways"].items():
        lines.append(
            f"{name:10}{of['ms of 1']:9.2f}{of['ms of 16']:9.2f}{of['recall']:9.4f}{of['off']:9.5f}"
            f"{of['most off']:9.4f}{of['apart']:9,}{of['wrong']:7,}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
