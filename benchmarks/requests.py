"""What does a request cost with one trained model, compared with another?

CPU time of one thread for the twenty best items of drawn sessions, one at a time and sixteen
together, in process. The models answer the same sessions in turns; medians, and fastest tenths,
which other work on the machine lengthens least. Runs or exports of the same catalogue:

    OMP_NUM_THREADS=1 python -m benchmarks.requests RUN_OR_EXPORT RUN_OR_EXPORT
    OMP_NUM_THREADS=1 python -m benchmarks.requests EXPORT EXPORT --rounds 2000 --json FILE
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from statistics import quantiles
from time import thread_time
from typing import Any

from benchmarks.measure import options, run, whole

_K, _CLICKS = 20, 10  # best items, and clicks of a session at most
_TOGETHER = 16
_FIRST = 5  # rounds that make buffers, and are not counted


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, print the table, write the JSON."""
    parser = options(__doc__)
    parser.add_argument("models", nargs="+", help="exports or runs of one catalogue")
    parser.add_argument("--rounds", type=whole, default=400, help="requests of one session (400)")
    return run(parser, measure, table, arguments)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Everything that the table shows; ``args`` are the command's."""
    import torch

    from pyg_srgnn import Recommender

    models = {path: Recommender.load(path) for path in args.models}
    first, *others = models.values()
    for path, other in zip(args.models[1:], others, strict=True):
        if other.vocabulary.ids != first.vocabulary.ids:
            raise ValueError(f"{path}: its catalogue is another one than that of {args.models[0]}")
    generator = torch.Generator().manual_seed(0)
    popularity = first.popularity.double()

    def sessions(count: int) -> list[list[int | str]]:
        lengths = torch.randint(1, _CLICKS + 1, (count,), generator=generator).tolist()
        drawn = popularity.multinomial(sum(lengths), replacement=True, generator=generator)
        parts = drawn.split(lengths)
        return [[first.vocabulary.ids[item] for item in part.tolist()] for part in parts]

    result: dict[str, Any] = {"items": len(first.vocabulary), "models": {}}
    for path in models:
        folder = Path(path)
        files = [file for file in folder.rglob("*") if file.is_file()] if folder.is_dir() else []
        result["models"][path] = {"MB": sum(file.stat().st_size for file in files) / 1e6}
    for size, rounds in ((1, max(2, args.rounds)), (_TOGETHER, max(2, args.rounds // _TOGETHER))):
        found = _in_turns(models, [sessions(size) for _ in range(_FIRST + rounds)])
        for path, spent in found.items():
            tenths = quantiles(spent[_FIRST:], n=10, method="inclusive")
            of_size = {"median": tenths[4], "fastest tenth": tenths[0]}
            result["models"][path][str(size)] = of_size
    return result


def _in_turns(models: dict[str, Any], asked: list[Any]) -> dict[str, list[float]]:
    """CPU milliseconds of every request, by the model."""
    found: dict[str, list[float]] = {path: [] for path in models}
    for request in asked:
        for path, model in models.items():
            began = thread_time()
            model.recommend(request, _K)
            found[path].append(1000 * (thread_time() - began))
    return found


def table(result: dict[str, Any]) -> str:
    """The figures for people."""
    models = result["models"]
    wide = max(map(len, models))
    first = next(iter(models.values()))
    lines = [
        f"{result['items']:,} items; CPU milliseconds of a request, and × those of the first model",
        f"{'':{wide}}{'MB':>9}"
        + "".join(f"{f'{n}: median':>18}{'fastest tenth':>18}" for n in ("1", str(_TOGETHER))),
    ]
    for path, of in models.items():
        line = f"{path:{wide}}{of['MB']:9.1f}"
        for size in ("1", str(_TOGETHER)):
            for name in ("median", "fastest tenth"):
                told = f"{of[size][name]:.3f} × {of[size][name] / first[size][name]:.2f}"
                line += f"{told:>18}"
        lines.append(line)
    return "\n".join(lines)


if __name__ == "__main__":
    main()
