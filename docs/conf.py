"""Configuration of the documentation site, which ``make docs`` builds into ``build/docs``."""

from __future__ import annotations

import re
from os.path import normpath
from pathlib import Path
from typing import Any

from pyg_srgnn import __version__

ROOT = Path(__file__).parents[1]
# Pages of the site whose text lies outside of this folder.
OUTSIDE = {
    "index": "README.md",
    "examples": "examples/README.md",
    "files": "datasets/README.md",
    "contributing": "CONTRIBUTING.md",
    "changelog": "CHANGELOG.md",
}
LINK = re.compile(r"\]\((?!\w+:|#)([^)#\s]+)")

project = "pyg_srgnn"
release = __version__
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.doctest",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
html_theme = "furo"
html_title = f"pyg_srgnn {__version__}"
myst_heading_anchors = 3  # so that page.md#section is a link, as on a code host
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_numpy_docstring = False
copybutton_prompt_text = "$ "
doctest_global_setup = """
import torch
from pyg_srgnn.data import *
from pyg_srgnn.data.attributes import ItemAttributes
from pyg_srgnn.evaluation import TargetMetrics
from pyg_srgnn.functional.metrics import *
from pyg_srgnn.inference.clicks import Clicks
from pyg_srgnn.inference.rules import Rules
from pyg_srgnn.nn import *
"""


def read(app: Any, page: str, source: list[str]) -> None:
    """Take the text of a page from outside, and make its links those of the site.

    Raises:
        FileNotFoundError: If a link names a file that does not exist.
    """
    if not (ROOT / "docs" / f"{page}.md").is_file():
        return
    here = Path(OUTSIDE.get(page, f"docs/{page}.md"))
    text = source[0]
    if page in OUTSIDE:
        text = (ROOT / here).read_text(encoding="utf-8") + "\n" + text
    pages = {path: f"{name}.md" for name, path in OUTSIDE.items()}

    def link(found: re.Match[str]) -> str:
        path = normpath(here.parent / found[1])
        if not (ROOT / path).exists():
            raise FileNotFoundError(f"{here}: {path} does not exist")
        inside = path.removeprefix("docs/") if path.startswith("docs/") else f"../{path}"
        return f"]({pages.get(path, inside)}"

    source[0] = LINK.sub(link, text)


def setup(app: Any) -> None:
    """Register :func:`read`."""
    app.connect("source-read", read)
