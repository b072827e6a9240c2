from __future__ import annotations

import inspect
from dataclasses import asdict

import pytest
from omegaconf import OmegaConf

from pyg_srgnn.commands.application import CONF
from pyg_srgnn.data.preparation import Preparation
from pyg_srgnn.datasets import DATASETS
from pyg_srgnn.nn import MODELS
from pyg_srgnn.training import SessionModule


def defaults(callable_: object, *left_out: str) -> dict[str, object]:
    parameters = inspect.signature(callable_).parameters  # type: ignore[arg-type]
    return {name: p.default for name, p in parameters.items() if name not in left_out}


def configured(group: str, name: str) -> dict[str, object]:
    return dict(OmegaConf.to_container(OmegaConf.load(CONF / group / f"{name}.yaml")))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", DATASETS)
def test_a_dataset_is_configured_as_its_class_defaults(name: str) -> None:
    config = configured("dataset", name)
    assert config.pop("name") == name
    expected = defaults(DATASETS[name], "split", "transform", "fraction", "rules")
    if name == "click_log":
        assert config.pop("path") == "???" and expected.pop("path") is inspect.Parameter.empty
        expected |= asdict(Preparation())
    assert config == expected


def test_every_dataset_file_is_of_a_dataset() -> None:
    assert {file.stem for file in (CONF / "dataset").iterdir()} == set(DATASETS)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_configured_as_its_class_defaults(name: str) -> None:
    config = configured("model", name)
    assert config.pop("name") == name
    assert config == defaults(MODELS[name], "num_items")


def test_the_optimizer_is_configured_as_its_defaults() -> None:
    names = ("model", "ties", "part", "extra")
    assert configured("optimizer", "adam") == defaults(SessionModule, *names)
