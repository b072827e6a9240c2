"""A page of tables and pictures in one file: no scripts, nothing fetched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

_STYLE = """
:root { color-scheme: light dark; --back: #fff; --text: #1d2126; --faint: #667; --line: #d9dce1;
  --training: #2a6db0; --test: #c8591b; }
@media (prefers-color-scheme: dark) { :root { --back: #15181c; --text: #e3e6ea; --faint: #98a0aa;
  --line: #343a42; --training: #74aee8; --test: #f0a05f; } }
body { margin: 0 auto; padding: 1rem; max-width: 60rem; background: var(--back); color: var(--text);
  font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.4rem; line-height: 1.25; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; margin: 1.75rem 0 .4rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem 1rem .25rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); }
th { color: var(--faint); font-weight: normal; }
thead th { vertical-align: bottom; }
th:first-child, td:first-child { min-width: 6rem; }
td:last-child { overflow-wrap: anywhere; }
td.n { white-space: nowrap; overflow-wrap: normal; }
.n { text-align: right; }
.plots { display: grid; gap: 1.5rem; margin-top: 2rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); }
figure { margin: 0; }
figcaption { font-size: .9rem; }
svg { display: block; width: 100%; height: auto; }
svg text { font-family: inherit !important; }
"""


class Table(NamedTuple):
    """Rows under a heading."""

    title: str
    columns: Sequence[str]  # empty: the rows are pairs of a name and a value
    rows: Sequence[Sequence[str]]
    numbers: int = 0  # the column from which on the cells are numbers; 0: none are


def page(
    title: str,
    tables: Sequence[Table],
    figures: Mapping[str, str],
    more: Sequence[Table] = (),
    note: str = "",
) -> str:
    """Set tables and pictures as an HTML page; all texts are escaped.

    Args:
        title: Heading.
        tables: In their order; those without rows are left out.
        figures: SVG elements by their captions, below the tables; the elements are trusted.
        more: Tables below the pictures. (default: none)
        note: A line below the pictures, or in their place. (default: none)
    """
    body = [f"<h1>{escape(title)}</h1>"]
    body += [_table(table) for table in tables if table.rows]
    if figures:
        body.append('<div class="plots">')
        for caption, svg in figures.items():
            body.append(f"<figure><figcaption>{escape(caption)}</figcaption>{svg}</figure>")
        body.append("</div>")
    if note:
        body.append(f"<p>{escape(note)}</p>")
    body += [_table(table) for table in more if table.rows]
    # The policy holds even if a text should ever slip through unescaped.
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


def _table(table: Table) -> str:
    lines = [f"<h2>{escape(table.title)}</h2>", '<div class="wide"><table>']
    if table.columns:
        cells = (_cell("th", table, i, name) for i, name in enumerate(table.columns))
        lines.append("<thead><tr>" + "".join(cells) + "</tr></thead>")
    lines.append("<tbody>")
    for row in table.rows:
        first = "td" if table.columns else "th"
        cells = (_cell("td" if i else first, table, i, cell) for i, cell in enumerate(row))
        lines.append("<tr>" + "".join(cells) + "</tr>")
    return "\n".join([*lines, "</tbody></table></div>"])


def _cell(tag: str, table: Table, column: int, text: str) -> str:
    kind = ' class="n"' if 0 < table.numbers <= column else ""
    return f"<{tag}{kind}>{escape(text)}</{tag}>"
