"""Writes the model card of an export."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from pyg_srgnn.checkpoint import Checkpoint
from pyg_srgnn.inference.card import data_lines, limits
from pyg_srgnn.inference.choice import AUTO
from pyg_srgnn.inference.manifest import CARD
from pyg_srgnn.reports.table import LITERATURE, made_of, result_tables
from pyg_srgnn.runs.result import RunResult
from pyg_srgnn.version import __version__

_ADDED, _MADE_OF = "## Items added", "## What it is made of"


def model_card(checkpoint: Checkpoint, manifest: Mapping[str, Any], off: float) -> str:
    """Write the card of an export.

    Args:
        checkpoint: The exported model; the metrics are read from its run's directory.
        manifest: Content of ``manifest.json``.
        off: Largest difference of a score from the checkpoint's.
    """
    settings, run = manifest["model"], _run_of(checkpoint.path)
    name, dataset = settings["name"], manifest["dataset"]["name"]
    changed = ", ".join(f"{key}={value}" for key, value in settings.items() if key != "name")
    return f"""# {name} on {dataset}

The next items of a session of clicks, by pyg_srgnn {__version__}.

## Data

{_data(checkpoint, manifest["dataset"], run)}

## Metrics

{_metrics(checkpoint.protocol, run)}

## What it cannot do

{limits(checkpoint, manifest["scorer"]["log_probabilities"])}

## How to load it

```python
from pyg_srgnn import Recommender

Recommender.load("THIS_FOLDER").recommend([["raw id", "raw id"]], k=20)
```

It needs torch, safetensors{" and onnxruntime" if manifest["export"] == "onnx" else ""}, and neither
PyTorch Geometric, Lightning nor Hydra. Nothing in the folder is executed when it is loaded.
Scores differ from the checkpoint's by {off:.1g} at most (random sessions, at export).
{_exactness(manifest)}

{_MADE_OF}

{changed}

{_sums(manifest)}
"""


def with_added_items(card: str, manifest: Mapping[str, Any], cold: int) -> str:
    """The card of an export to which items were added.

    Args:
        card: The card before.
        manifest: Content of ``manifest.json``.
        cold: Cold items of the catalogue.
    """
    items = manifest["scorer"]["tables"]["clicks"]["shape"][0]
    section = (
        f"{_ADDED}\n\n{manifest['added_items']:,} items were added by their texts after the "
        f"training. The catalogue has\n{items:,} items, of which {cold:,} are cold. The metrics "
        f"are those of before.\n\n"
    )
    before, made_of, rest = card.partition(_MADE_OF)
    settings = rest.partition("\n| file")[0]
    return f"{before.partition(_ADDED)[0]}{section}{made_of}{settings}\n{_sums(manifest)}\n"


def _sums(manifest: Mapping[str, Any]) -> str:
    """The table of checksums of all other files."""
    sums = [f"| `{name}` | `{sum}` |" for name, sum in manifest["files"].items() if name != CARD]
    return "\n".join(["| file | SHA-256 |", "|---|---|", *sums])


def _exactness(manifest: Mapping[str, Any]) -> str:
    """How the best items are found."""
    index, precision = manifest.get("index"), manifest["precision"]
    if index is not None:
        found = (
            f"The best items are looked for in {index['probes']} of {index['lists']} lists: recall@"
            f"{index['k']} is {index['recall']:.4f} beside exact search ({index['queries']:,} "
            f"{index['queried_with']})."
        )
        if "log_sum_off" not in index:
            return f"{found} Their scores are exact."
        mean, most = index["log_sum_off"]
        return (
            f"{found}\nCandidates of the mixture's other parts are all looked at. The logarithm "
            f"of the\nsoftmax's sum is an estimate: off by {mean:.2g} on average, by {most:.2g} at "
            f"most."
        )
    scorer = manifest["scorer"]
    if precision.startswith("float32") or "members" in scorer or scorer["experts"]:
        return "Items are scored in float32."
    looked = "the precision that is fastest where it is loaded" if precision == AUTO else precision
    if scorer["log_probabilities"]:
        return (
            f"Many items are looked for in {looked} and scored in float32.\nThe softmax's sum is "
            f"of the same products: where they are rounded, log-probabilities are off by some\n"
            f"hundredths at most, as measured; by more, the larger the model's scale."
        )
    return (
        f"Items are looked for in {looked} and scored in float32; the best are the same as in "
        f"float32 (recall 1 by construction)."
    )


class _Run(NamedTuple):
    folder: Path
    result: RunResult


def _run_of(checkpoint: Path) -> _Run | None:
    """The run whose final checkpoint this is."""
    folder = checkpoint.parent.parent
    try:
        result = RunResult.read(folder)
    except (OSError, ValueError):
        return None
    final = result.checkpoint is not None and folder / result.checkpoint == checkpoint
    return _Run(folder, result) if final else None


def _data(checkpoint: Checkpoint, dataset: Mapping[str, Any], run: _Run | None) -> str:
    """The data that the model was trained on."""
    lines = data_lines(checkpoint, dataset)
    if run is not None:
        samples = ", ".join(f"{count:,} of {part}" for part, count in run.result.samples.items())
        lines.append(f"- Samples: {samples}")
        days = _days(run.folder / "ranks.parquet")
        lines.append(
            f"- Test sessions from {days[0]} to {days[1]} (UTC); those of training are earlier"
            if days
            else "- Dates: the dataset has none"
        )
    return "\n".join(lines)


def _days(ranks: Path) -> tuple[date, date] | None:
    """First and last day of the test sessions, where they are known."""
    if not ranks.is_file():
        return None
    day = (
        pl.scan_parquet(ranks).select(first=pl.col("day").min(), last=pl.col("day").max()).collect()
    )
    first, last = day.row(0)
    return None if first is None else (first, last)


def _metrics(protocol: str, run: _Run | None) -> str:
    """The metrics, beside those of the baselines."""
    if run is None:
        unknown = f"protocol={protocol}. Not known: this is not the final checkpoint of a run."
        return f"{unknown}\n{LITERATURE}" if protocol == "literature" else unknown
    result = run.result
    parts = []
    for part, measured in (("valid", result.valid), ("test", result.test)):
        if not measured:
            parts.append(f"{part}: not measured")
            continue
        parts += [f"```\n{table}\n```" for table in result_tables(result, part)]
    seed = f"Protocol {protocol}"
    if result.epochs:
        seed += f", seed {result.seed}, epoch {result.best_epoch} of {result.epochs}"
    chosen = (
        LITERATURE
        if protocol == "literature"
        else ("Everything was chosen on validation; the test set was read once.")
    )
    refit = (
        " The model was trained once more on training and validation sessions; the metrics of "
        "validation are those of the model before."
        if result.refit
        else ""
    )
    return "\n\n".join([f"{seed}. {chosen}{refit}", *made_of(result, whole=False), *parts])
