"""srgnn-train: trains a model, chooses the epoch on validation, evaluates once on the test set."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from pyg_srgnn.commands.application import CONF, application, log
from pyg_srgnn.commands.command_line import name_runs
from pyg_srgnn.commands.ending import again
from pyg_srgnn.runs.result import METRICS_FILE
from pyg_srgnn.sweeps.sweep import sweeping
from pyg_srgnn.training.resume import kept
from pyg_srgnn.utils.imports import gc_paused
from pyg_srgnn.utils.terminal import lines


def _kept(config: DictConfig) -> str | None:
    from pyg_srgnn.training.job import is_first_process

    return kept(Path(HydraConfig.get().runtime.output_dir)) if is_first_process() else None


@application("train", around=partial(sweeping, conf=CONF), kept=_kept)
def main(config: DictConfig) -> float:
    """Train; the value of the monitored metric, for sweeps."""
    with gc_paused():
        from pyg_srgnn.commands.validate import validate_processes, validate_run
        from pyg_srgnn.reports import plot_epochs, run_summary, write_slices
        from pyg_srgnn.sweeps.parallel import set_threads
        from pyg_srgnn.training import train
        from pyg_srgnn.training.job import is_first_process

    hydra = HydraConfig.get()
    validate_run(config)
    validate_processes(config)
    name_runs(config, "checkpoint", unfinished=True)
    name_runs(config, "warm_start", "distil", "model.members", "dataset.vocabulary")
    sweep_dir = Path(hydra.sweep.dir) if hydra.mode == RunMode.MULTIRUN else None
    if sweep_dir is None:
        _need_sweep(config, hydra.runtime.choices.get("search"))
    set_threads(config.threads, hydra)
    run_dir = Path(hydra.runtime.output_dir)
    finished = config.resume and (run_dir / METRICS_FILE).is_file()
    result = train(config, run_dir, sweep_dir, again(run_dir) if sweep_dir is None else None)
    if is_first_process():
        if not finished:
            if result.epochs:
                plot_epochs(run_dir)
            write_slices(run_dir, result.model)
        log.info(lines("", run_summary(result, config.monitor), f"Files: {run_dir}"))
    # With refit=only test=false, nothing was evaluated.
    return math.nan if result.chosen_by is None else result.chosen_by[config.monitor]


def _need_sweep(config: DictConfig, search: str | None) -> None:
    """Refuse what only a sweep can do."""
    if "window" in config.dataset:
        raise ValueError("evaluation=rolling: it trains a model for every window; add -m")
    if search is not None:
        raise ValueError(f"search={search}: a search is a sweep; add -m")
    if config.halving is not None:
        raise ValueError(
            f"halving={config.halving}: compares the runs of a sweep; add -m, or set halving=null"
        )


if __name__ == "__main__":
    main()
