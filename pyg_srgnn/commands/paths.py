"""Paths on the command line: no quotes for Hydra's grammar, and runs by name."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from pyg_srgnn.runs.find import find_run

# The keys whose values are paths.
PATHS = {
    "checkpoint",
    "dataset.mirror",
    "dataset.path",
    "dataset.root",
    "dataset.vocabulary",
    "hydra.run.dir",
    "hydra.sweep.dir",
    "input",
    "names",
    "output",
    "report",
    "warm_start",
}


def quoting_paths(main: Callable[[], Any]) -> Callable[[], Any]:
    """Have a Hydra application take paths that hold ``=``, commas, blanks or parentheses.

    Args:
        main: The application, which reads ``sys.argv``.
    """

    @functools.wraps(main)
    def quotes() -> Any:
        arguments = get_args_parser().parse_args()
        multirun = arguments.multirun or "hydra.mode=MULTIRUN" in arguments.overrides
        given = {text: quoted(text, multirun) for text in arguments.overrides}
        sys.argv = [given.get(text, text) for text in sys.argv]
        return main()

    return quotes


def quoted(override: str, multirun: bool) -> str:
    """An override with its value in quotes, if it is a path that Hydra would not read as one.

    What exists is a path. With ``-m`` another list with commas is a sweep; without, it is a path,
    too, unless all of its parts exist: then Hydra says how a list is written.

    Args:
        override: Such as ``checkpoint=runs/a=1,b=2``.
        multirun: Whether a sweep was asked for.
    """
    key, _, value = override.partition("=")
    if key.lstrip("+") not in PATHS or not value or value[0] in "'\"[":
        return override
    exists = Path(value).exists()
    try:
        parsed = OverridesParser.create().parse_override(override)
    except HydraException:
        pass
    else:
        if parsed.is_sweep_override():
            parts = value.split(",")
            if not exists and (multirun or all(Path(part).exists() for part in parts)):
                return override
        elif not exists or parsed.value() == value:
            return override
    return f"{key}={in_quotes(value)}"


def in_quotes(text: str) -> str:
    """A text as Hydra's grammar takes it, whatever it holds."""
    return str(QuotedString(text, Quote.single).with_quotes())


def name_runs(config: DictConfig, *keys: str, unfinished: bool = False) -> None:
    """Put the directory of a run in place of what stands for it, and say so on stderr.

    It is put into ``sys.argv``, too: the command that resumes must mean the same run later.

    Args:
        config: What Hydra composed; changed in place.
        keys: Those that may hold ``latest`` or a folder of runs; one that is null is left alone.
        unfinished: As of :func:`~pyg_srgnn.runs.find.find_run`. (default: ``False``)

    Raises:
        FileNotFoundError: If there is no such run.
        ValueError: If it is a sweep.
    """
    for key in keys:
        given = OmegaConf.select(config, key)
        if given is None:
            continue
        found = find_run(given, key, unfinished)
        if found != Path(given):
            print(f"{Path(sys.argv[0]).name}: {key}={found}", file=sys.stderr)
            OmegaConf.update(config, key, str(found))
            named = quoted(f"{key}={found}", multirun=False)
            of_key = (key, f"+{key}", f"++{key}")
            sys.argv = [named if w.partition("=")[0] in of_key else w for w in sys.argv]
