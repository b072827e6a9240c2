"""What serves a model imports nothing of what trains one."""

from __future__ import annotations

import subprocess
import sys

TRAINING = ("torch_geometric", "lightning", "hydra", "omegaconf", "polars", "narwhals")
BLOCKED = f"""
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {TRAINING!r}:
            raise ImportError(f"{{name}} is blocked")

sys.meta_path.insert(0, Blocker())
"""


def run_without_training(code: str) -> str:
    """Run Python code where nothing that only training needs can be imported."""
    done = subprocess.run([sys.executable, "-c", BLOCKED + code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_recommender_and_its_parts():
    run_without_training(
        "import pyg_srgnn, pyg_srgnn.recommender, pyg_srgnn.scorer\n"
        "import pyg_srgnn.functional.graphs, pyg_srgnn.functional.mixture\n"
        "import pyg_srgnn.functional.topk, pyg_srgnn.functional.catalogue\n"
        "import pyg_srgnn.artifact, pyg_srgnn.exported, pyg_srgnn.formats\n"
        "from pyg_srgnn.data import Vocabulary\n"
    )


def test_the_block_blocks():
    assert run_without_training(
        "try:\n    import pyg_srgnn.nn\nexcept ImportError as error:\n    print(error)\n"
    ).endswith("is blocked\n")
