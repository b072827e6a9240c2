"""Output that nobody reads any longer, as of ``srgnn-train --help | head``."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager


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
    state.register(pipe, 0)  # what cannot be asked for, and is always said: errors
    return bool(state.poll(0))
