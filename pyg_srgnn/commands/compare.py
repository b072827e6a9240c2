"""srgnn-compare: tests whether runs differ by more than chance, on the same test rows."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pyg_srgnn.commands.ending import ending_with_pipe, stoppable
from pyg_srgnn.commands.options import parse_options
from pyg_srgnn.functional.targets import GROUPS
from pyg_srgnn.runs.find import LATEST, find_run
from pyg_srgnn.utils.imports import gc_paused
from pyg_srgnn.utils.terminal import show

_DESCRIPTION = """\
srgnn-compare: whether runs differ by more than chance, on the same test rows.

Of every pair of runs: the difference of HR@20 and MRR@20 in percent points with its 95 % interval
and p-value (paired bootstrap), and McNemar's test of the hits. With more than two runs the p-values
are also corrected for the number of pairs (Holm; Benjamini and Hochberg).

Examples:
  srgnn-compare runs/synthetic/A runs/synthetic/B
  srgnn-compare runs/sweeps/A runs/sweeps/B              each holds runs of several seeds: averaged
  srgnn-compare runs/synthetic/A --baseline vsknn        beside a baseline of the same run
  srgnn-compare A B --targets rare                       on the targets with 1 to 20 clicks alone
  srgnn-compare A B --targets category=shoes             on those of one category
  srgnn-compare latest runs/synthetic/A                  the newest run beside another one
  srgnn-compare A B C --output comparison.json
  srgnn-compare --log answers.jsonl                      the models of a service's A/B test
"""


@stoppable
@ending_with_pipe()
def main(arguments: Sequence[str] | None = None) -> int:
    """Compare runs, print the table, write the JSON.

    Args:
        arguments: Of the command line. (default: the process's)

    Returns:
        0, or 1 where the runs cannot be compared; then the reason is printed.
    """
    parser = argparse.ArgumentParser(
        prog="srgnn-compare",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "run",
        nargs="*",
        metavar="RUN",
        help="a directory of srgnn-train or srgnn-evaluate (with ranks.parquet), or one that holds "
        "runs of one configuration with several seeds",
    )
    parser.add_argument(
        "--log",
        type=Path,
        metavar="FILE",
        help="instead of runs: the log of answers of a service (answers=FILE), whose models A and "
        "B are compared by the clicks that followed",
    )
    parser.add_argument(
        "--clicks",
        type=Path,
        metavar="FILE",
        help="with --log: the later clicks, .csv, .parquet or .jsonl with columns session, item, "
        "time (default: those of the sessions' next requests in the log)",
    )
    parser.add_argument(
        "--baseline",
        action="append",
        default=[],
        metavar="NAME",
        help="a baseline of the first RUN, compared as well; can be given several times",
    )
    parser.add_argument(
        "--unit",
        choices=("sessions", "rows"),
        default="sessions",
        help="what the bootstrap draws: sessions, whose rows hang together, or rows as if they "
        "were independent (default: sessions)",
    )
    parser.add_argument(
        "--targets",
        type=_targets,
        metavar="GROUP",
        help="only the rows whose target has clicks in training (warm), 1 to 20 of them (rare) or "
        "none (cold), or a value in a column of categories (COLUMN=VALUE)",
    )
    parser.add_argument(
        "--draws", type=_whole, default=10_000, metavar="N", help="of the bootstrap (10000)"
    )
    parser.add_argument("--seed", type=_whole, default=0, metavar="N", help="of the draws (0)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the JSON there, too")
    args = parse_options(parser, arguments)
    if args.draws < 1:
        parser.error("argument --draws: expected a whole number >= 1")
    if args.log is not None:
        if args.run or args.baseline or args.targets:
            parser.error("--log compares the models of a log: without RUN, --baseline, --targets")
        return _compare_log(args)
    if args.clicks is not None:
        parser.error("--clicks are those behind the answers of a --log")
    if not args.run or len(args.run) + len(args.baseline) < 2:
        parser.error("there must be two runs to compare, or a run and a --baseline of it")
    with gc_paused():
        from pyg_srgnn.reports.comparison import compare, comparison_table, read_side

    def compared() -> dict[str, Any]:
        paths = [find_run(run, "RUN") if Path(run).name == LATEST else run for run in args.run]
        sides = [read_side(path) for path in paths]
        sides += [read_side(paths[0], name) for name in args.baseline]
        return compare(sides, args.draws, args.seed, args.unit, args.targets)

    return _shown(args, compared, comparison_table)


def _compare_log(args: argparse.Namespace) -> int:
    """Compare the models of a service's log, print the table, write the JSON."""
    with gc_paused():
        from pyg_srgnn.evaluation.answers import compare_models, read_answers, read_clicks
        from pyg_srgnn.reports.answers import answers_table

    def compared() -> dict[str, Any]:
        answers = read_answers(args.log)
        clicks = None if args.clicks is None else read_clicks(args.clicks)
        return compare_models(answers, clicks, args.draws, args.seed)

    return _shown(args, compared, answers_table)


def _shown(
    args: argparse.Namespace,
    compared: Callable[[], dict[str, Any]],
    table: Callable[[dict[str, Any]], str],
) -> int:
    """Compare, write the JSON, and print the table; the exit status."""
    from pyg_srgnn.utils.files import write_text

    try:
        result = compared()
        text = json.dumps(result, indent=2)
        if args.output is not None:
            write_text(args.output, text + "\n")
    except (ValueError, OSError) as error:
        print(f"srgnn-compare: {error}", file=sys.stderr)
        return 1
    show(text if args.json else table(result))
    return 0


def _targets(text: str) -> str:
    if text not in GROUPS and "=" not in text:
        expected = ", ".join(GROUPS)
        raise argparse.ArgumentTypeError(f"expected {expected} or COLUMN=VALUE (got {text!r})")
    return text


def _whole(text: str) -> int:
    value = int(text)
    if value < 0:
        raise ValueError(text)
    return value


_whole.__name__ = "whole number"  # which argparse names where a value is none


if __name__ == "__main__":
    sys.exit(main())
