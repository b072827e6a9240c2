"""srgnn-evaluate: evaluates a trained model and the baselines on any split."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from pyg_srgnn.commands.application import application, log
from pyg_srgnn.commands.command_line import name_runs
from pyg_srgnn.commands.validate import checking_keys
from pyg_srgnn.utils.imports import gc_paused
from pyg_srgnn.utils.terminal import lines


def validate(config: DictConfig) -> None:
    """Validate the configuration of this command.

    Raises:
        ValueError: If values are not allowed; names each key, what was found and what is expected.
    """
    from pyg_srgnn.evaluation.baselines import EvaluationSettings

    with checking_keys(config) as (check, keys):
        check.text("checkpoint", keys["checkpoint"])
        EvaluationSettings(**{one.name: keys[one.name] for one in fields(EvaluationSettings)})


@application("evaluate")
def main(config: DictConfig) -> float:
    """Evaluate a checkpoint; return the HR@20 of the model."""
    with gc_paused():
        import torch

        from pyg_srgnn.checkpoint import Checkpoint
        from pyg_srgnn.data import SessionLoader
        from pyg_srgnn.data.categories import Categories
        from pyg_srgnn.data.fingerprint import require_same_data
        from pyg_srgnn.datasets import open_dataset
        from pyg_srgnn.evaluation.baselines import evaluate_with_baselines
        from pyg_srgnn.evaluation.metrics import saturated
        from pyg_srgnn.functional.metrics import MAIN
        from pyg_srgnn.functional.topk import rows_at_once
        from pyg_srgnn.reports import metrics_table, recall_table, target_table, write_slices
        from pyg_srgnn.reports.table import LAST
        from pyg_srgnn.text.attribute_files import attribute_vectors, open_attributes
        from pyg_srgnn.utils.files import write_text

    validate(config)
    name_runs(config, "checkpoint")
    names = list(config.categories)
    by = [] if config.diversity_by is None else [config.diversity_by]
    attributes = open_attributes(config.attributes, config.attributes_id, [*names, *by])
    checkpoint = Checkpoint.load(config.checkpoint)
    settings = dict(checkpoint.dataset)
    settings |= {key: value for key, value in config.dataset.items() if value is not None}
    part = open_dataset(settings, config.split)
    require_same_data(
        checkpoint.data,
        part.fingerprint,
        f"checkpoint={config.checkpoint}",
        "Evaluate on the data as it was (dataset.root=DIR, if it lies elsewhere), or train anew on "
        "the data as it is",
    )
    if part.vocabulary != checkpoint.vocabulary:
        raise ValueError(
            f"checkpoint={config.checkpoint}: it knows {len(checkpoint.vocabulary)} items, but "
            f"{part} holds others; it was trained on other data"
        )
    labels = list(filter(None, [saturated(part.num_items)]))
    if checkpoint.protocol == "literature":
        labels.append("protocol=literature: the epoch was chosen on the test set")
    seen = {"train": {"train"}, "trainval": {"train", "valid"}}
    if seen.get(config.split, {config.split}) & seen[checkpoint.split]:
        labels.append(f"trained on split={checkpoint.split}: these sessions are no test of it")
    if config.positions == "last":
        part = part.last_clicks()
        labels.append(LAST)
    loader = SessionLoader(part, rows_at_once(part.num_items, config.batch_size))
    training = open_dataset(settings, checkpoint.split)
    folder = Path(HydraConfig.get().runtime.output_dir)
    found = evaluate_with_baselines(
        checkpoint.model,
        config.baselines,
        training,
        loader,
        config.ties,
        "cuda" if torch.cuda.is_available() else "cpu",
        ranks=folder / "ranks.parquet",
        beyond=config.metrics,
        vectors=None
        if attributes is None or config.diversity_by is None
        else attribute_vectors(attributes, config.diversity_by, part.vocabulary),
        categories=None
        if attributes is None or not names
        else Categories.of(attributes, names, part.vocabulary),
    )
    result = {
        "dataset": settings["name"],
        "split": config.split,
        "samples": len(part),
        "data": part.fingerprint,
        "ties": config.ties,
        "positions": config.positions,
        "protocol": checkpoint.protocol,
        "labels": labels,
        "checkpoint": str(checkpoint.path),
        "metrics": found.metrics,
        "targets": found.targets,
    }
    if found.categories:
        result["categories"] = found.categories
    path = folder / "evaluation.json"
    write_text(path, json.dumps(result, indent=2) + "\n")
    if (by_slice := write_slices(folder, "model")) is not None:
        log.info(lines(by_slice, ""))
    title = f"{settings['name']}, {config.split}, {len(part):,} samples, percent"
    tables: list[str] = [metrics_table(title, found.metrics, elsewhere=path.name)]
    by_target = target_table(found.metrics, found.targets, checkpoint.text is not None, path.name)
    for more in filter(None, [by_target, recall_table(found.metrics, path.name)]):
        tables += ["", more, ""]
    log.info(lines(*tables, *labels, f"Files: {folder}"))
    return found.metrics["model"][MAIN[0]]


if __name__ == "__main__":
    main()
