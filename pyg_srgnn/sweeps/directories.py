"""Names of the directories of a sweep and its jobs, made of the command."""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from hydra.core.override_parser.types import Override

from pyg_srgnn.runs.directory import CIRCUMSTANCES

# Hydra's keys that choose the jobs; those of their number and of the launcher may differ.
_CHOOSING = ("hydra/sweeper", "hydra.sweeper.")
_HOW_MANY = {f"hydra.sweeper.{key}" for key in ("n_trials", "n_jobs", "max_batch_size")}

# Keys in the name of a sweep besides those that it sweeps.
_SHOWN = ("dataset", "model", "experiment", "evaluation", "search")

SWEEPS = Path("runs", "sweeps")


def sweep_name(overrides: Sequence[Override], *others: str) -> str:
    """The name of a sweep's directory: readable, and the same for the same numbers.

    Args:
        overrides: Those of the command line. Their order does not matter, nor those that change
            where and how the jobs run, or how many of them.
        others: Anything else in which sweeps differ.
    """
    matter = [override for override in overrides if _matters(override)]
    shown = [o for o in matter if o.is_sweep_override() or o.key_or_group in _SHOWN]
    name = _safe("_".join(re.sub("[,=]", "-", line) for line in _lines(shown)))[:60] or "sweep"
    digest = _digest(" ".join([*_lines(matter), *others]))
    # The digest tells sweeps apart: one that an older version has named is found by it as well.
    found = sorted(path.name for path in SWEEPS.glob(f"*_{digest}"))
    return found[0] if found else f"{name}_{digest}"


def job_name(dirname: str, sweep_dir: str) -> str:
    """The name of a job's directory, such as ``model.num_steps-1_seed-0``.

    Args:
        dirname: ``hydra.job.override_dirname``: the overrides in which the job differs from the
            others, such as ``model.num_steps=1,seed=0``. A digest of it follows where something
            had to be replaced or left out, or where the name could be read in two ways.
        sweep_dir: The sweep's directory. A job that lies there under its old name, which was
            ``dirname`` itself, keeps it.
    """
    old = re.sub(r"[^-\w.,=+]+", "_", dirname)
    old = old if old == dirname and len(old) <= 100 else f"{old[:80]}_{_digest(dirname)}"
    if dirname and Path(sweep_dir, old).is_dir():
        return old
    items = [item.partition("=") for item in dirname.split(",")] if dirname else []
    whole = "_".join(f"{key}-{value}" for key, _, value in items)
    name = _safe(whole)
    # Then a key ends at the first hyphen, and its value at the first underscore after it.
    clear = all(equals and "-" not in key and "_" not in value for key, equals, value in items)
    if len(name) > 100 or name != whole or not clear:
        name = f"{name[:80]}_{_digest(dirname)}"
    return name or "job"


def fixed_keys(overrides: Sequence[Override]) -> list[str]:
    """The keys that have the same value in all jobs, which need not stand in their names."""
    swept = {o.key_or_group for o in overrides if o.is_sweep_override()}
    return sorted({o.key_or_group for o in overrides} - swept)


def _lines(overrides: Sequence[Override]) -> list[str]:
    return sorted(str(override.input_line) for override in overrides)


def _matters(override: Override) -> bool:
    key = override.key_or_group
    if key.startswith("hydra"):
        return key.startswith(_CHOOSING) and key not in _HOW_MANY
    return key not in CIRCUMSTANCES


def _safe(text: str) -> str:
    """The text with what a file's name and an unquoted value of Hydra should not hold replaced."""
    return re.sub(r"[^-\w.+]+", "_", text)


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:8]
