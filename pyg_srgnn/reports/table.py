"""The table that a run prints: the model beside the baselines and, where known, the optimum."""

from __future__ import annotations

from typing import Any

COLUMNS = ("hr@5", "hr@10", "hr@20", "mrr@5", "mrr@10", "mrr@20", "ndcg@20", "coverage@20")
LITERATURE = (
    "protocol=literature: the best test epoch of each metric on its own. These numbers were\n"
    "chosen on the test set; do not compare them with those of protocol=honest."
)


def metrics_table(metrics: dict[str, Any]) -> str:
    """Test metrics in percent, one line for each of model, baselines and optimum.

    Args:
        metrics: What ``metrics.json`` holds.
    """
    rows = {metrics["model"]: metrics["test"]}
    rows |= {name: part["test"] for name, part in metrics["baselines"].items()}
    if "optimum" in metrics:
        rows["optimum (exact)"] = metrics["optimum"]["test"]
    width = max(map(len, rows)) + 2
    title = f"{metrics['dataset']}, test, percent"
    lines = [title, " " * width + "".join(f"{name:>13}" for name in COLUMNS)]
    for name, row in rows.items():
        cells = (f"{100 * row[key]:.2f}" if key in row else "" for key in COLUMNS)
        lines.append(f"{name:<{width}}" + "".join(f"{cell:>13}" for cell in cells))
    lines.append(
        f"seed {metrics['seed']}, best epoch {metrics['best_epoch']}, "
        f"{metrics['samples_per_second']:,.0f} samples/s, "
        f"{metrics['train_seconds']:.0f} s of training; "
        f"targets tied with another item: {100 * metrics['test']['tied']:.3f} %"
    )
    if metrics["protocol"] == "literature":
        lines.append(LITERATURE)
    return "\n".join(lines)
