"""The pip command that installs an optional dependency."""

from __future__ import annotations

import json
import os
import shlex
from importlib.metadata import PackageNotFoundError, distribution


def pip_install(extra: str) -> str:
    """The command that installs an extra.

    A checkout or a wheel is named by its path, a repository by its URL (PEP 610 has pip record
    them), and what came from an index by its name.

    Args:
        extra: Such as ``"plots"``; an extra of ``pyproject.toml``.
    """
    try:
        record = json.loads(distribution("pyg-srgnn").read_text("direct_url.json") or "{}")
    except PackageNotFoundError:  # imported from a folder that was never installed
        record = {}
    url, words = record.get("url", ""), ["pip", "install"]
    if url.startswith("file:"):
        from urllib.parse import urlsplit
        from urllib.request import url2pathname

        path = url2pathname(urlsplit(url).path)
        if os.path.realpath(path) == os.path.realpath("."):
            path = "."
        editable = record.get("dir_info", {}).get("editable", False)
        return shlex.join([*words, *(["-e"] if editable else []), f"{path}[{extra}]"])
    if "vcs_info" in record:
        vcs = record["vcs_info"]
        source = f"{vcs['vcs']}+{url}@{vcs['commit_id']}"
        return shlex.join([*words, f"pyg-srgnn[{extra}] @ {source}"])
    return shlex.join([*words, f"pyg-srgnn[{extra}]"])
