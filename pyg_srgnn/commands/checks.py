"""Every value of a configuration, checked before anything starts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from omegaconf import DictConfig, OmegaConf

from pyg_srgnn.baselines import BASELINES
from pyg_srgnn.datasets import DATASETS
from pyg_srgnn.metrics import TIES
from pyg_srgnn.nn import MODELS
from pyg_srgnn.nn.readout import MODES
from pyg_srgnn.nn.srgnn import INITS, LOSSES

METRICS = [f"{name}@{k}" for name in ("hr", "mrr", "ndcg", "coverage") for k in (5, 10, 20)]

Rule = tuple[Callable[[Any], bool], str]


def _whole(least: int) -> Rule:
    return (lambda v: type(v) is int and v >= least, f"a whole number >= {least}")


def _one_of(*allowed: str) -> Rule:
    return (lambda v: v in allowed, "one of " + ", ".join(allowed))


def _optional(rule: Rule) -> Rule:
    return (lambda v: v is None or rule[0](v), f"{rule[1]}, or null")


def _number(test: Callable[[float], bool], allowed: str) -> Rule:
    return (lambda v: type(v) in (int, float) and test(v), allowed)


def _is_valid_part(value: Any) -> bool:
    if isinstance(value, str):
        return value.endswith("d") and value[:-1].isdigit() and int(value[:-1]) > 0
    return type(value) is float and 0 < value < 1


_FLAG: Rule = (lambda v: type(v) is bool, "true or false")
_TEXT: Rule = (lambda v: isinstance(v, str) and bool(v), "a text")
_LIMIT: Rule = (
    lambda v: v is None or (type(v) is int and v > 0) or (type(v) is float and 0 < v <= 1),
    "a number of batches (a whole number >= 1), a fraction (0.0 to 1.0), or null",
)

RULES: dict[str, Rule] = {
    "dataset.name": _one_of(*DATASETS),
    "dataset.root": _TEXT,
    "dataset.mirror": _optional(_TEXT),
    "dataset.valid": (_is_valid_part, "a fraction between 0.0 and 1.0, or days as '7d'"),
    "model.name": _one_of(*MODELS),
    "model.channels": _whole(1),
    "model.num_steps": _whole(1),
    "model.reset_after": _FLAG,
    "model.readout": _one_of(*MODES),
    "model.readout_bias": _FLAG,
    "model.loss": _one_of(*LOSSES),
    "model.init": _one_of(*INITS),
    "optimizer.lr": _number(lambda v: 0 < v < float("inf"), "a number > 0"),
    "optimizer.weight_decay": _number(lambda v: 0 <= v < float("inf"), "a number >= 0"),
    "optimizer.lr_step": _whole(1),
    "optimizer.lr_gamma": _number(lambda v: 0 < v <= 1, "a number > 0 and <= 1"),
    "trainer.max_epochs": _whole(1),
    "trainer.limit_train_batches": _LIMIT,
    "trainer.limit_val_batches": _LIMIT,
    "trainer.devices": (
        lambda v: v in (1, "1"),
        "1: training on several devices is not supported",
    ),
    "trainer.num_nodes": (lambda v: v == 1, "1: training on several nodes is not supported"),
    "trainer.fast_dev_run": (
        lambda v: v is False,
        "false: for a trial run set trainer.max_epochs=1 trainer.limit_train_batches=2 instead",
    ),
    "trainer.enable_checkpointing": (lambda v: v is True, "true: the run is read from them"),
    "trainer.barebones": (lambda v: v is False, "false: the run needs what it leaves out"),
    "logger.name": _one_of("csv", "tensorboard", "wandb"),
    "seed": _number(
        lambda v: type(v) is int and 0 <= v < 2**32, "a whole number from 0 to 2^32 - 1"
    ),
    "protocol": _one_of("honest", "literature"),
    "refit": _FLAG,
    "monitor": _one_of(*METRICS),
    "patience": _whole(1),
    "batch_size": _whole(1),
    "eval_batch_size": _whole(1),
    "num_workers": _whole(0),
    "ties": _one_of(*TIES),
    "checkpoint": _optional(_TEXT),
    "k": _whole(1),
    "items": (
        lambda v: isinstance(v, list) and all(type(i) in (int, str) for i in v),
        "a list of raw item ids, such as [17,4]",
    ),
    "split": _one_of("train", "valid", "trainval", "test"),
    "baselines": (
        lambda v: isinstance(v, list) and set(v) <= set(BASELINES),
        "a list of " + ", ".join(BASELINES),
    ),
}


def check(config: DictConfig) -> None:
    """Hold a configuration against :data:`RULES`.

    Raises:
        ValueError: If values are not allowed; names each key, what was found and what is allowed.
    """
    wrong = []
    for key, (allows, allowed) in RULES.items():
        found = OmegaConf.select(config, key, default=_ABSENT)
        if found is _ABSENT:
            continue
        value = OmegaConf.to_container(found) if OmegaConf.is_config(found) else found
        if not allows(value):
            wrong.append(f"{key}={value!r}: expected {allowed}")
    if wrong:
        raise ValueError("the configuration cannot be used\n  " + "\n  ".join(wrong))


_ABSENT = object()
