"""Composes the configuration of a training from keyword arguments."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pyg_srgnn.commands.application import CONF
from pyg_srgnn.commands.suggestions import keys_of, nearest
from pyg_srgnn.commands.validate import validate_run
from pyg_srgnn.nn import MODELS
from pyg_srgnn.runs.find import find_run

log = logging.getLogger(__name__)

_RUNS = ("warm_start", "distil")  # keys that name one
# Keys of srgnn-train that have an argument of their own.
_ARGUMENTS = {
    "model": "model",
    "model.name": "model",
    "trainer.max_epochs": "epochs",
    "trainer.enable_progress_bar": "verbose",
    "refit": "refit",
    "seed": "seed",
} | {
    f"dataset.{name}": name
    for name in ("session", "user", "item", "time", "gap", "order", "min_support")
}
_OF_FRAME = "the data are the frame that fit(clicks) is given"
_OF_TEXT = "it is for text files, and a frame has columns"
_OF_TEST = "fit(clicks) holds no session out for a test; srgnn-train does"
_OF_SWEEP = "it is for sweeps of srgnn-train"
OWNED = {
    **dict.fromkeys(("dataset", "dataset.name", "dataset.path", "dataset.root"), _OF_FRAME),
    **dict.fromkeys(("dataset.mirror", "dataset.engine", "dataset.window"), _OF_FRAME),
    **dict.fromkeys(("dataset.delimiter", "dataset.columns"), _OF_TEXT),
    **dict.fromkeys(("test", "dataset.test", "dataset.strict", "dataset.cold"), _OF_TEST),
    **dict.fromkeys(("protocol", "baselines", "metrics"), _OF_TEST),
    **dict.fromkeys(("evaluation", "search", "halving"), _OF_SWEEP),
    "dataset.vocabulary": "items are numbered anew; warm_start=RUN keeps what a run knows of them",
    "checkpoint": "no fit can be resumed; warm_start=RUN starts from the weights of a run",
}
"""Keys that fit sets, or that would be without effect, with the reason."""


def check_settings(settings: Mapping[str, Any]) -> None:
    """Refuse keys that belong to arguments of the estimator, or that it sets itself.

    Args:
        settings: Values by their key.

    Raises:
        ValueError: If there is one; says who sets it.
    """
    for key in keys_of(dict(settings)):  # those in a dictionary of a group, too
        if key in _ARGUMENTS:
            raise ValueError(f"settings: {key!r} is the argument {_ARGUMENTS[key]}=")
        if key in OWNED:
            raise ValueError(f"settings: {key!r} cannot be set: {OWNED[key]}")


def compose_training(settings: Mapping[str, Any]) -> DictConfig:
    """The configuration that ``srgnn-train`` would have for these keys.

    Args:
        settings: Values by their key, such as ``{"model": "gru4rec", "optimizer.lr": 0.002}``. A
            run may be named as in the command, such as ``"latest"``.

    Raises:
        ValueError: If there is no such key, a value is not allowed, or the model is none that is
            trained; names it.
        FileNotFoundError: If there is no such run.
    """
    chosen = {
        key: value
        for key, value in settings.items()
        if isinstance(value, str) and (CONF / key).is_dir()
    }
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            config = compose("train", [f"{key}={value}" for key, value in chosen.items()])
    except MissingConfigException as error:
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        if group == "model":
            raise _untrained(name) from error
        options = ", ".join(error.options or ())
        raise ValueError(f"{group}={name!r}: expected one of {options}") from error
    except HydraException as error:
        text = ", ".join(f"{key}={value}" for key, value in chosen.items())
        raise ValueError(f"{text}: {error}") from error
    if "model" not in chosen or config.model.name not in MODELS:
        raise _untrained(settings["model"])
    known = set(keys_of(OmegaConf.to_container(config)))
    for key, value in settings.items():
        if key in chosen:
            continue
        if key not in known:
            near = " or ".join(nearest(key, known))
            hint = f"; did you mean {near}?" if near else "; srgnn-train --help lists them"
            raise ValueError(f"settings: there is no key {key!r}{hint}")
        try:
            OmegaConf.update(config, key, value)
        except OmegaConfBaseException as error:
            raise ValueError(f"settings: {key}={value!r} cannot be set: {error}") from error
    validate_run(config)
    for key in _RUNS:
        if (run := config[key]) is not None and (found := find_run(run, key)) != Path(run):
            log.info("%s=%s: %s", key, run, found)
            config[key] = str(found)
    return config


def _untrained(model: Any) -> ValueError:
    return ValueError(
        f"model={model!r}: has no weights to recommend with; expected srgnn, srgnn_plain or gru4rec"
    )
