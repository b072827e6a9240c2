"""A rolling evaluation without retraining: the first window's model on all later windows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from pyg_srgnn.baselines import BASELINES
from pyg_srgnn.checkpoint import Checkpoint
from pyg_srgnn.data.vocabulary import Vocabulary
from pyg_srgnn.datasets import known_to, open_dataset
from pyg_srgnn.datasets.loader import SessionLoader
from pyg_srgnn.evaluation.loop import evaluate
from pyg_srgnn.functional.metrics import KS, METRICS
from pyg_srgnn.functional.topk import rows_at_once
from pyg_srgnn.runs.result import METRICS_FILE, Metrics, RunResult
from pyg_srgnn.runs.rolling import AGED, windows_of
from pyg_srgnn.utils.files import write_text

# The metrics that are means over the rows, to which those that cannot be scored add nothing.
_MEANS = [f"{name}@{k}" for name, metric in METRICS.items() if metric.value for k in KS]


def evaluate_aged(directory: str | Path) -> None:
    """Evaluate the first window's model of each configuration and seed on the later windows.

    Each run of a later window gets a file ``aged.json``; those that are there already are kept, as
    long as the first window's run is the same. The rows are those of the run itself: a target that
    the older catalogue lacks is a miss, clicks on such items are left out of the sessions.

    Args:
        directory: Of the sweep, whose runs lie at any depth.
    """
    for windows in windows_of(Path(directory)):
        first = windows.get(0)
        later = [folder for number, folder in sorted(windows.items()) if number > 0]
        if first is None or not later:
            continue
        written = (first / METRICS_FILE).stat().st_mtime_ns
        missing = [folder for folder in later if _written(folder) != written]
        if not missing:
            continue
        scorer, vocabulary = _trained(first)
        for folder in missing:
            metrics = _aged(scorer, vocabulary, folder)
            found = {"first": written, "test": metrics}
            write_text(folder / AGED, json.dumps(found, indent=2) + "\n")


def _written(folder: Path) -> Any:
    """The time of the first window's run that was evaluated there; None of none."""
    path = folder / AGED
    return json.loads(path.read_text(encoding="utf-8"))["first"] if path.is_file() else None


def _trained(folder: Path) -> tuple[Any, Vocabulary]:
    """The model of a run, or the baseline counted anew, and its vocabulary."""
    result = RunResult.read(folder)
    if result.checkpoint is not None:
        checkpoint = Checkpoint.load(folder / result.checkpoint)
        return checkpoint.model, checkpoint.vocabulary
    config = _config(folder)
    split = "trainval" if result.refit or result.protocol == "literature" else "train"
    training = open_dataset(config.dataset, split)
    settings: dict[str, Any] = OmegaConf.to_container(config.model)  # type: ignore[assignment]
    baseline = BASELINES[settings.pop("name")]
    return baseline.fit(training.sessions, training.num_items, **settings), training.vocabulary


def _aged(scorer: Any, vocabulary: Vocabulary, folder: Path) -> Metrics:
    """The metrics of a model on the test rows of another window's run."""
    config = _config(folder)
    test = open_dataset(config.dataset, "test")
    if config.positions == "last":
        test = test.last_clicks()
    known = known_to(test, vocabulary)
    share = len(known) / len(test)
    if not len(known):
        return dict.fromkeys(_MEANS, 0.0)
    size = rows_at_once(len(vocabulary), config.eval_batch_size)
    loader = SessionLoader(known, size)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    metrics = evaluate(scorer.to(device), loader, len(vocabulary), config.ties, device)
    return {name: share * metrics[name] for name in _MEANS}


def _config(folder: Path) -> DictConfig:
    config = OmegaConf.load(folder / "config.yaml")
    assert isinstance(config, DictConfig)
    return config
