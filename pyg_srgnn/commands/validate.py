"""Validates a configuration before anything is loaded, by making the parts that it describes.

The values of a key are declared once: by the constructor or function that takes it. Rules for
several groups of keys are here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import fields
from typing import Any, TypeVar

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from pyg_srgnn.utils.arguments import ArgumentError, Checks, checking

_YAML = {"None": "null", "True": "true", "False": "false"}
_Settings = TypeVar("_Settings")
# What changes a training, and its value where nothing is trained.
_OF_TRAINING: dict[str, Any] = (
    dict.fromkeys(("distil", "warm_start"))
    | dict.fromkeys(("average", "drop_items", "crop", "r_drop", "contrast"), 0)
    | {"callbacks": []}
)


@contextmanager
def validating(config: DictConfig) -> Iterator[Callable[[str], AbstractContextManager[None]]]:
    """Collect the errors of several groups of keys, of which none may lack a value.

    Args:
        config: All keys.

    Yields:
        A context manager for one group, such as ``"model"``, in which its part is made; ``""``
        for the top-level keys.

    Raises:
        ValueError: At the end, if there were errors: names each key, what was found and what is
            expected.
    """
    missing = sorted(OmegaConf.missing_keys(config))
    wrong = [f"{key}: must be given; --help shows examples" for key in missing]

    @contextmanager
    def group(name: str) -> Iterator[None]:
        try:
            yield
        except ArgumentError as error:
            for key, (expected, found) in error:
                expected = re.sub(r"\b(None|True|False)\b", lambda word: _YAML[word[0]], expected)
                key = f"{name}.{key}" if name else key
                if key in missing:
                    continue  # is told
                value = _YAML.get(repr(found), repr(found))
                wrong.append(f"{key}={value}: expected {expected}")
        except ValueError as error:
            wrong.append(str(error))

    yield group
    if wrong:
        raise ValueError("\n  ".join(["the configuration cannot be used", *wrong]))


def validate_run(config: DictConfig) -> None:
    """Validate the configuration of ``srgnn-train``, all but the files that it names.

    Raises:
        ValueError: If values are not allowed; names each key, what was found and what is expected.
    """
    import torch

    from pyg_srgnn.baselines import BASELINES
    from pyg_srgnn.data.sessions import Sessions
    from pyg_srgnn.datasets.window import Window
    from pyg_srgnn.nn import MODELS, SRGNN, SessionModel, build_model
    from pyg_srgnn.nn.model_mixture import MIXTURE
    from pyg_srgnn.text.encoder import open_encoder
    from pyg_srgnn.training.callbacks import make_callbacks
    from pyg_srgnn.training.loggers import check_logger
    from pyg_srgnn.training.mixing import check_mixed
    from pyg_srgnn.training.module import SessionModule, check_clipping
    from pyg_srgnn.training.settings import RunSettings
    from pyg_srgnn.training.trainer import check_trainer

    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    with validating(config) as group:
        with group(""):
            make_callbacks(RunSettings.of(plain).callbacks)
        if (window := plain["dataset"].get("window")) is not None:
            with group("dataset.window"):
                Window(**window)
        with group("logger"):
            check_logger(**plain["logger"])
        with group("trainer"):
            check_trainer(plain["trainer"])
        with group("encoder"):
            if plain["text"] is not None and plain["encoder"] != {"name": "auto"}:
                open_encoder(**plain["encoder"])
        settings = dict(plain["model"])
        name = settings.pop("name")
        with torch.device("meta"):
            model: SessionModel = SRGNN(1)  # in place of a baseline, or of one that is refused
        with group("model"), checking("model") as check:
            if name in BASELINES:
                BASELINES[name].fit(Sessions.from_lists([[0, 0]]), 1, **settings)
            elif name == MIXTURE:
                _check_members(check, settings["members"])
            elif name in MODELS:
                with torch.device("meta"):
                    data: dict[str, Any] = {"num_items": 1}
                    if "item_table" in plain["model"]:  # else it takes no texts
                        data["text_channels"] = int(plain["text"] is not None)
                        data["category_sizes"] = [1] * bool(plain["categories"])
                    model = build_model(plain["model"] | data)
            else:
                check.one_of("name", name, [*MODELS.names(), *BASELINES.names(), MIXTURE])
        with group(""), checking("configuration") as check:
            fits = plain["distil"] is None or model.loss_name != "sampled"
            expected = "None with model.loss=sampled, which never computes all probabilities"
            check.that(fits, "distil", expected, plain["distil"])
            fits = not plain["r_drop"] or model.loss_name != "sampled"
            expected = "0 with model.loss=sampled, which never computes all probabilities"
            check.that(fits, "r_drop", expected, plain["r_drop"])
            weights = plain["dataset"].get("events")
            alike = not isinstance(weights, dict) or len(set(weights.values())) < 2
            fits = alike or model.loss_name != "binary"
            expected = "equal weights of targets with model.loss=binary, which has one for all"
            check.that(fits, "dataset.events", expected, weights)
            if name in BASELINES and plain["diversity_by"] is None:
                expected = f"metrics without diversity, as model={name} has no vectors of items"
                check.that(
                    "diversity" not in plain["metrics"], "metrics", expected, plain["metrics"]
                )
            if name not in MODELS:
                for key, off in _OF_TRAINING.items():
                    expected = f"{off} with model={name}, which is not trained"
                    check.that(plain[key] == off, key, expected, plain[key])
            if name == MIXTURE:
                check_mixed(check, plain["protocol"])
        with group("optimizer"):
            SessionModule(model, **plain["optimizer"])
        with group("trainer"):
            check_clipping(model, plain["trainer"]["gradient_clip_val"])


def _check_members(check: Checks, members: Any) -> None:
    """Check the runs that a mixture names."""
    fits = isinstance(members, list) and bool(members)
    fits = fits and all(isinstance(run, str) and run for run in members)
    fits = fits and len(set(members)) == len(members)
    check.that(fits, "members", "a list of runs, each one once", members)


def validate_processes(config: DictConfig) -> None:
    """Check that the processes of a run, where there are several, can work together.

    Raises:
        ValueError: If something else than Lightning has started them and no ``hydra.run.dir`` was
            given, whose default holds the time at which each composed it; or if a sweep would
            start processes, each of which would be the whole sweep again.
    """
    from lightning.fabric.plugins.environments.slurm import SLURMEnvironment

    hydra, trainer = HydraConfig.get(), config.trainer
    slurm = SLURMEnvironment.detect() and int(os.environ["SLURM_NTASKS"]) > 1
    started = slurm or int(os.environ.get("WORLD_SIZE", 1)) > 1
    if hydra.mode == RunMode.MULTIRUN:
        if not started and (trainer.devices not in (1, "1") or trainer.num_nodes > 1):
            raise ValueError(
                f"trainer.devices={trainer.devices}: the jobs of a sweep (-m) train on one device; "
                f"start srgnn-train once for each job, or set trainer.devices=1"
            )
        return
    given = any(override.startswith("hydra.run.dir=") for override in hydra.overrides.hydra)
    if (started or trainer.num_nodes > 1) and not given:
        raise ValueError(
            "hydra.run.dir: must be given where SLURM, torchrun or several nodes start the "
            "processes of a run; by default each would take a directory of its own"
        )


@contextmanager
def checking_keys(config: DictConfig, **names: str) -> Iterator[tuple[Checks, dict[str, Any]]]:
    """Check the top-level keys of a command.

    Args:
        config: All keys.
        **names: See :func:`pyg_srgnn.utils.arguments.checking`.

    Yields:
        The checks, and the keys with their values.

    Raises:
        ValueError: At the end, if values are not allowed; names each key, what was found and what
            is expected.
    """
    keys: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    with validating(config) as group, group(""), checking("configuration", **names) as check:
        yield check, keys


def validated(settings: type[_Settings], config: DictConfig, **more: Any) -> _Settings:
    """Make the settings of a command from its configuration.

    Args:
        settings: A dataclass; its fields are keys.
        config: The configuration, which may have further keys.
        **more: Fields that are no keys.

    Raises:
        ValueError: If values are not allowed; names each key, what was found and what is expected.
    """
    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    names = {one.name for one in fields(settings)}  # type: ignore[arg-type]
    with validating(config) as group, group(""):
        return settings(**{name: plain[name] for name in names & plain.keys()}, **more)
    raise AssertionError("validating() has raised")
