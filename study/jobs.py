"""Runs the study behind docs/results.md and docs/ablation.md, and keeps its records in study/runs.

    python -m study.jobs                               what is missing, one run after another
    python -m study.jobs --jobs 2 --root DIR           two at a time; the datasets lie in DIR
    python -m study.jobs --only diginetica/srgnn       runs whose path begins so
    python -m study.jobs --list                        the commands

A run that is kept already is not run again, and one that was stopped resumes after its last epoch:
``runs/study`` holds them. Everything was chosen on validation; a configuration's last step is the
one look at the test set. ``python -m study.results`` makes the tables.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from pyg_srgnn.baselines import BASELINES
from study.keep import keep

ROOT = Path(__file__).parents[1]
RUNS = "runs"  # below ROOT; the runs of a study lie in the folder of its name there
DATASETS = ("diginetica", "yoochoose1_64", "tmall", "nowplaying")
SEEDS = (0, 1, 2)
# All training sessions are trained on for the recipe's epochs. Where these are too many, on Tmall,
# validation chooses the epoch before.
FINAL = dict.fromkeys(DATASETS, ("refit=only", "baselines=[]"))
FINAL["tmall"] = "refit=true", "baselines=[]"
FEWER_COUNTS = ("model.similar=0", "model.repeat=true", "model.leave_out=click")
"""Without similar items, and with repeats by vectors."""
MODELS = {
    "srgnn": ("model=srgnn",),
    "srgnn_fewer_counts": ("model=srgnn", *FEWER_COUNTS),
    "gru4rec": ("model=gru4rec",),
    "srgnn_plain": ("experiment=fast",),
}
ENSEMBLE = (("srgnn", 0), ("srgnn", 1), ("gru4rec", 0))
"""The members of a mixture, and how much their seeds differ from its own."""
# One key at a time is changed, on validation, in a shorter training that sees mostly late samples;
# of a model with fewer counts.
SHORT = ("test=false", "half_life=0.2", "trainer.max_epochs=4", "patience=4")
ABLATION = {
    "default": (),
    "without normalised vectors": ("model.scale=null",),
    "scale 16": ("model.scale=16",),
    "without dropout": ("model.dropout=0",),
    "without positions": ("model.positions=0",),
    "without highway": ("model.residual=none",),
    "without the repeat head": ("model.repeat=false",),
    "without neighbours": ("model.neighbours=0",),
    "without transitions": ("model.transitions=0",),
    "click frequency": ("model.frequency=true",),
    "mean of the last two clicks": ("model.last_k=2",),
    "two steps": ("model.num_steps=2",),
    "reset after": ("model.reset_after=true",),
    "label smoothing 0.1": ("model.label_smoothing=0.1",),
    "decoupled decay 0.01": ("optimizer.decoupled=true", "optimizer.weight_decay=0.01"),
    "one cycle": ("optimizer.schedule=one_cycle",),
    "average of the weights": ("average=0.998",),
    "time order": ("order=time", "half_life=null", "trainer.max_epochs=1"),
    "all samples alike": ("half_life=null", "trainer.max_epochs=1"),
    "plain": ("model=srgnn_plain",),
}
# What the default counts, and ingredients that are off, on four data sets: in a training that takes
# a CPU a minute, up to 500 batches of mostly late samples.
SCREENED = ("trainer.max_epochs=1", "trainer.limit_train_batches=500")
SCREEN = {
    "default": (),
    "fewer counts": FEWER_COUNTS,
    "without similar items": ("model.similar=0",),
    "repeats by vectors": ("model.repeat=true",),
    "repeats by vectors, click left out": ("model.repeat=true", "model.leave_out=click"),
    "neighbours of other sessions": ("model.neighbours_leave_out=true",),
    "output table": ("model.output_table=delta",),
    "two softmaxes": ("model.softmaxes=2",),
    "GRU jointly": ("model.sequence=joint",),
    "GRU alone": ("model.sequence=alone",),
    "three levels": ("model.readout_levels=3",),
    "counts of half-life 0.5": ("model.counts_half_life=0.5",),
}
# The default in trainings of full length, and changes that end them earlier, hold weights back or
# add some.
FULL = {
    "default": (),
    "output table": ("model.output_table=delta",),
    "one epoch": ("trainer.max_epochs=1",),
    "two epochs": ("trainer.max_epochs=2",),
    "dropout 0.5, three epochs": ("model.dropout=0.5", "trainer.max_epochs=3"),
    "items dropped, three epochs": ("drop_items=0.2", "trainer.max_epochs=3"),
}


class Job(NamedTuple):
    """A run of the study."""

    dataset: str
    label: str
    seed: int
    keys: tuple[str, ...]
    needs: tuple[str, ...] = ()
    """Paths of the runs whose checkpoints it reads."""

    @property
    def path(self) -> str:
        """Where its record lies below study/runs."""
        return f"{self.dataset}/{self.label}/{self.seed}"

    def command(self, *more: str) -> list[str]:
        """The arguments of srgnn-train."""
        return [f"dataset={self.dataset}", *self.keys, f"seed={self.seed}", *more]


def jobs() -> Iterator[Job]:
    """All runs, those that say most first."""
    for dataset in DATASETS:
        for name in BASELINES:
            yield Job(dataset, name, 0, (f"model={name}", "refit=true", "baselines=[]"))
    for label, keys in MODELS.items():
        for seed in SEEDS:
            for dataset in DATASETS:
                yield Job(dataset, label, seed, (*keys, *FINAL[dataset]))
    for seed in SEEDS:
        for dataset in DATASETS:
            yield from _ensemble(dataset, seed)
    for dataset in DATASETS:
        best = ("model=srgnn", *FEWER_COUNTS, "protocol=literature", "baselines=[]")
        yield Job(dataset, "srgnn_literature", 0, best)
    for label, changes in ABLATION.items():
        for dataset in DATASETS:
            changed = {key.split("=")[0] for key in changes}
            rest = tuple(key for key in SHORT if key.split("=")[0] not in changed)
            fewer = () if "model=srgnn_plain" in changes else FEWER_COUNTS
            rest += tuple(key for key in fewer if key.split("=")[0] not in changed)
            yield Job(dataset, _named("ablation", label), 0, (*rest, *changes))
    rest = tuple(key for key in SHORT if not key.startswith("trainer."))
    for seed in SEEDS:
        for label, changes in SCREEN.items():
            for dataset in DATASETS:
                keys = (*rest, *SCREENED, "baselines=[]", *changes)
                yield Job(dataset, _named("screen", label), seed, keys)
    for label, changes in FULL.items():
        for dataset in DATASETS:
            keys = ("test=false", "baselines=[]", *changes)
            yield Job(dataset, _named("full", label), 0, keys)


def _named(block: str, label: str) -> str:
    """The label of a configuration that is one of several in a table."""
    return f"{block}/{label.replace(' ', '_')}"


def _ensemble(dataset: str, seed: int) -> Iterator[Job]:
    """A mixture of models, and one model that is trained towards it."""
    members = tuple(f"{dataset}/{label}/{(seed + more) % len(SEEDS)}" for label, more in ENSEMBLE)
    folders = ",".join(f"{RUNS}/study/{path}" for path in members)
    keys = ("model=mixture", f"model.members=[{folders}]", *FINAL[dataset])
    mixture = Job(dataset, "ensemble", seed, keys, members)
    yield mixture
    keys = ("model=srgnn", f"distil={RUNS}/study/{mixture.path}", *FINAL[dataset])
    yield Job(dataset, "distilled", seed, keys, (mixture.path,))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is missing; the number of runs that failed."""
    return run_missing(list(jobs()), ROOT / "study" / "runs", __doc__, arguments)


def run_missing(
    every: Sequence[Job], records: Path, about: str | None, arguments: Sequence[str] | None = None
) -> int:
    """Run those of the given runs that are not kept yet, as the command line asks for.

    Args:
        every: All runs of a study.
        records: The folder of the runs that are kept.
        about: The first line says what the study is.
        arguments: Those of the command line. (default: the program's)

    Returns:
        The number of runs that failed.
    """
    parser = argparse.ArgumentParser(description=(about or "").strip().split("\n")[0])
    parser.add_argument("--root", default="datasets", help="where the datasets lie")
    parser.add_argument("--mirror", help="a folder or URL to take their files from")
    parser.add_argument("--only", default="", help="runs whose path begins so")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, which share the cores")
    parser.add_argument("--list", action="store_true", help="print the commands")
    args = parser.parse_args(arguments)
    wanted = [job for job in every if job.path.startswith(args.only)]
    if args.list:
        for job in wanted:
            print(shlex.join(["srgnn-train", *job.command()]))
        return 0
    missing = [job for job in wanted if not (records / job.path).is_dir()]
    print(f"{len(wanted) - len(missing)} of {len(wanted)} runs are kept already")
    folder_of = ROOT / RUNS / records.name
    missing = with_needed(missing, every, folder_of)
    threads = max(1, len(os.sched_getaffinity(0)) // args.jobs)
    here = [f"dataset.root={args.root}"] + (
        [f"dataset.mirror={args.mirror}"] if args.mirror else []
    )

    def run(job: Job) -> bool:
        folder = folder_of / job.path
        folder.mkdir(parents=True, exist_ok=True)
        keys = job.command(*here, f"hydra.run.dir={folder}", "trainer.enable_progress_bar=false")
        with (folder / "study.log").open("a") as log:
            code = subprocess.run(
                [sys.executable, "-m", "pyg_srgnn.commands.train", *keys],
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env=os.environ | {"OMP_NUM_THREADS": str(threads)},
                check=False,
            ).returncode
        # A run that others only needed the checkpoint of has a record, perhaps with other keys.
        if code == 0 and not (records / job.path).is_dir():
            keep(folder, records, job.label)
        print(
            f"{job.path}: {'kept' if code == 0 else f'failed, see {folder}/study.log'}", flush=True
        )
        return code == 0

    with ThreadPoolExecutor(args.jobs) as pool:
        return sum(not done for wave in waves(missing) for done in pool.map(run, wave))


def with_needed(missing: Sequence[Job], every: Sequence[Job], runs: Path) -> list[Job]:
    """The runs that are missing, and those whose checkpoints they read and this machine lacks.

    Args:
        missing: The runs that are missing.
        every: All runs of a study.
        runs: The folder of its runs.
    """
    known = {job.path: job for job in every}
    found = {job.path: job for job in missing}
    asked = list(missing)
    while asked:
        for path in asked.pop().needs:
            if path not in found and not list((runs / path).glob("checkpoints/refit.ckpt")):
                found[path] = known[path]
                asked.append(known[path])
    return [job for job in every if job.path in found]


def waves(missing: Sequence[Job]) -> Iterator[list[Job]]:
    """The runs in groups, each of which needs runs of earlier groups alone."""
    left = list(missing)
    while left:
        paths = {job.path for job in left}
        yield (wave := [job for job in left if paths.isdisjoint(job.needs)])
        left = [job for job in left if job not in wave]


if __name__ == "__main__":
    sys.exit(main())
