"""Makes the release assets: the default model of each benchmark, trained, exported and packed.

Each is a .tar.gz of the folder of srgnn-export, its model card within; SHA256SUMS has the checksums
of all. Runs that are finished in the folder of runs are not trained again.

    python -m study.release_models                                # diginetica, yoochoose1_64
    python -m study.release_models --datasets tmall --mirror DIR  # files from a folder or URL
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

from pyg_srgnn.utils.files import sha256_of
from pyg_srgnn.version import __version__

DATASETS = ("diginetica", "yoochoose1_64")


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, export, pack, and list the checksums."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--datasets", nargs="+", default=list(DATASETS), metavar="NAME")
    parser.add_argument("--root", default="datasets", help="folder of all datasets (datasets)")
    parser.add_argument("--mirror", help="folder or URL of their files")
    parser.add_argument("--runs", type=Path, default=Path("runs/release"), help="(runs/release)")
    parser.add_argument("--output", type=Path, default=Path("dist/models"), help="(dist/models)")
    parser.add_argument("keys", nargs="*", help="further keys of srgnn-train, after --")
    args = parser.parse_args(arguments)
    args.output.mkdir(parents=True, exist_ok=True)
    for dataset in args.datasets:
        run, name = args.runs / dataset, f"srgnn-{dataset}-{__version__}"
        keys = [f"dataset={dataset}", f"dataset.root={args.root}", "refit=true", *args.keys]
        keys += [] if args.mirror is None else [f"dataset.mirror={args.mirror}"]
        _command("train", *keys, f"hydra.run.dir={run}")
        _command("export", f"checkpoint={run}", f"output={args.output / name}")
        with tarfile.open(args.output / f"{name}.tar.gz", "w:gz") as packed:
            packed.add(args.output / name, arcname=name)
    files = sorted(args.output.glob("*.tar.gz"))
    sums = "".join(f"{sha256_of(file)}  {file.name}\n" for file in files)
    (args.output / "SHA256SUMS").write_text(sums, encoding="utf-8")
    print(sums, end="")


def _command(name: str, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", f"pyg_srgnn.commands.{name}", *arguments], check=True)


if __name__ == "__main__":
    main()
