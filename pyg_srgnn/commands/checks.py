"""Every value of a configuration, checked before anything starts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from omegaconf import DictConfig, OmegaConf

from pyg_srgnn.utils.arguments import ArgumentError

METRICS = [f"{name}@{k}" for name in ("hr", "mrr", "ndcg", "coverage") for k in (5, 10, 20)]

Rule = tuple[Callable[[Any], bool], str]


def _names(constant: str) -> list[str]:
    """The names that a constant of the package holds, such as ``nn.MODELS``."""
    module, _, name = constant.rpartition(".")
    return list(getattr(import_module(f"pyg_srgnn.{module}"), name))


def _whole(least: int) -> Rule:
    return (lambda v: type(v) is int and v >= least, f"a whole number >= {least}")


def _one_of(*allowed: str | bool) -> Rule:
    names = ", ".join(str(a).lower() if isinstance(a, bool) else a for a in allowed)
    return (lambda v: isinstance(v, str | bool) and v in allowed, f"one of {names}")


def _list_of(*allowed: str) -> Rule:
    return (
        lambda v: isinstance(v, list) and all(name in allowed for name in v),
        f"a list of {', '.join(allowed)}",
    )


def _optional(rule: Rule) -> Rule:
    return (lambda v: v is None or rule[0](v), f"{rule[1]}, or null")


def _number(test: Callable[[float], bool], allowed: str) -> Rule:
    return (lambda v: type(v) in (int, float) and test(v), allowed)


def _is_valid_part(value: Any) -> bool:
    if isinstance(value, str):
        return value.endswith("d") and value[:-1].isdigit() and int(value[:-1]) > 0
    return type(value) is float and 0 < value < 1


def _are_devices(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(type(v) is int and v >= 0 for v in value)
    return value == "auto" or (type(value) is int and value >= 1) or value == "1"


_FLAG: Rule = (lambda v: type(v) is bool, "true or false")
_SHARE: Rule = _number(lambda v: 0 <= v < 1, "a number >= 0 and < 1")
_TEXT: Rule = (lambda v: isinstance(v, str) and bool(v), "a text")
_LIMIT: Rule = (
    lambda v: v is None or (type(v) is int and v > 0) or (type(v) is float and 0 < v <= 1),
    "a number of batches (a whole number >= 1), a fraction (0.0 to 1.0), or null",
)

# Rules in functions import what they name, which must not cost those commands that lack the key.
RULES: dict[str, Rule | Callable[[], Rule]] = {
    "dataset.name": lambda: _one_of(*_names("datasets.DATASETS")),
    "dataset.root": _TEXT,
    "dataset.mirror": _optional(_TEXT),
    "dataset.valid": (_is_valid_part, "a fraction between 0.0 and 1.0, or days as '7d'"),
    "model.name": lambda: _one_of(*_names("nn.MODELS"), *_names("baselines.BASELINES")),
    "model.channels": _whole(1),
    "model.num_steps": _whole(1),
    "model.reset_after": _FLAG,
    "model.readout": lambda: _one_of(*_names("nn.readout.MODES")),
    "model.readout_bias": _FLAG,
    "model.binary_edges": _FLAG,
    "model.loss": lambda: _one_of(*_names("nn.session_model.LOSSES")),
    "model.init": lambda: _one_of(*_names("nn.session_model.INITS")),
    "model.negatives": _whole(1),
    "model.sampling": lambda: _one_of(*_names("nn.sampled.SAMPLINGS")),
    "model.products": lambda: _one_of(*_names("nn.session_model.PRODUCTS")),
    "model.scale": _optional(_number(lambda v: 0 < v < float("inf"), "a number > 0")),
    "model.dropout": _SHARE,
    "model.label_smoothing": _SHARE,
    "model.residual": lambda: _one_of(*_names("nn.srgnn.RESIDUALS")),
    "model.last_k": _whole(1),
    "model.positions": _whole(0),
    "model.frequency": _FLAG,
    "model.repeat": _FLAG,
    "model.neighbours": _whole(0),
    "model.window": _whole(1),
    "model.transitions": _whole(0),
    "model.num_layers": _whole(1),
    "optimizer.decoupled": _FLAG,
    "optimizer.schedule": lambda: _one_of(*_names("training.module.SCHEDULES")),
    "optimizer.lr": _number(lambda v: 0 < v < float("inf"), "a number > 0"),
    "optimizer.weight_decay": _number(lambda v: 0 <= v < float("inf"), "a number >= 0"),
    "optimizer.lr_step": _whole(1),
    "optimizer.lr_gamma": _number(lambda v: 0 < v <= 1, "a number > 0 and <= 1"),
    "trainer.max_epochs": _optional(_whole(1)),
    "trainer.limit_train_batches": _LIMIT,
    "trainer.limit_val_batches": _LIMIT,
    "trainer.limit_test_batches": (
        lambda v: v is None,
        "null: the test set is read whole; test=false leaves it alone",
    ),
    "trainer.limit_predict_batches": (lambda v: v is None, "null: a run predicts nothing"),
    "trainer.reload_dataloaders_every_n_epochs": (
        lambda v: v == 0,
        "0: every epoch draws its batches anew already",
    ),
    "trainer.devices": (
        _are_devices,
        "a whole number >= 1, auto, or a list of devices' numbers such as [0,2]",
    ),
    "trainer.strategy": _one_of("auto", "ddp", "ddp_find_unused_parameters_true"),
    "trainer.val_check_interval": (
        lambda v: v is None or v == 1.0,
        "null: the epoch is chosen by a validation at its end",
    ),
    "trainer.overfit_batches": (
        lambda v: v == 0,
        "0: set trainer.limit_train_batches instead",
    ),
    "trainer.max_steps": (
        lambda v: type(v) is int and (v == -1 or v >= 1),
        "a whole number >= 1, or -1: none",
    ),
    "trainer.num_sanity_val_steps": _whole(-1),
    "trainer.sync_batchnorm": _FLAG,
    "trainer.use_distributed_sampler": (
        lambda v: v is False,
        "false: batches are shared out without repeating a sample already",
    ),
    "trainer.enable_autolog_hparams": _FLAG,
    "trainer.min_epochs": _optional(_whole(1)),
    "trainer.min_steps": _optional(_whole(1)),
    "trainer.max_time": _optional(
        (
            lambda v: isinstance(v, str) and re.fullmatch(r"\d+:\d\d:\d\d:\d\d", v) is not None,
            "a time as DD:HH:MM:SS",
        )
    ),
    "trainer.accumulate_grad_batches": _whole(1),
    "trainer.check_val_every_n_epoch": _whole(1),
    "trainer.log_every_n_steps": _whole(0),
    "trainer.gradient_clip_val": _optional(_number(lambda v: v > 0, "a number > 0")),
    "trainer.profiler": _optional(_one_of("simple", "advanced", "pytorch", "xla")),
    "trainer.benchmark": _optional(_FLAG),
    "trainer.inference_mode": _FLAG,
    "trainer.detect_anomaly": _FLAG,
    "trainer.enable_model_summary": _FLAG,
    "trainer.enable_progress_bar": _FLAG,
    "trainer.num_nodes": _whole(1),
    "trainer.fast_dev_run": (
        lambda v: v is False,
        "false: for a trial run set trainer.max_epochs=1 trainer.limit_train_batches=2 instead",
    ),
    "trainer.enable_checkpointing": (lambda v: v is True, "true: the run is read from them"),
    "trainer.barebones": (lambda v: v is False, "false: the run needs what it leaves out"),
    "logger.name": _one_of("csv", "tensorboard", "wandb", "mlflow"),
    "logger.project": _TEXT,
    "logger.mode": _one_of("offline", "online"),
    "logger.tracking_uri": _TEXT,
    "logger.experiment": _TEXT,
    "seed": _number(
        lambda v: type(v) is int and 0 <= v < 2**32, "a whole number from 0 to 2^32 - 1"
    ),
    "protocol": _one_of("honest", "literature"),
    "refit": _one_of(True, False, "only"),
    "test": _FLAG,
    "deterministic": _FLAG,
    "monitor": _one_of(*METRICS),
    "patience": _whole(1),
    "batch_size": _whole(1),
    "order": _one_of("shuffle", "time"),
    "half_life": _optional(_number(lambda v: v > 0, "a number > 0")),
    "average": _SHARE,
    "eval_batch_size": _whole(1),
    "num_workers": _whole(0),
    "threads": _optional(_whole(1)),
    "halving": _optional(_whole(2)),
    "halving_from": _whole(1),
    "ties": lambda: _one_of(*_names("evaluation.metrics.TIES")),
    "resume": _FLAG,
    "checkpoint": _optional(_TEXT),
    "warm_start": _optional(_TEXT),
    "new_items": _one_of("neighbours", "init"),
    "k": _whole(1),
    "items": (
        lambda v: (
            v is None
            or (isinstance(v, list) and all(type(i) in (int, str) for i in v))
            or (isinstance(v, str) and (v == "-" or (v[:1] == "@" and len(v) > 1)))
        ),
        "a list of raw item ids, such as [17,4] or 'items=[red shoe,\"cap, blue\"]' in the "
        "shell's quotes; one id a line, @FILE or - (standard input); or null",
    ),
    "input": _optional(_TEXT),
    "output": _optional(_TEXT),
    "format": lambda: _one_of(*_names("inference.formats.FILES")),
    "precision": lambda: _one_of(*_names("inference.catalogue.PRECISIONS")),
    "index_above": _optional(_whole(0)),
    "exclude_seen": _FLAG,
    "split": _one_of("train", "valid", "trainval", "test"),
    "report": _optional(_TEXT),
    "verify": _FLAG,
    "baselines": lambda: _list_of(*_names("baselines.BASELINES")),
}


def check(config: DictConfig, may_be_null: Sequence[str] = ()) -> None:
    """Check a configuration against :data:`RULES`.

    Args:
        config: What Hydra composed.
        may_be_null: Keys that stand for something else when they are null. (default: none)

    Raises:
        ValueError: If values are not allowed; names each key, what was found and what is allowed.
    """
    missing = sorted(OmegaConf.missing_keys(config))
    wrong = [f"{key}: must be given; --help shows examples" for key in missing]
    for key, rule in RULES.items():
        found = OmegaConf.select(config, key, default=_ABSENT)
        if found is _ABSENT or (found is None and key in may_be_null):
            continue
        allows, allowed = rule() if callable(rule) else rule
        value = OmegaConf.to_container(found) if OmegaConf.is_config(found) else found
        if not allows(value):
            wrong.append(f"{key}={value!r}: expected {allowed}")
    wrong += _unfit(config)
    if wrong:
        raise ValueError("the configuration cannot be used\n  " + "\n  ".join(wrong))


@contextmanager
def naming_keys(group: str = "") -> Iterator[None]:
    """Have errors of arguments name the keys of a configuration that gave them.

    Args:
        group: The group of the keys, such as ``model``. (default: none)

    Raises:
        ValueError: If an argument is not allowed; names each key, what is expected and what was
            found.
    """
    try:
        yield
    except ArgumentError as error:
        raise ValueError(
            "\n  ".join(["the configuration cannot be used", *keys_of(error, group)])
        ) from error


def keys_of(error: ArgumentError, group: str = "") -> list[str]:
    """A line for every key whose argument is not allowed."""
    words = {"None": "null", "True": "true", "False": "false"}
    prefix = f"{group}." if group else ""
    lines = []
    for name, (expected, found) in error:
        expected = re.sub(r"\b(None|True|False)\b", lambda word: words[word[0]], expected)
        lines.append(f"{prefix}{name}={found!r}: expected {expected}")
    return lines


def _unfit(config: DictConfig) -> list[str]:
    """Keys that cannot be combined."""

    def of(key: str) -> Any:
        return OmegaConf.select(config, key)

    unfit = []
    if config.get("protocol") == "literature" and config.get("refit"):
        unfit.append("refit=true: protocol=literature trains on all training sessions already")
    if config.get("halving") is not None:
        if config.get("protocol") == "literature":
            unfit.append("halving: must be null with protocol=literature; it asks validation")
        if config.get("refit") == "only":
            unfit.append("halving: must be null with refit=only, which has no validation")
    if config.get("resume") is False and config.get("checkpoint") is not None:
        unfit.append("resume=false: must be true with checkpoint=RUN, which is a run to resume")
    if of("trainer.gradient_clip_val") is not None and of("model.loss") == "sampled":
        unfit.append(
            "trainer.gradient_clip_val: must be null with model.loss=sampled; torch cannot clip "
            "sparse gradients"
        )
    if "input" in config:
        if (config["items"] is None) == (config.input is None):
            unfit.append("give either items=[…], a session, or input=FILE, sessions of a file")
        if (config.input is None) != (config.output is None):
            unfit.append("input and output: a file of sessions in, a file of recommendations out")
        log = [f"log.{name}" for name, value in config.log.items() if value is not None]
        if log and config.input is None:
            unfit.append(f"{', '.join(log)}: must be null without input=FILE, a click log")
    if config.get("half_life") is not None and config.get("order") == "time":
        unfit.append("half_life: must be null with order=time; a draw has no order in time")
    if of("optimizer.decoupled") and of("model.loss") == "sampled":
        unfit.append("optimizer.decoupled: must be false with model.loss=sampled")
    if of("model.label_smoothing") and of("model.loss") != "cross_entropy":
        unfit.append("model.label_smoothing: must be 0 unless model.loss=cross_entropy")
    if of("model.loss") == "binary":
        for key, off in (("model.repeat", "false"), ("model.transitions", "0")):
            if of(key):
                unfit.append(f"{key}: must be {off} with model.loss=binary")
    return unfit


_ABSENT = object()
