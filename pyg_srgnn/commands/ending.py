"""Ends a command in an orderly way: on Ctrl-C, and when nobody reads its output any more."""

from __future__ import annotations

import functools
import os
import select
import shlex
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

STATUS = 128 + signal.SIGINT
"""The exit status of a program that was stopped with Ctrl-C."""


def stoppable(main: Callable[[], Any]) -> Callable[[], Any]:
    """Have a console script end on Ctrl-C with one line instead of a traceback.

    Args:
        main: The script. The message of a KeyboardInterrupt that leaves it describes what is kept.
    """

    @functools.wraps(main)
    def stops(*args: Any) -> Any:
        command = again()  # before anything is added to the command line
        try:
            return main(*args)
        except KeyboardInterrupt as stop:
            end(str(stop) or "nothing", command, functools.partial(print, file=sys.stderr))

    return stops


def end(kept: str | None, command: str, report: Callable[[str], None]) -> NoReturn:
    """End the process with a message.

    Args:
        kept: What is kept; None prints nothing, as in the further processes of a run.
        command: The command that resumes.
        report: Prints a line.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # pressed twice, it means the same
    if kept is not None:
        if sys.stdout.isatty():
            print()  # below the terminal's own ^C
        report(f"{Path(sys.argv[0]).name}: stopped; kept: {kept}; to resume: {command}")
    raise SystemExit(STATUS)


def again(run_dir: str | Path | None = None) -> str:
    """The command that resumes the work of this process, quoted for a shell.

    Args:
        run_dir: Directory of the run to resume. (default: None, that of the command)
    """
    replaced = ("resume=",) if run_dir is None else ("resume=", "hydra.run.dir=")
    words = [text for text in sys.argv[1:] if not text.lstrip("+").startswith(replaced)]
    if run_dir is not None:
        # Behind the other keys: options follow.
        place = next((at for at, word in enumerate(words) if word.startswith("-")), len(words))
        words.insert(place, f"hydra.run.dir={_quoted(run_dir)}")
    return shlex.join([*_program(), *words])


def _quoted(directory: str | Path) -> str:
    """A directory as Hydra reads it, below the working directory where it lies there."""
    from pyg_srgnn.sweeps.overrides import in_quotes  # not every script is one of Hydra's

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


@contextmanager
def ending_with_pipe() -> Iterator[None]:
    """End the process quietly, with status 1, when the reader of its output has gone."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        if not _has_no_reader(sys.stdout.fileno()):
            raise  # of another pipe, such as a connection
        # Python flushes once more at its end, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None


def _has_no_reader(pipe: int) -> bool:
    state = select.poll()
    state.register(pipe, 0)  # errors are reported unasked
    return bool(state.poll(0))
