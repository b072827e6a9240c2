"""The table of metrics by the target's category."""

from __future__ import annotations

from collections.abc import Mapping

from pyg_srgnn.functional.metrics import MAIN, title
from pyg_srgnn.runs.result import METRICS_FILE
from pyg_srgnn.utils.terminal import Column, Styled, lines, styled, table

_ByValue = Mapping[str, Mapping[str, Mapping[str, float]]]


def category_table(
    every: Mapping[str, _ByValue], elsewhere: str = METRICS_FILE, scale: float = 100
) -> Styled:
    """HR@20 / MRR@20 of each scorer, one line per value of a column of categories.

    Args:
        every: By the scorer, the column and the value, the number of ``samples`` and the metrics;
            where there is no room, the first scorer stays, and of the others the last ones.
        elsewhere: The file that holds every metric. (default: ``"metrics.json"``)
        scale: What makes the metrics percent. (default: 100, of fractions)
    """
    first, *others = every
    rows = [
        [f"{column} {value}", f"{int(of['samples']):,}"]
        + [
            " / ".join(f"{scale * by_value[column][value][name]:.2f}" for name in MAIN)
            for by_value in every.values()
        ]
        for column, values in every[first].items()
        for value, of in values.items()
    ]
    scorers = [Column(name, rank=len(every) - i) for i, name in enumerate(others)]
    return lines(
        styled(f"{' / '.join(map(title, MAIN))} by the target's category, percent", "bold"),
        table(
            [Column("", "label"), Column("targets"), Column(first), *scorers],
            rows,
            elsewhere=elsewhere,
        ),
    )
