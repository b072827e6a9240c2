"""The table of metrics over all, warm, rare and cold targets."""

from __future__ import annotations

from collections.abc import Mapping

from pyg_srgnn.functional.metrics import MAIN, title
from pyg_srgnn.functional.targets import GROUPS, RARE
from pyg_srgnn.runs.result import METRICS_FILE
from pyg_srgnn.utils.terminal import Column, Styled, lines, styled, table

_MANY_RARE = 0.01  # of the targets, from which on the table says something


def target_table(
    rows: Mapping[str, Mapping[str, float]],
    targets: Mapping[str, Mapping[str, Mapping[str, float]]],
    always: bool = False,
    elsewhere: str = METRICS_FILE,
    scale: float = 100,
) -> Styled | None:
    """HR@20 / MRR@20 of each scorer over all, warm, rare and cold targets, and their shares.

    Args:
        rows: Metrics of each scorer over all targets; the first one is bold.
        targets: Those over the targets of each of :data:`~pyg_srgnn.functional.targets.GROUPS`,
            with their number of ``samples`` for the first scorer; others may be missing.
        always: Whether to make the table even if few targets are rare and none is cold, as for a
            model with text. (default: False)
        elsewhere: The file that holds every metric. (default: ``"metrics.json"``)
        scale: What makes the metrics percent. (default: 100, of fractions)

    Returns:
        The table; None where the groups are not known, or it says nothing new.
    """
    first = next(iter(rows), "")
    if first not in targets:
        return None
    samples = {name: targets[first][name]["samples"] for name in GROUPS}
    total = samples["warm"] + samples["cold"]
    if not (always or samples["cold"] or samples["rare"] >= _MANY_RARE * total):
        return None
    shares = [f"{100 * count / total:.1f}" for count in samples.values()]

    def pair(metrics: Mapping[str, float]) -> str:
        return " / ".join(f"{scale * metrics[name]:.2f}" for name in MAIN if name in metrics)

    cells = [
        [name, pair(metrics), *(pair(targets[name].get(group, {})) for group in GROUPS)]
        for name, metrics in rows.items()
        if name in targets
    ]
    # Where there is no room, the warm ones go first, which are often nearly all.
    groups = [Column(name, rank=len(GROUPS) - i) for i, name in enumerate(GROUPS)]
    return lines(
        styled(
            f"{' / '.join(map(title, MAIN))} by the target's clicks in training, percent", "bold"
        ),
        table(
            [Column("", "label"), Column("all"), *groups],
            [["share of the targets", "100.0", *shares], *cells],
            [1],
            elsewhere,
        ),
        f"warm: at least one click, rare: 1 to {RARE}, cold: none",
    )
