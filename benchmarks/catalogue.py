"""In which precision is a catalogue searched fastest on this processor?

Item and session vectors are drawn; a search finds the 20 best items of so many sessions at once.
Every way finds the same ones. What a served export takes is chosen by the same measurement.

    OMP_NUM_THREADS=1 python -m benchmarks.catalogue
    OMP_NUM_THREADS=2 python -m benchmarks.catalogue --items 43097

The libraries take their kernels by the processor, and can be told to do without some:

    export ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 FBGEMM_ENABLE_INSTRUCTIONS=AVX2
    MKL_ENABLE_INSTRUCTIONS=AVX2 OMP_NUM_THREADS=1 python -m benchmarks.catalogue
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from benchmarks.measure import options, run, whole
from pyg_srgnn.inference.choice import SESSIONS

ITEMS = (43_097, 1_000_000)  # Diginetica's, and ETUDE's most


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, print the table, write the JSON."""
    parser = options(__doc__)
    parser.add_argument("--items", type=whole, nargs="+", default=ITEMS, help="of catalogues")
    parser.add_argument("--channels", type=whole, default=100, help="size of a vector (100)")
    return run(parser, measure, table, arguments)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds of a search, by items, way and sessions; ``args`` are the command's."""
    import torch

    from pyg_srgnn.inference import precision

    generator = torch.Generator().manual_seed(0)
    found: dict[str, Any] = {"sessions": SESSIONS, "channels": args.channels, "items": {}}
    for items in args.items:
        vectors = torch.randn(items, args.channels, generator=generator)
        sessions = torch.randn(max(SESSIONS), args.channels, generator=generator)
        with torch.no_grad():
            times = precision.measure(precision.ways(vectors), sessions, k=20, cold=False)
        found["items"][str(items)] = {
            "fastest": precision.fastest(times),
            "chosen": precision.choose(vectors)[1].precision,
            "milliseconds": {name: [1e3 * of for of in took] for name, took in times.items()},
        }
    return found


def table(result: dict[str, Any]) -> str:
    """The figures for people."""
    heads = "".join(f"{f'{count} at once':>14}" for count in result["sessions"])
    lines = [f"{'milliseconds':36}{heads}"]
    for items, of in result["items"].items():
        for name, took in of["milliseconds"].items():
            told = "chosen" if name == of["chosen"] else ""
            times = "".join(f"{each:14.2f}" for each in took)
            lines.append(f"{int(items):<12,}{name:16}{told:8}{times}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
