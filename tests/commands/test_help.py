"""--help of every script, and every configuration that it names."""

from __future__ import annotations

import re
import shlex

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from pyg_srgnn.commands import evaluate, export, prepare, recommend, serve, train
from pyg_srgnn.commands.application import CONF
from pyg_srgnn.commands.validate import validate_run
from tests.commands import run

SCRIPTS = {
    "train": train,
    "evaluate": evaluate,
    "recommend": recommend,
    "serve": serve,
    "prepare": prepare,
    "export": export,
}
GROUPS = {
    folder.name: sorted(path.stem for path in folder.glob("*.yaml"))
    for folder in CONF.iterdir()
    if folder.is_dir() and folder.name != "hydra"
}
# A key of every script's help that is the first thing a user sets, and where it stands.
KEYS = {
    "train": {
        *("dataset", "dataset.root", "dataset.mirror", "model.channels", "model.num_steps"),
        *("optimizer.lr", "trainer.max_epochs", "trainer.limit_train_batches", "seed"),
        *("protocol", "refit", "checkpoint", "hydra.run.dir", "batch_size"),
    },
    "evaluate": {"checkpoint", "split", "baselines", "hydra.run.dir", "dataset.root", "ties"},
    "recommend": {"checkpoint", "items", "k"},
    "serve": {
        *("checkpoint", "host", "port", "open", "names", "sessions", "reload_seconds"),
        *("max_clicks", "max_k", "max_sessions", "max_body", "batch_size", "log_sessions"),
    },
    "export": {"checkpoint", "output", "format", "precision"},
    "prepare": {"dataset", "dataset.root", "dataset.mirror"},
}


@pytest.fixture(scope="module", params=SCRIPTS)
def script(request):
    return request.param


@pytest.fixture(scope="module")
def help_text(script):
    result = run(SCRIPTS[script].main, f"srgnn-{script}", "--help")
    assert result.status == 0 and result.err == ""
    return result.out


# The keys without a default, by the choice that has them.
NEEDED = {
    "dataset=click_log": {"dataset.path": "clicks.csv"},
    "model=mixture": {"model.members": "[a,b]"},
    "encoder=http": {"encoder.url": "https://x.org/v1/embeddings", "encoder.model": "m"},
    "encoder=llm": {"encoder.model": "m", "text": "null"},  # without which it must be there
    "encoder=sentence_transformers": {"encoder.model": "m", "text": "null"},
}


def composed(name, overrides):
    """A script's configuration, with Hydra's own beside it."""
    given = {override.partition("=")[0] for override in overrides}
    for choice in NEEDED.keys() & set(overrides):
        more = NEEDED[choice].items()
        overrides = [*overrides, *(f"{key}={value}" for key, value in more if key not in given)]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(name, overrides, return_hydra_config=True)


def validated(script, config):
    """What the script gets of it, validated."""
    ours = OmegaConf.masked_copy(config, [key for key in config if key != "hydra"])
    (validate_run if script == "train" else SCRIPTS[script].validate)(ours)
    return ours


def examples(name, text):
    """The command lines shown, each as its arguments."""
    lines = [line.strip() for line in text.splitlines() if line.startswith(f"  srgnn-{name}")]
    return [shlex.split(re.split(r"\s{4,}", line)[0])[1:] for line in lines]


@pytest.mark.slow
def test_it_says_what_the_script_does(script, help_text):
    assert help_text.startswith(f"srgnn-{script}: ")
    assert "${" not in help_text and "$CONFIG" not in help_text, "a template is left unfilled"


@pytest.mark.slow
def test_three_examples_that_work(script, help_text):
    shown = examples(script, help_text)
    assert len(shown) >= 3
    for arguments in shown:
        overrides = [argument for argument in arguments if argument != "-m"]
        if "-m" in arguments:
            overrides = [override.split(",")[0] for override in overrides]
        validated(script, composed(script, overrides))


@pytest.mark.slow
def test_the_keys_that_matter(script, help_text):
    for key in KEYS[script]:
        assert f"{key}=" in help_text, key
    named = set(re.findall(r"(?<![\w/-])([a-z_]+(?:\.[a-z_]+)*)=", help_text)) - {"key", "group"}
    config = OmegaConf.to_container(composed(script, []))
    if "dataset=click_log" in help_text:  # whose keys are many, and shown in its example
        click_log = composed(script, ["dataset=click_log"]).dataset
        config["dataset"] |= OmegaConf.to_container(click_log)
    if "model=mixture" in help_text:
        config["model"] |= OmegaConf.to_container(composed(script, ["model=mixture"]).model)
    if "evaluation=rolling" in help_text:
        rolling = composed(script, ["evaluation=rolling"])
        config |= {"windows": rolling.windows, "window": rolling.window}
    for key in named - GROUPS.keys():
        node = config
        for name in key.split("."):
            assert name in node, f"{key} is no key"
            node = node[name]


def test_the_groups(script, help_text):
    """Every group that can be chosen, with its options, and none that cannot."""
    defaults = OmegaConf.load(CONF / f"{script}.yaml").defaults
    chosen = {key for entry in defaults if OmegaConf.is_dict(entry) for key in entry}
    chosen = {key.removeprefix("optional ") for key in chosen if not key.startswith("override")}
    listed = {}
    for line in help_text.splitlines():
        group, _, options = line.partition(": ")
        if group in GROUPS and options.split(", ") == GROUPS[group]:
            listed[group] = options
    assert listed.keys() == chosen & GROUPS.keys()


@pytest.mark.slow
@pytest.mark.parametrize(
    "choice", [f"{group}={option}" for group in GROUPS for option in GROUPS[group]]
)
def test_every_choice_of_every_group_composes(choice):
    config = composed("train", [choice])
    assert "???" not in OmegaConf.to_yaml(validated("train", config))
    group, option = choice.split("=")
    assert config.hydra.runtime.choices[group] == option
    for key in ("dataset", "model", "logger"):
        assert group != key or config[key].name == option.removesuffix("_plain")


@pytest.mark.parametrize("option", GROUPS["dataset"])
def test_every_dataset_can_be_prepared(option):
    assert composed("prepare", [f"dataset={option}"]).dataset.name == option


@pytest.mark.slow
@pytest.mark.parametrize("option", GROUPS["experiment"])
def test_an_experiment_on_a_benchmark(option):
    """What an experiment says, it says on every dataset; the command line has the last word."""
    for dataset in GROUPS["dataset"]:
        config = composed("train", [f"dataset={dataset}", f"experiment={option}"])
        validated("train", config)
        recipe = (config.optimizer.lr, config.trainer.max_epochs, config.optimizer.schedule)
        assert recipe == ((2e-3, 3, "step") if option == "fast" else (1e-3, 30, "step"))
        assert config.model.init == ("authors" if option == "fast" else option)
        assert config.model.scale is None and not config.model.repeat  # no later ingredient
    config = composed("train", [f"experiment={option}", "optimizer.lr=0.5", "model.init=paper"])
    assert config.optimizer.lr == 0.5 and config.model.init == "paper"


def test_training_settings_suit_their_dataset_alone():
    for file in (CONF / "dataset" / "training").iterdir():
        assert file.stem in GROUPS["dataset"]
    stored = OmegaConf.load(CONF / "train.yaml")
    other = composed("train", ["dataset=diginetica"])
    assert other.patience == stored.patience
    assert other.optimizer == OmegaConf.load(CONF / "optimizer" / "adam.yaml")
