"""The package of docs/packages.md, put where pip would put it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "packages.md"
# A paragraph that begins with a file's name, and the block below it.
FILE = re.compile(r"^`([\w./]+)`[^\n]*\n(?:[^\n]+\n)*\n```\w+\n(.*?)^```", re.MULTILINE | re.DOTALL)


def files() -> dict[str, str]:
    """The files that the page shows, by their paths: each in the block below its name."""
    return dict(FILE.findall(PAGE.read_text(encoding="utf-8")))


def install(folder: Path, **changed: str) -> Path:
    """Install the package into a folder, which is put on ``sys.path``.

    Args:
        folder: Where to.
        **changed: Other values of entry points, by their names.
    """
    shown = files()
    project = tomllib.loads(shown.pop("pyproject.toml"))["project"]
    for path, text in shown.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    info = folder / f"{project['name']}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    groups = [
        "\n".join(
            [f"[{group}]", *(f"{name} = {changed.get(name, at)}" for name, at in points.items())]
        )
        for group, points in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n\n".join(groups) + "\n")
    return folder
