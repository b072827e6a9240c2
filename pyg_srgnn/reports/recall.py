"""The table of weighted recall by the type of the click, where a dataset's own metric is one."""

from __future__ import annotations

from collections.abc import Mapping

from pyg_srgnn.functional.metrics import RECALL, WEIGHTED_RECALL, K
from pyg_srgnn.runs.result import METRICS_FILE
from pyg_srgnn.utils.terminal import Column, Styled, lines, styled, table


def recall_table(
    rows: Mapping[str, Mapping[str, float]], elsewhere: str = METRICS_FILE, scale: float = 100
) -> Styled | None:
    """Recall@20 of each scorer and type of clicks, and its weighted mean.

    Args:
        rows: Metrics of each scorer; the first one is bold.
        elsewhere: The file that holds every metric. (default: ``"metrics.json"``)
        scale: What makes the metrics percent. (default: 100, of fractions)

    Returns:
        The table; None where the first scorer has no such metrics.
    """
    first = next(iter(rows.values()), {})
    start, end = RECALL.format(""), f"@{K}"
    of_types = [key for key in first if key.startswith(start) and key.endswith(end)]
    if not of_types:
        return None
    keys = [*of_types, f"{WEIGHTED_RECALL}{end}"]
    cells = [
        [name, *(f"{scale * metrics[key]:.2f}" if key in metrics else "" for key in keys)]
        for name, metrics in rows.items()
        if of_types[0] in metrics
    ]
    titles = [key.removeprefix(start).removesuffix(end) for key in of_types]
    return lines(
        styled(f"recall{end} of what follows a random cut of each session, percent", "bold"),
        table(
            [Column("", "label"), *map(Column, titles), Column("weighted")], cells, [0], elsewhere
        ),
    )
