"""How long does it take to make vectors of a catalogue's titles?

Titles of three to eleven words and a number are drawn from a vocabulary whose words are as
unequally frequent as those of a language. *first* encodes them and writes the cache, *again* reads
it.

    python -m benchmarks.encode_texts                       # hashed and wordllama
    python -m benchmarks.encode_texts --encoders wordllama --titles 1e6
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.measure import options, run, seconds, whole
from pyg_srgnn.text.cache import cached_vectors
from pyg_srgnn.text.encoder import open_encoder

_SYLLABLES = [
    first + vowel + last for first in "bdfklmprst" for vowel in "aeiou" for last in "lnrs"
]


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, print the table, write the JSON."""
    parser = options(__doc__)
    parser.add_argument("--titles", type=whole, default=100_000, help="to encode (100000)")
    parser.add_argument(
        "--encoders", nargs="+", default=["hashed", "wordllama"], help="(hashed wordllama)"
    )
    return run(parser, measure, table, arguments)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Everything that the table shows; ``args`` are the command's."""
    made = titles(args.titles)
    result: dict[str, Any] = {"titles": len(made), "of": {}}
    for name in args.encoders:
        encoder = open_encoder(name)
        encoder.encode(made[:1])  # loads its weights
        encode = partial(encoder.encode, made)
        with TemporaryDirectory() as folder:
            cached = partial(cached_vectors, encoder, made, Path(folder), progress=False)
            first, again = seconds(cached), seconds(cached)
        result["of"][name] = {
            "first": first,
            "again": again,
            "texts_per_second": len(made) / seconds(encode),
        }
    return result


def titles(count: int) -> list[str]:
    """Different titles of words that do not exist."""
    draw = np.random.default_rng(0)
    words = ["".join(draw.choice(_SYLLABLES, draw.integers(1, 4))) for _ in range(20_000)]
    lengths = draw.integers(3, 12, count)
    ranks = (len(words) ** draw.random(lengths.sum())).astype(int) - 1  # Zipf's law
    of = np.split(ranks, np.cumsum(lengths)[:-1])
    return [f"{' '.join(words[rank] for rank in row)} {n}" for n, row in enumerate(of)]


def table(result: dict[str, Any]) -> str:
    """The figures for people."""
    lines = [
        f"{result['titles']:,} titles",
        "",
        f"{'':24}{'texts/s':>10}{'first, s':>10}{'again, s':>10}",
    ]
    lines += [
        f"{name:24}{of['texts_per_second']:10,.0f}{of['first']:10.1f}{of['again']:10.1f}"
        for name, of in result["of"].items()
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
