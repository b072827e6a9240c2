"""The report of a preparation: on the terminal, as JSON and as a page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pyg_srgnn.reports.html import Table, page
from pyg_srgnn.reports.preparation_plots import plots
from pyg_srgnn.utils import terminal
from pyg_srgnn.utils.extras import pip_install
from pyg_srgnn.utils.files import write_text
from pyg_srgnn.utils.terminal import Column, Styled, lines, styled

_FILES_NAMED = 3


def preparation_table(report: Mapping[str, Any]) -> Styled:
    """Set a preparation report as text.

    Args:
        report: What ``pyg_srgnn.data.statistics`` gives, and what a click log's preparation adds;
            a part that is not there is left out.
    """
    tables = [_fitted(table) for table in _tables(report) if table.rows]
    return lines(*(part for table in tables for part in (table, "")))


def write_report(report: Mapping[str, Any], folder: str | Path) -> Path:
    """Write ``report.json`` and ``report.html``, a page that needs no other file.

    Args:
        report: As for :func:`preparation_table`.
        folder: Where they go; made if it is not there.

    Returns:
        Path of the page.
    """
    folder = Path(folder)
    write_text(folder / "report.json", json.dumps(report, indent=1) + "\n")
    figures = plots(report)
    text = page(
        _printable(f"{report.get('dataset', 'Sessions')}: preparation report"),
        _tables(report),
        figures or {},
        [_shown(_settings(report))],
        f"No plots without matplotlib: {pip_install('plots')}" if figures is None else "",
    )
    write_text(folder / "report.html", text)
    return folder / "report.html"


def _tables(report: Mapping[str, Any]) -> list[Table]:
    parts = (_log, _bad_rows, _rules, _parts, _facts, _published, _cost)
    return [_shown(part(report)) for part in parts]


def _log(report: Mapping[str, Any]) -> Table:
    rows = []
    if files := report.get("files"):
        more = f" and {len(files) - _FILES_NAMED:,} more" if len(files) > _FILES_NAMED else ""
        rows.append(["files", ", ".join(map(str, files[:_FILES_NAMED])) + more])
    if columns := report.get("columns"):
        named = ", ".join(f"{role} = {name}" for role, name in columns.items() if name is not None)
        rows.append(["columns", named])
    for name, key in (("time format", "time_format"), ("engine", "engine")):
        if report.get(key) is not None:
            rows.append([name, str(report[key])])
    if "rows" in report:
        bad = sum(kind["rows"] for kind in report.get("bad_rows", ()))
        rows.append(["rows read", _number(report["rows"])])
        rows.append(["bad rows", _number(bad)])
    if repeated := report.get("repeated_times"):
        rows.append(["times that the clock shows twice, by file order", _number(repeated)])
    if "duplicates" in report:
        rows.append(["duplicates", _number(report["duplicates"])])
    if users := report.get("users"):
        earlier = ", ".join(f"{_number(n)} of {part}" for part, n in users["with_earlier"].items())
        rows.append(["users", _number(users["users"])])
        rows.append(["sessions without a user", _number(users["anonymous"])])
        rows.append(["sessions with earlier ones of their user", earlier])
    return Table("Click log", (), rows)


def _bad_rows(report: Mapping[str, Any]) -> Table:
    rows = [[_number(k["rows"]), k["reason"], k["first"]] for k in report.get("bad_rows", ())]
    return Table("Bad rows", ("rows", "reason", "the first one"), rows)


def _rules(report: Mapping[str, Any]) -> Table:
    rows = []
    last: dict[tuple[str | None, str], int] = {}  # what was left, of either part by itself
    for step in report.get("steps", ()):
        row = [step["rule"]]
        for unit in ("clicks", "sessions"):
            left, key = step[unit], (step.get("part"), unit)
            if left is None:  # not counted
                row += ["", ""]
            else:
                row += [_number(last[key] - left) if key in last else "", _number(left)]
                last[key] = left
        rows.append(row)
    columns = ("rule", "clicks dropped", "left", "sessions dropped", "left")
    return Table("Rules, one after another", columns, rows, numbers=1)


def _parts(report: Mapping[str, Any]) -> Table:
    units = ("sessions", "clicks", "samples", "items")
    rows = [
        [name, *(_number(part[unit]) for unit in units), part["first"] or "", part["last"] or ""]
        for name, part in report.get("parts", {}).items()
    ]
    columns = ["part", *units, "first session", "last session"]
    if not any(row[-1] for row in rows):  # sessions without times
        columns, rows = columns[:-2], [row[:-2] for row in rows]
    return Table("Parts", columns, rows, numbers=1)


def _facts(report: Mapping[str, Any]) -> Table:
    rows = []
    if split := report.get("split"):
        limit = f", at {split['limit']}" if split.get("limit") else ""
        rows.append(["split", f"test = {split['test']}{limit}"])
    if "items" in report:
        rows.append(["items in the catalogue", _number(report["items"])])
    if "items_with_text" in report:
        rows.append(["items with a text", _number(report["items_with_text"])])
    if shown := report.get("distributions"):
        shares = (f"{name} {_percent(share)}" for name, share in shown["repeats"].items())
        rows.append(["targets that repeat an item of the session", ", ".join(shares)])
        unseen = shown["unseen_test_items"]
        rows.append(
            [
                "test items that no training session holds",
                f"{unseen['items']:,}; {unseen['clicks']:,} test clicks are on them, "
                f"{_percent(unseen['share'])}",
            ]
        )
    return Table("Sessions", (), rows)


def _published(report: Mapping[str, Any]) -> Table:
    rows = [
        [name, _number(published), _number(found), "ok" if published == found else "differs"]
        for name, (published, found) in report.get("published", {}).items()
    ]
    return Table("Published counts", ("count", "published", "found", ""), rows, numbers=1)


def _cost(report: Mapping[str, Any]) -> Table:
    rows = []
    if seconds := report.get("seconds"):
        rows.append(["seconds", ", ".join(f"{step} {s:,.1f}" for step, s in seconds.items())])
    if report.get("peak_memory_mb") is not None:
        rows.append(["peak memory", f"{report['peak_memory_mb']:,.0f} MB"])
    return Table("Cost", (), rows)


def _settings(report: Mapping[str, Any]) -> Table:
    settings = report.get("preparation", {})
    rows = [[name, json.dumps(value, ensure_ascii=False)] for name, value in settings.items()]
    return Table("Settings", (), rows)


def _number(value: int) -> str:
    return f"{value:,}"


def _percent(share: float | None) -> str:
    return "none" if share is None else f"{100 * share:.2f} %"


def _shown(table: Table) -> Table:
    return table._replace(rows=[list(map(_printable, row)) for row in table.rows])


def _printable(text: str) -> str:
    """Show characters that would break a table, or that no file can hold, as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def _fitted(table: Table) -> Styled:
    """A table under its title; text is folded where there is no room."""
    width = len(table.columns or table.rows[0])
    titles = table.columns or [""] * width
    kinds = ["number" if 0 < table.numbers <= i else "text" for i in range(width)]
    if not table.columns:
        kinds[0] = "label"
    columns = [Column(title, kind) for title, kind in zip(titles, kinds, strict=True)]
    return lines(styled(table.title, "bold"), terminal.table(columns, table.rows, indent=2))
