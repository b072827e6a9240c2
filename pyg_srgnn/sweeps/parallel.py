"""Jobs of a sweep at once, and the threads of each."""

from __future__ import annotations

import os
from typing import Any

from omegaconf import OmegaConf


def cores() -> int:
    """The number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def sensible_jobs(jobs: int | None = None) -> int:
    """The default number of jobs at once.

    One a core, and four at most, for each holds a model, its moments and the loss's products: 2 GB
    with a catalogue of 40,000 items.

    Args:
        jobs: Their number in all. (default: None, unknown)
    """
    return max(1, min(4, cores(), jobs or 4))


def count(n_jobs: int) -> int:
    """The number of jobs that joblib makes of ``n_jobs``: -1 is one a core, -2 one fewer, ..."""
    return n_jobs if n_jobs > 0 else max(1, cores() + 1 + n_jobs)


def set_threads(threads: int | None, hydra: Any) -> None:
    """Limit the threads of this process to its share of the cores.

    Args:
        threads: Threads of the tensors' operations; None: those that the process has, and no more
            than the cores divided by the jobs at once.
        hydra: Hydra's part of the job's configuration.
    """
    import torch  # which the sweep itself does not need

    per_task = OmegaConf.select(hydra, "launcher.cpus_per_task")
    if threads is None:
        at_once = count(OmegaConf.select(hydra, "launcher.n_jobs") or 1)
        share = per_task or max(1, cores() // at_once)
        threads = min(torch.get_num_threads(), share) if per_task or at_once > 1 else None
    if threads is not None and threads != torch.get_num_threads():
        torch.set_num_threads(threads)
