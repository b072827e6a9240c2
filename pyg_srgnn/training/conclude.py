"""Ends a run: the model is tested beside the baselines, and the result put together."""

from __future__ import annotations

import platform
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import torch

from pyg_srgnn.datasets import SessionDataset, WindowDataset
from pyg_srgnn.evaluation.baselines import evaluate_with_baselines
from pyg_srgnn.functional.targets import GROUPS
from pyg_srgnn.runs.result import OPTIMUM, RunResult
from pyg_srgnn.text.attribute_files import attribute_vectors
from pyg_srgnn.training.header import device_name
from pyg_srgnn.training.job import Job, Place
from pyg_srgnn.version import __version__

_PACKAGES = ("torch", "torch-geometric", "lightning", "hydra-core", "numpy")


def conclude(
    job: Job, training: SessionDataset, model: Any, place: Place, **facts: Any
) -> RunResult:
    """Test the model and the baselines, unless it was pruned; return the result.

    Args:
        job: The run.
        training: The sessions that the model was trained on; the baselines are fitted to them.
        model: The model; None for the baselines alone.
        place: Where to evaluate.
        **facts: Fields of the result.
    """
    settings, name = job.settings, job.config.model.name
    result = RunResult(
        dataset=job.config.dataset.name,
        protocol=settings.protocol,
        refit=settings.refit if settings.protocol == "honest" else False,
        model=name,
        seed=settings.seed,
        data=job.data(training),
        positions=None if settings.positions == "every" else settings.positions,
        window=training.window if isinstance(training, WindowDataset) else None,
        samples={"train": len(training)},
        device=device_name(place.device),
        parameters=_size(model),
        versions=_versions(),
        **facts,
    )
    if not settings.test or result.pruned is not None:
        return result
    test = job.open("test")
    loader = job.ranking_loader(test, place)
    every = settings.positions == "every"
    found = evaluate_with_baselines(
        model,
        [each for each in settings.baselines if each != name],
        training,
        loader,
        settings.ties,
        place.device,
        name=name,
        # Each of several processes has the ranks of its share alone.
        ranks=job.run_dir / "ranks.parquet" if place.processes == 1 else None,
        progress=place.rank == 0,
        beyond=settings.metrics,
        vectors=None
        if job.attributes is None or settings.diversity_by is None
        else attribute_vectors(job.attributes, settings.diversity_by, test.vocabulary),
        categories=job.categories(test),
    )
    return replace(
        result,
        test=found.metrics.get(name),
        baselines={each: {"test": of} for each, of in found.metrics.items() if each != name},
        targets=found.targets | (_optimum_by_target(test, training) if every else {}),
        categories=found.categories or None,
        optimum={"test": test.optimum()} if every and hasattr(test, "optimum") else None,
        samples=result.samples | {"test": len(loader.source)},
    )


def _optimum_by_target(test: SessionDataset, training: SessionDataset) -> dict[str, Any]:
    """The optimum over warm, rare and cold targets, where the dataset has one."""
    if not hasattr(test, "optimum_by_target"):
        return {}
    clicks = torch.bincount(training.sessions.items, minlength=test.num_items)
    groups = {name: group(clicks) for name, group in GROUPS.items()}
    return {OPTIMUM: test.optimum_by_target(groups)}


def _versions() -> dict[str, str]:
    """The versions that a result depends on; this package's own is known without installing it."""
    found = {name: version(name) for name in _PACKAGES}
    return {"python": platform.python_version()} | found | {"pyg-srgnn": __version__}


def _size(model: Any) -> int:
    """The size of the parameters of a model, or of the counts of a baseline."""
    if model is None:
        return 0
    return sum(each.numel() for each in model.parameters()) or sum(
        each.numel() for each in model.buffers()
    )
