"""srgnn-prepare: downloads and prepares a dataset, and reports what was read, dropped and kept."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from pyg_srgnn.commands.application import application, log
from pyg_srgnn.commands.command_line import name_runs
from pyg_srgnn.commands.validate import checking_keys
from pyg_srgnn.utils.imports import gc_paused
from pyg_srgnn.utils.terminal import lines

if TYPE_CHECKING:
    from pyg_srgnn.datasets import SessionDataset
    from pyg_srgnn.datasets.two_file import Counts


def validate(config: DictConfig) -> None:
    """Validate the configuration of this command.

    Raises:
        ValueError: If values are not allowed; names each key, what was found and what is expected.
    """
    with checking_keys(config) as (check, keys):
        check.text("report", keys["report"], optional=True)
        check.flag("verify", keys["verify"])


@application("prepare", kept=lambda config: "what was downloaded")
def main(config: DictConfig) -> None:
    """Prepare a dataset, print its report and write it."""
    with gc_paused():
        from pyg_srgnn.data.statistics import describe
        from pyg_srgnn.datasets import open_dataset
        from pyg_srgnn.reports import preparation_table, write_report

    validate(config)
    name_runs(config, "dataset.vocabulary")
    training, test = (open_dataset(config.dataset, split) for split in ("trainval", "test"))
    report: dict[str, Any] = {"dataset": config.dataset.name, **training.report}
    report.pop("published", None)  # of an earlier call
    if "parts" not in report:  # a click log's report has them from the preparation
        report |= describe(training.sessions, test.sessions, training.vocabulary)
    published = _published(training, test) if config.verify else {}
    if published:
        report["published"] = published
    folder = Path(config.report or training.processed_dir)
    log.info(lines(config.dataset.name, "", preparation_table(report)))
    if config.verify and not published:
        log.info("No published counts are known for dataset=%s.\n", config.dataset.name)
    try:
        page = write_report(report, folder)
    except OSError as error:
        raise ValueError(
            f"report={folder}: the report cannot be written there ({error}); "
            f"report=DIR names another folder"
        ) from error
    log.info("Report: %s\nPrepared files: %s", page, training.processed_dir)
    valid = open_dataset(config.dataset, "valid")  # which fails now if it cannot be split off
    log.info(
        "Validation, dataset.valid=%s: the last %s of the training sessions, %s samples",
        config.dataset.valid,
        f"{len(valid.sessions):,}",
        f"{len(valid):,}",
    )
    wrong = [name for name, (expected, found) in published.items() if expected != found]
    if wrong:
        raise ValueError(f"dataset={config.dataset.name}: not as published: {', '.join(wrong)}")


def _published(training: SessionDataset, test: SessionDataset) -> dict[str, tuple[int, int]]:
    """The published counts of a benchmark, each with the one found."""
    counts: Counts | None = getattr(training, "counts", None)
    if counts is None:
        return {}
    found = counts.of(training.sessions, test.sessions, training.vocabulary).known()
    return {
        _LABELS.get(name, name.replace("_", " ")): (expected, found[name])
        for name, expected in counts.known().items()
    }


_LABELS = {name: f"training {name}" for name in ("sessions", "clicks", "samples")}


if __name__ == "__main__":
    main()
