"""Lightning's Trainer, with the options that suit a run."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import lightning
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException

from pyg_srgnn.utils.arguments import checking

STRATEGIES = ("auto", "ddp", "ddp_find_unused_parameters_true")
PROFILERS = ("simple", "advanced", "pytorch", "xla")
# Options that have to be as they are, and why.
_FIXED: dict[str, tuple[Any, str]] = {
    "limit_test_batches": (None, "the test set is read whole; test=false leaves it alone"),
    "limit_predict_batches": (None, "a run predicts nothing"),
    "reload_dataloaders_every_n_epochs": (0, "every epoch draws its batches anew already"),
    "overfit_batches": (0, "trainer.limit_train_batches does that"),
    "use_distributed_sampler": (False, "batches are shared out without repeating a sample already"),
    "enable_checkpointing": (True, "the run is read from checkpoints"),
    "barebones": (False, "the run needs what it leaves out"),
    "fast_dev_run": (
        False,
        "for a trial run set trainer.max_epochs=1 trainer.limit_train_batches=2",
    ),
}
_FLAGS = (
    *("sync_batchnorm", "enable_autolog_hparams", "inference_mode", "detect_anomaly"),
    *("enable_model_summary", "enable_progress_bar"),
)


def check_trainer(options: Mapping[str, Any]) -> None:
    """Check the options of a trainer: those that would not suit a run, and all that Lightning does.

    Args:
        options: Arguments of ``lightning.Trainer`` by their names.

    Raises:
        ArgumentError: If an option does not suit a run.
        ValueError: If Lightning refuses one.
    """
    with checking("Trainer") as check:
        for name in ("max_epochs", "min_epochs", "min_steps"):
            check.whole(name, options[name], 1, optional=True)
        if options["max_steps"] != -1:
            check.whole("max_steps", options["max_steps"], 1)
        for name in ("accumulate_grad_batches", "check_val_every_n_epoch"):
            check.whole(name, options[name], 1)
        check.whole("log_every_n_steps", options["log_every_n_steps"], 0)
        check.whole("num_sanity_val_steps", options["num_sanity_val_steps"], -1)
        check.number("gradient_clip_val", options["gradient_clip_val"], above=0, optional=True)
        check.one_of("strategy", options["strategy"], STRATEGIES)
        check.one_of("profiler", options["profiler"], PROFILERS, optional=True)
        time = options["max_time"]
        fits = time is None or re.fullmatch(r"\d+:\d\d:\d\d:\d\d", str(time)) is not None
        check.that(fits, "max_time", "a time as DD:HH:MM:SS, or None", time)
        for name in ("limit_train_batches", "limit_val_batches"):
            limit = options[name]
            fits = limit is None or (type(limit) is int and limit > 0)
            fits = fits or (type(limit) is float and 0 < limit <= 1)
            expected = "a whole number of batches >= 1, a fraction (0.0 to 1.0), or None"
            check.that(fits, name, expected, limit)
        devices = options["devices"]
        numbers = [devices] if type(devices) is int and devices > 0 else devices
        fits = isinstance(numbers, list) and len(numbers) > 0
        fits = fits and all(type(number) is int and number >= 0 for number in numbers)
        expected = "a whole number >= 1, auto, or a list of devices' numbers such as [0,2]"
        check.that(fits or devices in ("auto", "1"), "devices", expected, devices)
        for name in _FLAGS:
            check.flag(name, options[name])
        if options["benchmark"] is not None:
            check.flag("benchmark", options["benchmark"])
        once = options["val_check_interval"] in (None, 1.0)
        expected = "None: the epoch is chosen by a validation at its end"
        check.that(once, "val_check_interval", expected, options["val_check_interval"])
        for name, (value, why) in _FIXED.items():
            check.that(options[name] == value, name, f"{value}: {why}", options[name])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the run's trainer warns again
        make_trainer(options, logger=False)


def make_trainer(options: Mapping[str, Any], **run: Any) -> lightning.Trainer:
    """Make a trainer.

    Args:
        options: Arguments of ``lightning.Trainer`` that a configuration gives.
        **run: Those that the run gives.

    Raises:
        ValueError: If Lightning refuses one.
    """
    # Cores and devices are Lightning's own report; one line per epoch is ours.
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    options = dict(options, enable_progress_bar=False)  # ours is among the callbacks
    if options["accelerator"] == "auto" and not torch.cuda.is_available():
        options["accelerator"] = "cpu"  # Apple's GPU has no float64, which the metrics need
    with trainer_errors(TypeError, MisconfigurationException):
        return lightning.Trainer(**options, **run)


@contextmanager
def trainer_errors(*kinds: type[Exception]) -> Iterator[None]:
    """Raise errors of Lightning's as errors of the keys below ``trainer``."""
    try:
        yield
    except kinds as error:
        raise ValueError(f"a value under trainer.* cannot be used: {error}") from error
