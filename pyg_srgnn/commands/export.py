"""srgnn-export: exports a trained model to a folder that is served without training code."""

from __future__ import annotations

from omegaconf import DictConfig

from pyg_srgnn.commands.application import application
from pyg_srgnn.commands.command_line import name_runs
from pyg_srgnn.commands.validate import checking_keys
from pyg_srgnn.utils.imports import gc_paused


def validate(config: DictConfig) -> None:
    """Validate the configuration of this command.

    Raises:
        ValueError: If values are not allowed; names each key, what was found and what is expected.
    """
    from pyg_srgnn.export.write import check_settings

    with checking_keys(config, kind="format") as (check, keys):
        check.text("checkpoint", keys["checkpoint"])
        check.text("output", keys["output"])
        check_settings(keys["format"], keys["precision"], keys["index_above"])


@application("export")
def main(config: DictConfig) -> None:
    """Write the folder, and list its files."""
    with gc_paused():
        from pyg_srgnn.checkpoint import Checkpoint
        from pyg_srgnn.export.write import export

    validate(config)
    name_runs(config, "checkpoint")
    folder = export(
        Checkpoint.load(config.checkpoint),
        config.output,
        config.format,
        config.precision,
        config.index_above,
    )
    for file in sorted(folder.iterdir()):
        print(f"{file.stat().st_size:>14,}  {folder.name}/{file.name}")


if __name__ == "__main__":
    main()
