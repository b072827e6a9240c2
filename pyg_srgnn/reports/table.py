"""The tables that people read: percent with two decimals, baselines beside the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

COLUMNS = ("hr@5", "hr@10", "hr@20", "mrr@5", "mrr@10", "mrr@20", "ndcg@20", "coverage@20")
LITERATURE = (
    "protocol=literature: the best test epoch of each metric on its own. These numbers were\n"
    "chosen on the test set; do not compare them with those of protocol=honest."
)


def metrics_table(title: str, rows: Mapping[str, Mapping[str, float]]) -> str:
    """A line of metrics for every scorer.

    Args:
        title: First line.
        rows: Metrics of each scorer as fractions; a missing one leaves its cell empty.
    """
    width = max(map(len, rows)) + 2
    lines = [title, " " * width + "".join(f"{name:>13}" for name in COLUMNS)]
    for name, row in rows.items():
        cells = (f"{100 * row[key]:.2f}" if key in row else "" for key in COLUMNS)
        lines.append(f"{name:<{width}}" + "".join(f"{cell:>13}" for cell in cells))
    tied = [f"{name} {100 * row['tied']:.2f}" for name, row in rows.items() if "tied" in row]
    if tied:
        lines.append(f"targets that tie with another item, percent: {', '.join(tied)}")
    return "\n".join(lines)


def run_summary(metrics: Mapping[str, Any]) -> str:
    """The table and the circumstances of a run.

    Args:
        metrics: What ``metrics.json`` holds.
    """
    part = "valid" if metrics["test"] is None else "test"
    rows = {metrics["model"]: metrics[part]}
    rows |= {name: part["test"] for name, part in metrics["baselines"].items()}
    if "optimum" in metrics:
        rows["optimum (exact)"] = metrics["optimum"]["test"]
    refit = " (refit)" if metrics["refit"] else ""
    lines = [
        metrics_table(f"{metrics['dataset']}, {part}, percent", rows),
    ]
    if metrics["epochs"]:
        lines.append(
            f"seed {metrics['seed']}, best epoch {metrics['best_epoch']} of {metrics['epochs']}"
            f"{refit}, {metrics['samples_per_second']:,.0f} samples/s, "
            f"{metrics['train_seconds']:.0f} s of training"
        )
    if metrics["protocol"] == "literature":
        lines.append(LITERATURE)
    return "\n".join(lines)
