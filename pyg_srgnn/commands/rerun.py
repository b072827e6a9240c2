"""A run once more, from its ``config.yaml``: ``--config-path RUN --config-name config``.

That file holds all keys, resolved, but nothing of Hydra's: where runs go, what is logged, the help.
This is taken from the application's own configuration.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra._internal.utils import _run_hydra, get_args_parser
from hydra.core.config_store import ConfigStore
from hydra.types import TaskFunction
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

_AGAIN = "again"  # the name under which Hydra finds the run's configuration


def rerunnable(
    main: Callable[[], Any], task: TaskFunction, conf: Path, config_name: str
) -> Callable[[], Any]:
    """Have a Hydra application take the configuration of a run, whose keys may be overridden.

    Args:
        main: The application, for every other command line.
        task: What it calls with the configuration.
        conf: The folder of the configurations.
        config_name: The application's own one.
    """

    @functools.wraps(main)
    def reruns() -> Any:
        parser = get_args_parser()
        args = parser.parse_args()
        if args.config_path is None or "://" in args.config_path:
            return main()
        # Hydra would look beside the source file; a user means the working directory.
        args.config_path = str(Path(args.config_path).absolute())
        name = args.config_name or config_name
        file = Path(args.config_path, f"{name.removesuffix('.yaml')}.yaml")
        try:
            stored = _stored(file, conf, config_name)
        except ValueError as error:
            print(f"{Path(sys.argv[0]).name}: {error}", file=sys.stderr)
            raise SystemExit(1) from error
        if stored is not None:
            ConfigStore.instance().store(_AGAIN, stored)
            args.config_path, args.config_name = str(conf), _AGAIN
        _run_hydra(args, parser, task, args.config_path, name)

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
    return {"defaults": ["_self_", *hydras], "hydra": own.hydra, **keys}
