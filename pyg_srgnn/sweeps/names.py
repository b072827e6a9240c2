"""Directories of a sweep and of its jobs, made of the command, so that it finds them again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import sha256

from hydra.core.override_parser.types import Override

from pyg_srgnn.training.directory import CIRCUMSTANCES

# Of Hydra's own keys those that choose the jobs; how many of them, and where they run, may differ.
_CHOOSING = ("hydra/sweeper", "hydra.sweeper.")
_HOW_MANY = {
    f"hydra.sweeper.{key}"
    for key in ("n_trials", "n_jobs", "max_failure_rate", "max_batch_size", "storage", "study_name")
}

# What a sweep is called by besides the keys that it sweeps.
_SHOWN = ("dataset", "model", "experiment", "search")


def sweep_name(overrides: Sequence[Override], *others: str) -> str:
    """The name of a sweep's directory: readable, and the same for the same numbers.

    Args:
        overrides: Those of the command line. Their order does not matter, nor those that change
            where and how the jobs run, or how many of them.
        others: What else makes the sweep another one.
    """
    matter = [override for override in overrides if _matters(override)]
    shown = [o for o in matter if o.is_sweep_override() or o.key_or_group in _SHOWN]
    name = _safe(",".join(_lines(shown)))[:60] or "sweep"
    return f"{name}_{_digest(' '.join([*_lines(matter), *others]))}"


def job_name(dirname: str) -> str:
    """The name of a job's directory, made of the overrides in which it differs from the others.

    Args:
        dirname: ``hydra.job.override_dirname``, such as ``model.num_steps=1,seed=0``. A digest
            follows where something had to be replaced or left out.
    """
    name = _safe(dirname)
    if len(name) > 100 or name != dirname:
        name = f"{name[:80]}_{_digest(dirname)}"
    return name or "job"


def fixed_keys(overrides: Sequence[Override]) -> list[str]:
    """The keys that have the same value in all jobs, which need not stand in their names."""
    return sorted({o.key_or_group for o in overrides if not o.is_sweep_override()})


def _lines(overrides: Sequence[Override]) -> list[str]:
    return sorted(str(override.input_line) for override in overrides)


def _matters(override: Override) -> bool:
    key = override.key_or_group
    if key.startswith("hydra"):
        return key.startswith(_CHOOSING) and key not in _HOW_MANY
    return key not in CIRCUMSTANCES


def _safe(text: str) -> str:
    """The text with what a file's name should not hold replaced."""
    return re.sub(r"[^-\w.,=+]+", "_", text)


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:8]
