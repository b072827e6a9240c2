"""Trains the models behind docs/item_text.md, and keeps their records in study/item_text.

    python -m study.item_text_jobs                     what is missing, one run after another
    python -m study.item_text_jobs --jobs 2 --root DIR --mirror DIR
    python -m study.item_text_jobs --only scientific   runs whose path begins so
    python -m study.item_text_jobs --list              the commands

Options are those of ``python -m study.jobs``. The texts of some runs are those of other items,
drawn with a seed: what a model gains by them is no meaning. They are written into runs/item_text
first. ``python -m study.item_text`` evaluates mixtures of these runs and makes the page's tables.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from itertools import pairwise

import polars as pl

from pyg_srgnn.datasets import open_dataset
from pyg_srgnn.utils.files import written_aside
from study.jobs import FEWER_COUNTS, ROOT, SEEDS, Job, run_missing

DATASETS = ("scientific", "online_retail")
RECORDS = ROOT / "study" / "item_text"
TABLE_ALONE = ("model.text_neighbours=0", "model.text_expert=false")
MODELS = {
    "ids": ("text=null",),
    "mixture": (),
    "text": ("model.item_table=text", *TABLE_ALONE),
    "sum": ("model.item_table=sum", *TABLE_ALONE),
    "null_space": ("model.item_table=null_space", *TABLE_ALONE),
    "delta": ("model.item_table=delta", *TABLE_ALONE),
    "neighbours": ("model.text_expert=false",),
    "expert": ("model.text_neighbours=0",),
    "null_space_mixture": ("model.item_table=null_space",),
    "shuffled": (),
}
"""Changes of the model with fewer counts; the texts of ``"shuffled"`` are those of other items."""
VARIANTS = {
    "lines": ("ids", "mixture"),
    "cold": ("ids", "text", "sum", "null_space", "mixture"),
}
"""Models that are trained once more on Online Retail: with the lines of each invoice shuffled, and
with the last 30 percent of the invoices as test and cold items kept."""
VARIANT_KEYS = {
    "lines": ("dataset.shuffle_lines=true",),
    "cold": ("dataset.test=0.3", "dataset.cold=keep"),
}
BASELINES = "baselines=[popularity,vsknn,stan]"


def jobs() -> Iterator[Job]:
    """All runs, those that say most first."""
    for seed in SEEDS:
        for dataset in DATASETS:
            for label in ("ids", "mixture"):
                yield _job(dataset, label, seed)
        for variant, labels in VARIANTS.items():
            for label in labels:
                yield _job("online_retail", label, seed, variant)
        for dataset in DATASETS:
            for label in MODELS:
                if label not in ("ids", "mixture"):
                    yield _job(dataset, label, seed)


def _job(dataset: str, label: str, seed: int, variant: str | None = None) -> Job:
    keys = [*FEWER_COUNTS, *MODELS[label]]
    if label == "shuffled":
        keys += [f"text={shuffled_file(dataset)}", "encoder=wordllama"]
    elif "text=null" not in keys:
        keys.append("text=auto")
    keys.append(BASELINES if label == "ids" and not seed else "baselines=[]")
    if variant is None:
        return Job(dataset, label, seed, tuple(keys))
    return Job(dataset, f"{label}-{variant}", seed, (*keys, *VARIANT_KEYS[variant]))


def shuffled_file(dataset: str) -> str:
    """Path, below the root, of the texts of which every item has another item's."""
    return f"runs/item_text/{dataset}_shuffled.parquet"


def write_shuffled(dataset: str, **settings: str) -> None:
    """Write the file of :func:`shuffled_file`."""
    data = open_dataset({"name": dataset, **settings}, "trainval")
    texts = pl.Series("text", data.texts).shuffle(seed=0)
    path = ROOT / shuffled_file(dataset)
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_aside(path) as aside:
        pl.DataFrame({"item": data.vocabulary.ids}).with_columns(texts).write_parquet(aside)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is missing; the number of runs that failed."""
    given = sys.argv[1:] if arguments is None else arguments
    if "--list" not in given and "-h" not in given and "--help" not in given:
        places = dict(pairwise(given))
        found = {key: places[f"--{key}"] for key in ("root", "mirror") if f"--{key}" in places}
        for dataset in DATASETS:
            if not (ROOT / shuffled_file(dataset)).is_file():
                write_shuffled(dataset, **found)
    return run_missing(list(jobs()), RECORDS, __doc__, given)


if __name__ == "__main__":
    sys.exit(main())
