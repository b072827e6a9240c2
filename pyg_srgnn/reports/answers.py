"""The table of an A/B test: hit rate and rank of each model, and how far they are apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyg_srgnn.utils.terminal import Column, Styled, lines, table


def answers_table(result: Mapping[str, Any]) -> Styled:
    """The result of :func:`pyg_srgnn.evaluation.answers.compare_models` as a table."""
    k = result["k"]
    columns = [Column("", "label"), Column("sessions"), Column("answers")]
    for name in (f"HR@{k}", f"MRR@{k}"):
        columns += [Column(name), Column("95 % interval", "label")]
    rows = [
        [
            model,
            f"{of['sessions']:,}",
            f"{of['answers']:,}",
            *(cell for metric in ("hr", "mrr") for cell in _cells(of[metric], "")),
        ]
        for model, of in result["models"].items()
    ]
    least = 2 / (result["resamples"] + 1)
    notes = [f"Intervals and p: bootstrap of each model's sessions, {result['resamples']:,} draws."]
    if (apart := result.get("difference")) is not None:
        other, one = sorted(result["models"], reverse=True)
        cells = (cell for metric in ("hr", "mrr") for cell in _cells(apart[metric], "+"))
        rows.append([f"{other} − {one}", "", "", *cells])
        ps = (f"{'≤ ' * (of['p'] <= least)}{max(of['p'], least):.4f}" for of in apart.values())
        rows.append(["p", "", "", *(cell for p in ps for cell in (p, ""))])
    notes += [f"Left out: {count:,} {what}." for what, count in result["left_out"].items() if count]
    return lines("The click after each answer, percent", table(columns, rows), "", *notes)


def _cells(of: Mapping[str, float], sign: str) -> tuple[str, str]:
    return f"{of['mean']:{sign}.2f}", f"{of['low']:{sign}.2f} to {of['high']:{sign}.2f}"
