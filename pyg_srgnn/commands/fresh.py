"""Removes the directory that Hydra makes for a command if the command is refused."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

# The files that srgnn-train writes when training starts, and srgnn-evaluate after scoring.
_BEGUN = ("vocabulary.json", "ranks.parquet")

_made: list[Path] = []  # the run's directory and those above it that were not there, the last first


class FreshDirectory(Callback):
    """Remembers which directories of a run Hydra is about to make."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """See which directories are there before Hydra makes the run's."""
        path = Path(config.hydra.run.dir).absolute()
        _made[:] = [one for one in (path, *path.parents) if not one.exists()]


@contextmanager
def leaving_no_trace(output_dir: Path) -> Iterator[None]:
    """Remove a run's directory where the block fails before the run has begun.

    Args:
        output_dir: The directory. One that was there before the command stays.
    """
    try:
        yield
    except (Exception, SystemExit) as error:
        refused = getattr(error, "code", 1) == 1  # a run stopped by Ctrl-C is resumed there
        fresh = bool(_made) and _made[0] == output_dir.absolute()
        if refused and fresh and not any((output_dir / name).exists() for name in _BEGUN):
            shutil.rmtree(output_dir, ignore_errors=True)
            for above in _made[1:]:
                with suppress(OSError):  # another run has been put there
                    above.rmdir()
        raise
