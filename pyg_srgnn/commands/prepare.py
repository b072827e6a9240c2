"""srgnn-prepare: fetch a dataset, prepare it, and say what it holds."""

from __future__ import annotations

import torch
from omegaconf import DictConfig

from pyg_srgnn.commands.application import application, log
from pyg_srgnn.commands.checks import check
from pyg_srgnn.datasets import SPLITS, open_dataset


@application("prepare")
def main(config: DictConfig) -> None:
    """Prepare a dataset and print the counts of its splits."""
    check(config)
    lines = [f"{'split':<10}{'sessions':>12}{'clicks':>12}{'samples':>12}{'items seen':>12}"]
    for split in SPLITS:
        part = open_dataset(config.dataset, split)
        sessions = part.sessions
        lines.append(
            f"{split:<10}{len(sessions):>12,}{sessions.num_clicks:>12,}{len(part):>12,}"
            f"{torch.unique(sessions.items).numel():>12,}"
        )
    log.info(
        "%s: %s items\n%s\nPrepared files: %s",
        config.dataset.name,
        f"{part.num_items:,}",
        "\n".join(lines),
        part.processed_dir,
    )


if __name__ == "__main__":
    main()
