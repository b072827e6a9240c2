"""Progress of long work: a bar on a terminal, a line now and then in a log file."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, RLock, Thread
from typing import TYPE_CHECKING, Any

from pyg_srgnn.utils.terminal import is_live, width

if TYPE_CHECKING:
    from rich.progress import Progress

log = logging.getLogger(__name__)

DELAY = 2.0
"""Seconds after which something is shown."""
LINE_EVERY = 30.0
"""Seconds between two lines where no bar can be drawn."""
_DRAW_EVERY = 0.2
_LEAST = 20  # columns of a bar


class Bar:
    """Progress of some work, with an estimate of the time left.

    Args:
        what: The work in a few words; None: nothing is shown.
        total: Steps in all. (default: None, unknown)
        unit: Of a step; ``"MB"`` where it is a byte. (default: none)
        done: Steps that were done before. (default: 0)
    """

    def __init__(
        self, what: str | None, total: float | None = None, unit: str = "", done: int = 0
    ) -> None:
        self.what, self.total, self.unit = what, total, unit
        self.done = self._before = done
        self._started = time.monotonic()
        self._live = is_live()
        self._next = self._started + (DELAY if self._live else LINE_EVERY)
        if what is None:
            self._next = math.inf
        self._task: Any = None

    def advance(self, count: int = 1, note: Callable[[], str] = str) -> None:
        """Count steps, and show them if it is time to.

        Args:
            count: Steps done. (default: 1)
            note: Gives what else is to be shown. (default: nothing)
        """
        self.done += count
        now = time.monotonic()
        if now < self._next:
            return
        parts = [self._steps(), note(), self._time(now - self._started)]
        if self._live:
            self._next = now + _DRAW_EVERY
            self._task = _draw(self._task, self, parts)
        else:
            self._next = now + LINE_EVERY
            log.info("%s: %s", self.what, ", ".join(filter(None, parts)))

    def __enter__(self) -> Bar:  # noqa: D105
        return self

    def __exit__(self, *error: object) -> None:  # noqa: D105
        self.close()

    def close(self) -> None:
        """Remove the bar from the terminal."""
        if self._task is not None:
            _remove(self._task)
            self._task = None

    def _steps(self) -> str:
        scale = 1e6 if self.unit == "MB" else 1
        of = f"/{self.total / scale:,.0f}" if self.total else ""
        return f"{self.done / scale:,.0f}{of} {self.unit}" if self.done or of else ""

    def _time(self, spent: float) -> str:
        made = self.done - self._before
        if not self.total or not made:
            return _clock(spent)
        return f"{_clock(spent / made * max(0, self.total - self.done))} left"


@contextmanager
def working(what: str, file: Path | None = None) -> Iterator[None]:
    """Show the elapsed time of work without progress of its own, and the size of its file.

    Args:
        what: The work in a few words.
        file: What it writes. (default: nothing)
    """
    done = Event()
    thread = Thread(target=_watch, args=(what, file, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _watch(what: str, file: Path | None, done: Event) -> None:
    with Bar(what, unit="MB") as bar:
        while not done.wait(_DRAW_EVERY):
            size = file.stat().st_size if file is not None and file.is_file() else 0
            bar.advance(size - bar.done)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


# All bars of a process are rows of one display, which is there as long as one of them is.
_lock = RLock()
_display: Progress | None = None


def _draw(task: Any, bar: Bar, parts: list[str]) -> Any:
    global _display
    with _lock:
        if _display is None:
            _display = _new_display()
            _display.start()
            _display.console.show_cursor(True)  # a process that is killed cannot give it back
        if task is None:
            task = _display.add_task(str(bar.what), total=bar.total, parts="")
        _display.update(task, completed=bar.done, parts="  ".join(filter(None, parts)))
        _display.refresh()
    return task


def _remove(task: Any) -> None:
    global _display
    with _lock:
        if _display is None:
            return
        _display.remove_task(task)
        if not _display.task_ids:
            _display.stop()
            _display = None


def _new_display() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(None, style="dim", complete_style="bold", finished_style="bold"),
        TextColumn("{task.fields[parts]}", markup=False),
        console=Console(width=max(_LEAST, width() - 3)),  # ^C must not break the line
        auto_refresh=False,  # no thread beside the work
        transient=True,
        expand=True,
    )
