"""A sign of life from work that says nothing itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

from tqdm import tqdm

DELAY = 2.0
"""Seconds after which something is shown."""


@contextmanager
def working(what: str, file: Path | None = None) -> Iterator[None]:
    """Show, once it has taken two seconds, how long the work takes and how a file grows.

    Args:
        what: The work in a few words.
        file: What it writes. (default: nothing)
    """
    done = Event()
    thread = Thread(target=_show, args=(what, file, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _show(what: str, file: Path | None, done: Event) -> None:
    if done.wait(DELAY):
        return
    form = "{desc} [{elapsed}{postfix}]"
    with tqdm(desc=what, bar_format=form, leave=False) as bar:
        bar.start_t -= DELAY
        while not done.wait(0.5):
            if file is not None and file.is_file():
                bar.set_postfix_str(f"{file.stat().st_size / 1e6:,.0f} MB", refresh=False)
            bar.refresh()
