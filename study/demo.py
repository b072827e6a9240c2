"""Makes pyg_srgnn/demo: the export of a small model of the synthetic dataset, with names of items.

python -m study.demo            # what make demo does: two epochs, minutes
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from pyg_srgnn.datasets import Synthetic

FOLDER = Path(__file__).parents[1] / "pyg_srgnn" / "demo"
SESSIONS = 20_000
# All items are on sale from the start, and none has a text: the export is a tenth as large.
TRAINING = [
    *("text=null", "model.channels=24", "baselines=[popularity,markov]", "trainer.max_epochs=2"),
    *("optimizer.lr=0.01", "batch_size=256", "dataset.new_items=0", "dataset.late_items=0"),
    f"dataset.num_sessions={SESSIONS}",
]


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, export, write the names."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", default="datasets", help="folder of all datasets (datasets)")
    parser.add_argument("--run", help="a finished run to export instead of training one")
    args = parser.parse_args(arguments)
    with TemporaryDirectory() as aside:
        run = args.run or f"{aside}/run"
        if args.run is None:
            _command("train", *TRAINING, f"dataset.root={args.root}", f"hydra.run.dir={run}")
        _command("export", f"checkpoint={run}", f"output={FOLDER}")
    shop = Synthetic(args.root, num_sessions=SESSIONS, new_items=0.0, late_items=0.0)
    assert shop.texts is not None
    with (FOLDER / "names.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["id", "name"])
        rows.writerows(zip(shop.vocabulary.ids, shop.texts, strict=True))


def _command(name: str, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", f"pyg_srgnn.commands.{name}", *arguments], check=True)


if __name__ == "__main__":
    main()
