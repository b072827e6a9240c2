"""Composes the configuration of a training from keyword arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pyg_srgnn.commands.application import CONF
from pyg_srgnn.commands.suggestions import keys_of, nearest
from pyg_srgnn.commands.validate import validate_run


def compose_training(settings: Mapping[str, Any]) -> DictConfig:
    """The configuration that ``srgnn-train`` would have for these keys.

    Args:
        settings: Values by their key, such as ``{"model": "gru4rec", "optimizer.lr": 0.002}``.

    Raises:
        ValueError: If there is no such key, or a value is not allowed; names it.
    """
    chosen = {
        key: value
        for key, value in settings.items()
        if isinstance(value, str) and (CONF / key).is_dir()
    }
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            config = compose("train", [f"{key}={value}" for key, value in chosen.items()])
    except HydraException as error:
        text = ", ".join(f"{key}={value}" for key, value in chosen.items())
        raise ValueError(f"{text}: {error}") from error
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
    return config
