"""Optional dependencies: the pip command that installs them, and their versions."""

from __future__ import annotations

import json
import os
import shlex
from importlib.metadata import PackageNotFoundError, distribution, version


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


def required_version(package: str, extra: str, user: str) -> str:
    """The version of a package that an extra brings, without importing it.

    Args:
        package: Its name on an index.
        extra: The extra that installs it.
        user: What needs it, as a user asks for it, such as ``"encoder=wordllama"``.

    Raises:
        ValueError: If it is not installed; says how it is.
    """
    try:
        return version(package)
    except PackageNotFoundError:
        raise ValueError(
            f"{user} needs {package}, which is not installed: {pip_install(extra)}"
        ) from None
