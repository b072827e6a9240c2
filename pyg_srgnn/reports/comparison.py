"""Runs compared on the same test rows: effect, 95 % interval and p-value of every pair."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from omegaconf import OmegaConf

from pyg_srgnn.data.fingerprint import short_digest
from pyg_srgnn.evaluation.rank_table import categories_of, read_ranks
from pyg_srgnn.evaluation.samples import Samples, require_same
from pyg_srgnn.evaluation.significance import benjamini_hochberg, bootstrap, holm, mcnemar
from pyg_srgnn.evaluation.slices import by_category
from pyg_srgnn.functional.metrics import MAIN, K, title
from pyg_srgnn.functional.targets import GROUPS
from pyg_srgnn.reports.categories import category_table
from pyg_srgnn.reports.targets import target_table
from pyg_srgnn.runs.finished import Run, require_seeds_of_one
from pyg_srgnn.runs.result import METRICS_FILE, RunResult
from pyg_srgnn.utils.terminal import Column, Styled, lines, table

RANKS = "ranks.parquet"
_TEST: tuple[str, ...] = ("dataset", "split", "ties", "positions")


class Side(NamedTuple):
    """One side of a comparison: a run, the average of its seeds, or a baseline of a run."""

    name: str
    """As the user gave it."""
    what: str
    """Such as ``"srgnn, seed 0"``."""
    test: dict[str, str]
    """The evaluation: ``dataset``, ``split``, ``ties``, ``data`` (a digest), where known."""
    seeds: int
    """Number of runs that were averaged."""
    samples: Samples


def read_side(path: str | Path, baseline: str | None = None) -> Side:
    """Read what is to be compared.

    Args:
        path: A directory of ``srgnn-train`` or ``srgnn-evaluate`` with its ``ranks.parquet``, or
            one that holds runs of one configuration with several seeds, at any depth, which are
            averaged row by row.
        baseline: Take the ranks of this baseline of the run. (default: those of the model)

    Raises:
        ValueError: If there are no ranks, the runs differ in more than the seed, two have the same
            seed, or the run has no such baseline.
    """
    path = Path(path)
    name = str(path) if baseline is None else f"{path}: {baseline}"
    if (path / RANKS).is_file():
        folders = [path]
    else:
        folders = sorted(file.parent for file in path.rglob(RANKS))
        if not folders:
            found = "holds" if path.is_dir() else "is no directory, so it holds"
            raise ValueError(
                f"{path} {found} no {RANKS}; srgnn-train writes it when it has read the test set "
                f"in one process, srgnn-evaluate checkpoint={path} does so afterwards"
            )
        if len(folders) > 1:
            require_seeds_of_one([Run.read(folder) for folder in folders])
    facts = [_facts(folder) for folder in folders]
    seeds = [of.get("seed") for of in facts]
    for i, seed in enumerate(seeds):
        if seed in seeds[:i]:
            raise ValueError(
                f"{folders[seeds.index(seed)]} and {folders[i]} are runs of the same seed {seed}; "
                f"an average wants one of each seed"
            )
    tables = [read_ranks(folder / RANKS) for folder in folders]
    try:
        samples = Samples.average(tables, baseline)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    model = baseline or facts[0].get("model", "model")
    known = ", ".join(map(str, sorted(seed for seed in seeds if seed is not None)))
    what = f"{model}, seed {known}" if known and baseline is None else str(model)
    test = {key: str(facts[0][key]) for key in _TEST if facts[0].get(key) is not None}
    if "data" in facts[0]:  # not in those of an earlier version
        part = "test" if facts[0]["split"] == "test" else "training"
        test["data"] = short_digest(facts[0]["data"], "items", part)
    return Side(name, what, test, len(folders), samples)


def _facts(folder: Path) -> dict[str, Any]:
    """The facts that the files of a run or an evaluation give; empty where there are none."""
    evaluation = folder / "evaluation.json"
    facts: dict[str, Any] = {}
    if (folder / METRICS_FILE).is_file():  # a run, which ranks the test set as it is configured
        run = RunResult.read(folder)
        model = run.model if run.distil is None else f"{run.model} (distilled)"
        facts = {"dataset": run.dataset, "model": model, "seed": run.seed, "split": "test"}
        if run.positions is not None:
            facts["positions"] = run.positions
        if run.data is not None:  # not in those of an earlier version
            facts["data"] = run.data
        if (folder / "config.yaml").is_file():
            facts["ties"] = OmegaConf.select(OmegaConf.load(folder / "config.yaml"), "ties")
    elif evaluation.is_file():
        try:
            facts = dict(json.loads(evaluation.read_text(encoding="utf-8")))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{evaluation} is not a JSON object ({error})") from error
    return facts


def compare(
    sides: Sequence[Side],
    resamples: int = 10_000,
    seed: int = 0,
    unit: str = "sessions",
    targets: str | None = None,
) -> dict[str, Any]:
    """Test every pair of them.

    Several pairs are several tests: ``p_holm`` and ``p_bh`` are the corrections of Holm and of
    Benjamini and Hochberg over all pairs, separately for each test (bootstrap of HR@20, bootstrap
    of MRR@20, McNemar). McNemar's test is left out where a side averages several seeds, whose hits
    are no longer yes or no; the bootstrap then draws other test sets, not other seeds.

    Args:
        sides: At least two.
        resamples: Draws of the bootstrap. (default: 10,000)
        seed: Seed of the draws. (default: 0)
        unit: What is drawn, ``"sessions"`` or ``"rows"``; see
            :func:`pyg_srgnn.evaluation.significance.bootstrap`. (default: ``"sessions"``)
        targets: Only the samples whose target is ``"warm"``, ``"rare"`` or ``"cold"`` by its clicks
            in the training of the first side whose ranks hold them; or ``"COLUMN=VALUE"``, the
            target's value in a column of categories of such a side. (default: all)

    Returns:
        ``test`` (dataset, split, ties, data, targets), ``rows``, ``sessions``, ``unit``,
        ``resamples``, ``seed``, ``runs`` (each with name, seeds, metrics, and the metrics by
        ``targets`` and by ``categories``, where these are known) and ``pairs`` (each with the
        numbers of its two runs and its tests); metrics and differences in percent.

    Raises:
        ValueError: If there are fewer than two, their test sets are different ones, or there is no
            such target.
    """
    if len(sides) < 2:
        raise ValueError(f"there must be two runs to compare (got {len(sides)})")
    first = sides[0]
    for side in sides[1:]:
        for key in first.test.keys() & side.test.keys():
            if first.test[key] != side.test[key]:
                raise ValueError(
                    f"{first.name} was evaluated with {key}={first.test[key]}, {side.name} with "
                    f"{key}={side.test[key]}; only results on the same test set, with the same "
                    f"rule for ties, can be compared"
                )
    try:
        for side in sides[1:]:
            require_same(first.samples.rows, side.samples.rows)
        known = (groups for side in sides if (groups := side.samples.groups()))
        groups = next(known, {})  # of the same targets for all sides
        every = [side.samples for side in sides]
        if targets is not None:
            chosen = _members(sides, groups, targets)
            every = [samples.where(chosen) for samples in every]
        known_by = next((s.samples for s in sides if categories_of(s.samples.rows)), None)
        numbers = list(combinations(range(len(sides)), 2))
        pairs = [(every[i], every[j]) for i, j in numbers]
        apart = bootstrap(pairs, resamples, seed, unit)
    except ValueError as error:
        raise ValueError(f"{', '.join(side.name for side in sides)}: {error}") from error
    results: list[dict[str, Any]] = []
    for (i, j), (one, other), found in zip(numbers, pairs, apart, strict=True):
        result: dict[str, Any] = {"one": i, "other": j}
        for metric, difference in found.items():
            result[metric] = difference._asdict()
        single = sides[i].seeds == sides[j].seeds == 1
        hits = (side.values[f"hr@{K}"] > 0 for side in (one, other))
        result["mcnemar"] = mcnemar(*hits)._asdict() if single else None
        results.append(result)
    for test in (*MAIN, "mcnemar"):
        tested = [result[test] for result in results if result[test] is not None]
        p = [of["p"] for of in tested]
        for of, by_holm, by_bh in zip(tested, holm(p), benjamini_hochberg(p), strict=True):
            of.update(p_holm=by_holm, p_bh=by_bh)
    return {
        "test": first.test | ({} if targets is None else {"targets": targets}),
        "rows": len(every[0].rows),
        "sessions": len(every[0].starts()),
        "unit": unit,
        "resamples": resamples,
        "seed": seed,
        "runs": [
            {
                "name": side.name,
                "what": side.what,
                "seeds": side.seeds,
                **_percent(samples),
                "targets": {
                    name: {"samples": int(mask.sum())} | _percent(side.samples.where(mask))
                    for name, mask in groups.items()
                },
            }
            | ({} if known_by is None else {"categories": _by_category(side.samples, known_by)})
            for side, samples in zip(sides, every, strict=True)
        ],
        "pairs": results,
    }


def _members(
    sides: Sequence[Side], groups: Mapping[str, NDArray[np.bool_]], targets: str
) -> NDArray[np.bool_]:
    """The samples of a group of targets, of which there must be some."""
    if targets not in GROUPS:
        column, _, value = targets.partition("=")
        knowing = [side.samples for side in sides if categories_of(side.samples.rows)]
        try:
            return (knowing or [sides[0].samples])[0].of_category(column, value)
        except ValueError as error:
            raise ValueError(f"targets={targets}: {error}") from error
    if not groups:
        raise ValueError(
            f"targets={targets}: an earlier version wrote these {RANKS}, without the targets' "
            f"clicks; srgnn-evaluate writes them anew"
        )
    if not groups[targets].any():
        raise ValueError(f"targets={targets}: the test set has no such target")
    return groups[targets]


def _percent(samples: Samples) -> dict[str, float]:
    """Means over the samples; none of no samples."""
    values = samples.values.items()
    return {name: 100 * float(of.mean()) for name, of in values if len(of)}


def _by_category(samples: Samples, known_by: Samples) -> dict[str, Any]:
    """A side's metrics by the categories that the rows of some side hold."""
    return {
        column: {
            value: {name: of if name == "samples" else 100 * of for name, of in metrics.items()}
            for value, metrics in values.items()
        }
        for column, values in by_category(samples._replace(rows=known_by.rows)).items()
    }


def comparison_table(result: dict[str, Any]) -> Styled:
    """The result of :func:`compare` as a table."""
    several = len(result["pairs"]) > 1
    least = 2 / (result["resamples"] + 1)  # so many draws cannot tell a smaller p
    runs = [
        [
            _letter(i),
            *(f"{title(metric)} {run[metric]:6.2f}" for metric in MAIN),
            f"{run['name']} ({run['what']})",
        ]
        for i, run in enumerate(result["runs"])
    ]
    rows = []
    for pair in result["pairs"]:
        name = f"{_letter(pair['one'])} − {_letter(pair['other'])}"
        for metric in MAIN:
            found = pair[metric]
            interval = f"{found['low']:+.2f} to {found['high']:+.2f}"
            figures = [f"{found['mean']:+.2f}", interval, *_ps(found, least, several)]
            rows.append([name, title(metric), *figures])
            name = ""
        if pair["mcnemar"] is not None:
            found = pair["mcnemar"]
            hits = f"only one hits: {found['only_one']:,} and {found['only_other']:,}"
            rows.append(["", "McNemar", "", hits, *_ps(found, 1e-4, several)])
    titles = ["difference", "95 % interval", "p", *(["p (Holm)", "p (BH)"] if several else [])]
    test = [f"{key}={value}" for key, value in result["test"].items()]
    notes = [
        f"Intervals and p: paired bootstrap, {result['resamples']:,} draws of {result['unit']}"
        + (" as if they were independent." if result["unit"] == "rows" else ".")
    ]
    if any(pair["mcnemar"] is None for pair in result["pairs"]):
        notes.append("McNemar's test wants a single run on either side: averaged hits are no hits.")
    if several:
        notes += [
            "Corrected over the pairs, separately for each test: Holm bounds the probability of",
            "any false difference, BH (Benjamini, Hochberg) the share of false ones among those.",
        ]
    label = Column("", "label")
    by_target = of_categories = None
    if "targets" not in result["test"]:
        every = {_letter(i): run for i, run in enumerate(result["runs"])}
        of_group = {letter: run["targets"] for letter, run in every.items() if run["targets"]}
        by_target = target_table(every, of_group, elsewhere="--json", scale=1)
        of_category = {
            name: run["categories"] for name, run in every.items() if "categories" in run
        }
        if of_category:
            of_categories = category_table(of_category, elsewhere="--json", scale=1)
    return lines(
        ", ".join(test),
        f"{result['rows']:,} rows of {result['sessions']:,} sessions, percent",
        table([label, label, label, Column("", "text")], runs),
        *([] if by_target is None else ["", by_target]),
        *([] if of_categories is None else ["", of_categories]),
        "",
        table([label, label, *map(Column, titles)], rows),
        "",
        *notes,
    )


def _letter(number: int) -> str:
    return chr(ord("A") + number) if number < 26 else str(number + 1)


def _ps(found: dict[str, Any], least: float, several: bool) -> list[str]:
    """The p-value and, of several pairs, the corrected ones; or that they are less than shown."""
    keys = ("p", "p_holm", "p_bh") if several else ("p",)
    return [f"≤ {least:.4f}" if found[key] <= least else f"{found[key]:.4f}" for key in keys]
