from __future__ import annotations

import inspect
from dataclasses import asdict, fields

import pytest
from omegaconf import OmegaConf

from pyg_srgnn.baselines import BASELINES
from pyg_srgnn.baselines.neighbours import SessionNeighbours
from pyg_srgnn.clicklog.spec import Preparation
from pyg_srgnn.commands.application import CONF
from pyg_srgnn.commands.recommend_file import recommend_file
from pyg_srgnn.datasets import DATASETS
from pyg_srgnn.datasets.generator import SessionGenerator
from pyg_srgnn.evaluation.baselines import EvaluationSettings
from pyg_srgnn.export.write import export
from pyg_srgnn.inference.rules import Rules
from pyg_srgnn.nn import MODELS, SRGNN, SessionModel, build_model
from pyg_srgnn.serving.settings import SECRETS, Settings
from pyg_srgnn.text.encoder import OWN
from pyg_srgnn.training import SessionModule
from pyg_srgnn.training.settings import RunSettings

OF_THE_DATA = (  # arguments of a model
    *("num_items", "num_trained", "num_events", "num_earlier", "text_channels", "category_sizes"),
)


def defaults(callable_: object, *left_out: str) -> dict[str, object]:
    parameters = inspect.signature(callable_).parameters  # type: ignore[arg-type]
    named = {n: p for n, p in parameters.items() if p.kind is not inspect.Parameter.VAR_KEYWORD}
    return {name: p.default for name, p in named.items() if name not in left_out}


def configured(group: str, name: str) -> dict[str, object]:
    return dict(OmegaConf.to_container(OmegaConf.load(CONF / group / f"{name}.yaml")))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", DATASETS)
def test_a_dataset_is_configured_as_its_class_defaults(name: str) -> None:
    config = configured("dataset", name)
    assert config.pop("name") == name
    expected = defaults(DATASETS[name], "split", "transform", "fraction")
    if name == "synthetic":
        expected |= defaults(SessionGenerator)
    if name == "click_log":
        assert config.pop("path") == "???" and expected.pop("path") is inspect.Parameter.empty
        # Hydra takes no keys for an empty mapping from the command line.
        expected |= asdict(Preparation()) | {"where": None}
    assert config == expected


def test_every_dataset_file_is_of_a_dataset() -> None:
    assert {file.stem for file in (CONF / "dataset").glob("*.yaml")} == set(DATASETS)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_configured_with_all_arguments_of_its_class(name: str) -> None:
    """The values differ: the class is the paper's, the configuration what validation chose."""
    config = configured("model", name)
    assert config.pop("name") == name
    accepted = defaults(MODELS[name], *OF_THE_DATA) | defaults(SessionModel, *OF_THE_DATA)
    assert config.keys() == accepted.keys()
    build_model(config | {"name": name, "num_items": 3})


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_is_configured_as_its_defaults(name: str) -> None:
    config = configured("model", name)
    assert config.pop("name") == name
    baseline = BASELINES[name]
    declared = baseline if issubclass(baseline, SessionNeighbours) else baseline.fit
    assert config == defaults(declared, "sessions", "num_items")


def test_every_model_file_is_of_a_model() -> None:
    assert {file.stem for file in (CONF / "model").iterdir()} == {
        *MODELS,
        *BASELINES,
        "mixture",
        "srgnn_plain",
    }


def test_the_plain_model_is_configured_as_its_class_defaults() -> None:
    config = configured("model", "srgnn_plain")
    assert config.pop("name") == "srgnn" and config.pop("products") == "auto"
    expected = defaults(SRGNN, *OF_THE_DATA) | defaults(SessionModel, *OF_THE_DATA)
    assert config == {key: value for key, value in expected.items() if key != "products"}


def test_the_optimizer_is_configured_as_its_defaults() -> None:
    names = ("model", "ties", "part", "extra", "horizon", "distillation", "compiled")
    names += ("r_drop", "contrast")  # keys of the run
    assert configured("optimizer", "adam") == defaults(SessionModule, *names)


ENCODERS = {point.name: point.load() for point in OWN}


@pytest.mark.parametrize("name", ENCODERS)
def test_an_encoder_is_configured_as_its_defaults(name: str) -> None:
    config = configured("encoder", name)
    assert config.pop("name") == name == ENCODERS[name].name
    expected = defaults(ENCODERS[name])
    assert config == {k: "???" if v is inspect.Parameter.empty else v for k, v in expected.items()}


def test_every_encoder_file_is_of_an_encoder() -> None:
    files = {file.stem for file in (CONF / "encoder").iterdir()}
    assert files - {"auto"} == ENCODERS.keys()


def own_keys(name: str) -> dict[str, object]:
    """The top-level keys of a command, as its YAML has them."""
    config = dict(OmegaConf.to_container(OmegaConf.load(CONF / f"{name}.yaml")))  # type: ignore[arg-type]
    return {key: value for key, value in config.items() if key not in ("defaults", "hydra")}


def test_a_run_is_configured_as_its_settings() -> None:
    expected = asdict(RunSettings())
    assert own_keys("train") == expected | {
        "baselines": list(expected["baselines"]),
        "callbacks": [],
        "metrics": [],
        "categories": [],
    }


def test_the_service_is_configured_as_its_settings() -> None:
    expected = asdict(Settings("???"))
    assert own_keys("serve") == {key: expected[key] for key in expected.keys() - SECRETS}


def test_an_export_is_configured_as_its_defaults() -> None:
    keys = own_keys("export")
    keys["kind"] = keys.pop("format")
    of_new_items = {name: keys.pop(name) for name in ("add_items", "text_id", "text_columns")}
    assert set(of_new_items.values()) == {None} and keys.pop("known") == "error"
    assert keys == defaults(export, "checkpoint") | {"checkpoint": "???", "output": "???"}


def test_recommendations_are_configured_as_their_defaults() -> None:
    expected = defaults(recommend_file)
    assert own_keys("recommend")["k"] == expected["k"]
    rules = own_keys("recommend")
    for rule in fields(Rules):
        assert (rules[rule.name] or None) == (getattr(Rules(), rule.name) or None)


def test_an_evaluation_is_configured_as_its_settings() -> None:
    expected = asdict(EvaluationSettings())
    expected |= {name: list(expected[name]) for name in ("baselines", "metrics", "categories")}
    assert own_keys("evaluate").items() >= expected.items()
