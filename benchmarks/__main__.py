"""The short version of the benchmarks, within five minutes on two cores.

make bench                          # on the built-in synthetic data
make bench ARGS="--mirror DIR"      # on Diginetica from a folder or URL
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from time import perf_counter

from benchmarks import evaluate, loader, profile, scale, train_step


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one after another."""
    parser = argparse.ArgumentParser(
        prog="benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--mirror", help="folder or URL that holds diginetica/")
    parser.add_argument("--root", default="datasets", help="folder of all datasets (datasets)")
    args = parser.parse_args(arguments)
    data = [f"--root={args.root}", *([f"--mirror={args.mirror}"] if args.mirror else [])]
    short = (
        (train_step, [*data, "--rounds=3", "--steps=52"]),
        (evaluate, [*data, "--rounds=3", "--samples=5000"]),
        (loader, [*data, "--rounds=3"]),
        (profile, [*data, "--steps=20"]),
        (scale, ["--largest=1e6", "--steps=10"]),
    )
    started = perf_counter()
    for number, (benchmark, its_arguments) in enumerate(short, 1):
        name = benchmark.__name__
        print(f"\n[{number}/{len(short)}] python -m {name}: running …", flush=True)
        benchmark.main(its_arguments)
    print(f"\n{perf_counter() - started:.0f} s in all; each has a longer version: --help")


if __name__ == "__main__":
    main()
