"""The notebooks run from the first cell to the last, as they stand; their assertions hold."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "examples" / "notebooks").glob("*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda notebook: notebook.stem)
def test_a_notebook(notebook: Path, tmp_path: Path) -> None:
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, str(notebook)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=1800,  # on a machine that others use, too
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda notebook: notebook.stem)
def test_its_cells_are_those_of_the_percent_format(notebook: Path) -> None:
    """Which Jupyter opens by jupytext, and editors by themselves."""
    text = notebook.read_text(encoding="utf-8")
    assert re.match(r"# %% \[markdown\]\n# # [A-Z]", text)
    kinds = re.findall(r"^# %%(.*)$", text, re.MULTILINE)
    assert set(kinds) == {"", " [markdown]"} and kinds.count("") > 2


def test_every_notebook_is_listed() -> None:
    page = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    assert [
        notebook.name for notebook in NOTEBOOKS if f"notebooks/{notebook.name}" not in page
    ] == []
