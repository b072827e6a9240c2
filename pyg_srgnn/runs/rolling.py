"""The runs of a rolling evaluation: a run for every window."""

from __future__ import annotations

from pathlib import Path

from pyg_srgnn.runs.directory import found_below, read_config
from pyg_srgnn.runs.finished import PLACES
from pyg_srgnn.runs.result import METRICS_FILE

AGED = "aged.json"
WINDOW = "dataset.window.number"
_FREE = {*PLACES, WINDOW, "threads", "trainer.enable_progress_bar"}


def is_rolling(directory: Path) -> bool:
    """Whether a directory holds runs of a rolling evaluation, finished or not, and no others."""
    runs = [read_config(path.parent) for path in found_below(directory, "config.yaml")]
    return bool(runs) and all(WINDOW in config for config in runs)


def windows_of(directory: Path) -> list[dict[int, Path]]:
    """The finished runs of each configuration and seed, by the numbers of their windows.

    Args:
        directory: Of the sweep, whose runs lie at any depth.
    """
    found: dict[str, dict[int, Path]] = {}
    for path in sorted(found_below(directory, METRICS_FILE)):
        config = read_config(path.parent)
        if WINDOW in config:
            alike = repr(sorted((key, of) for key, of in config.items() if key not in _FREE))
            found.setdefault(alike, {})[config[WINDOW]] = path.parent
    return list(found.values())
