"""Repeats a run from its ``config.yaml``: ``--config-path RUN --config-name config``.

That file holds all keys, resolved, but none of Hydra's (run directory, logging, help); these come
from the application's configuration.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.types import TaskFunction
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from pyg_srgnn.commands.suggestions import check_command, refusing
from pyg_srgnn.sweeps.overrides import get_args_parser, run_hydra

_RERUN = "rerun"  # the name under which Hydra finds the run's configuration


def rerunnable(
    main: Callable[[], Any], task: TaskFunction, conf: Path, config_name: str
) -> Callable[[], Any]:
    """Have a Hydra application take the configuration of a run, whose keys may be overridden.

    Typing errors are reported before Hydra starts.

    Args:
        main: The application, for every other command line.
        task: The function of the configuration.
        conf: The folder of the configurations.
        config_name: Name of the application's configuration.
    """

    @functools.wraps(main)
    def reruns() -> Any:
        parser = get_args_parser()
        args = parser.parse_args()
        if args.shell_completion or args.hydra_help or "://" in (args.config_path or ""):
            return main()
        folder, name = conf, args.config_name or config_name
        with refusing():
            if args.config_path is not None:
                # Hydra would look beside the source file; a user means the working directory.
                folder = Path(args.config_path).absolute()
                stored = _stored(folder / f"{name.removesuffix('.yaml')}.yaml", conf, config_name)
                if stored is not None:
                    ConfigStore.instance().store(_RERUN, stored)
                    folder, name = conf, _RERUN
            check_command(args, folder, name, conf, config_name)
            if args.config_path is None:
                return main()
            args.config_path, args.config_name = str(folder), name
            return run_hydra(args, parser, task, args.config_path, name)

    return reruns


def _stored(file: Path, conf: Path, config_name: str) -> dict[str, Any] | None:
    """The run's keys with the application's for Hydra; None for a configuration of another kind.

    Raises:
        ValueError: If the file is not there or cannot be read.
    """
    if not file.is_file():
        raise ValueError(
            f"there is no {file}; expected the directory of a run: "
            f"--config-path RUN --config-name config"
        )
    try:
        run = OmegaConf.load(file)
    except (YAMLError, OmegaConfBaseException, UnicodeDecodeError) as error:
        raise ValueError(f"{file} cannot be read as YAML: {error}") from error
    if not isinstance(run, DictConfig):
        raise ValueError(f"{file}: expected keys, as srgnn-train writes them")
    if "defaults" in run or "hydra" in run:
        return None  # written by hand, for Hydra as it is
    own = OmegaConf.load(conf / f"{config_name}.yaml")
    hydras = [
        entry
        for entry in OmegaConf.to_container(own.defaults)  # type: ignore[union-attr]
        if isinstance(entry, dict) and any("hydra/" in group for group in entry)
    ]
    keys: dict[Any, Any] = OmegaConf.to_container(run)  # type: ignore[assignment]
    # Whether to resume is not in a run's file, but a key of the command.
    command = OmegaConf.masked_copy(own, "resume")  # type: ignore[arg-type]
    return {"defaults": ["_self_", *hydras], "hydra": own.hydra, **command, **keys}
