"""srgnn-export: exports a trained model to a folder that is served without training code."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

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
        check.text("add_items", keys["add_items"], optional=True)
        check.one_of("known", keys["known"], ("error", "skip"))
        check.text("text_id", keys["text_id"], optional=True)
        columns = keys["text_columns"]
        fits = columns is None or (isinstance(columns, list) and bool(columns))
        if check.that(fits, "text_columns", "a list of columns, or None", columns) and columns:
            check.that(
                all(isinstance(name, str) for name in columns),
                *("text_columns", "a list of columns, or None", columns),
            )
        for name in ("text_id", "text_columns"):
            fits = keys["add_items"] is not None or keys[name] is None
            check.that(fits, name, "None without add_items=FILE, which has columns", keys[name])
        check.text("output", keys["output"])
        check_settings(keys["format"], keys["precision"], keys["index_above"])


@application("export")
def main(config: DictConfig) -> None:
    """Write the folder, and list its files."""
    with gc_paused():
        from pyg_srgnn.checkpoint import Checkpoint
        from pyg_srgnn.export.extend import extend, read_new_items
        from pyg_srgnn.export.write import check_output, export
        from pyg_srgnn.inference.artifact import Artifact
        from pyg_srgnn.inference.recommender import Recommender, load_trained

    validate(config)
    name_runs(config, "checkpoint")
    trained, folder = load_trained(config.checkpoint), Path(config.output)
    settings = config.format, config.precision, config.index_above
    if config.add_items is None:
        if not isinstance(trained, Checkpoint):
            raise ValueError(
                f"checkpoint={config.checkpoint}: is an export already; add_items=FILE adds items "
                f"to it"
            )
        export(trained, folder, *settings)
    else:
        check_output(folder)
        columns = None if config.text_columns is None else list(config.text_columns)
        new = read_new_items(
            *(config.add_items, Recommender.of(trained), config.text_id, columns),
            skip_known=config.known == "skip",
        )
        if isinstance(trained, Artifact):
            extend(trained, new, folder)
        else:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as aside:
                extend(
                    Artifact.load(export(trained, Path(aside, "export"), *settings)), new, folder
                )
        left_out = ((new.known, "known already"), (new.without, "without a text"))
        notes = "".join(f"; left out: {count:,} {what}" for count, what in left_out if count)
        print(f"new items: {len(new.ids):,}{notes}")
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = file.relative_to(folder)
        if not name.parts[0].startswith("."):  # such as .git, which was there before
            print(f"{file.stat().st_size:>14,}  {folder.name}/{name}")


if __name__ == "__main__":
    main()
