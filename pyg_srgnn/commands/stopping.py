"""Ctrl-C: one line that says what is kept and which command resumes, and exit status 130."""

from __future__ import annotations

import functools
import os
import shlex
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

STATUS = 128 + signal.SIGINT
"""What a shell expects of a program that was stopped with Ctrl-C."""


def stoppable(main: Callable[[], Any]) -> Callable[[], Any]:
    """Have a console script end on Ctrl-C with one line instead of a traceback.

    Args:
        main: The script. The text of a KeyboardInterrupt that leaves it says what is kept.
    """

    @functools.wraps(main)
    def stops(*args: Any) -> Any:
        command = again()  # before anything is added to the command line
        try:
            return main(*args)
        except KeyboardInterrupt as stop:
            end(str(stop) or "nothing", command, functools.partial(print, file=sys.stderr))

    return stops


def end(kept: str | None, command: str, say: Callable[[str], None]) -> NoReturn:
    """End the process, and say so.

    Args:
        kept: What is kept; None for a process that has nothing to say, one of several of a run.
        command: The command that resumes.
        say: Prints a line.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who presses it twice means the same
    if kept is not None:
        if sys.stdout.isatty():
            print()  # below the terminal's own ^C
        say(f"{Path(sys.argv[0]).name}: stopped; kept: {kept}; to resume: {command}")
    raise SystemExit(STATUS)


def again(run_dir: str | Path | None = None) -> str:
    """The command that resumes what this process does, quoted for a shell.

    Args:
        run_dir: Of the run that it is to resume. (default: None, the command says it)
    """
    replaced = ("resume=",) if run_dir is None else ("resume=", "hydra.run.dir=")
    words = [text for text in sys.argv[1:] if not text.lstrip("+").startswith(replaced)]
    if run_dir is not None:
        from hydra._internal.utils import get_args_parser  # not every script is one of Hydra's

        overrides = get_args_parser().parse_args(words).overrides
        # argparse wants the overrides side by side.
        last = max((words.index(text) for text in overrides), default=len(words) - 1)
        words.insert(last + 1, f"hydra.run.dir={_quoted(run_dir)}")
    return shlex.join([*_program(), *words])


def _quoted(directory: str | Path) -> str:
    """A directory as Hydra reads it, below the working directory where it lies there."""
    from pyg_srgnn.commands.paths import in_quotes  # not every script is one of Hydra's

    path = os.path.relpath(directory)
    path = str(directory) if path.startswith("..") else path
    plain = all(c.isalnum() or c in "/_-." for c in path)
    return path if plain else in_quotes(path)


def _program() -> list[str]:
    """The words before the arguments."""
    name, spec = sys.argv[0], sys.modules["__main__"].__spec__
    if spec is not None and spec.origin == name:
        return [_short(sys.executable), "-m", spec.name]
    return [_short(sys.executable), name] if name.endswith(".py") else [_short(name)]


def _short(program: str) -> str:
    """A program's name where a shell finds it by that, else its path."""
    name = Path(program).name
    found = shutil.which(name)
    same = found is not None and os.path.abspath(found) == os.path.abspath(program)
    return name if same else program
