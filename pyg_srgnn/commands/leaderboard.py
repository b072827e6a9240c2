"""srgnn-leaderboard: ranks the runs below a directory by validation."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pyg_srgnn.commands.ending import ending_with_pipe, stoppable
from pyg_srgnn.commands.options import parse_options
from pyg_srgnn.utils.imports import gc_paused
from pyg_srgnn.utils.terminal import show


@stoppable
@ending_with_pipe()
def main(arguments: Sequence[str] | None = None) -> int:
    """Write the leaderboard and print its table; the exit status."""
    parser = argparse.ArgumentParser(
        prog="srgnn-leaderboard",
        description="Rank the runs below a directory by their metric on validation, the seeds of a "
        "configuration together, and write leaderboard.csv and leaderboard.html there.",
        epilog="example: srgnn-leaderboard runs/sweeps/SWEEP",
    )
    parser.add_argument("directory", type=Path, help="of a sweep, or of runs at any depth")
    parser.add_argument(
        "--metric", help="what ranks them, such as mrr@20 (default: what the runs monitor)"
    )
    args = parse_options(parser, arguments)
    with gc_paused():
        from pyg_srgnn.reports.leaderboard import write_leaderboard
        from pyg_srgnn.runs.rolling import is_rolling
    try:
        if is_rolling(args.directory):
            if args.metric is not None:
                raise ValueError(
                    "--metric ranks runs; those of a rolling evaluation are not ranked"
                )
            from pyg_srgnn.reports.rolling import write_rolling

            show(write_rolling(args.directory))
        else:
            show(write_leaderboard(args.directory, args.metric))
    except (ValueError, OSError) as error:
        print(f"srgnn-leaderboard: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
