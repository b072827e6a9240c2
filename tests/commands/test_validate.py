"""A value that is not allowed is refused before anything is loaded, by its key."""

from __future__ import annotations

import copy
import inspect
from typing import Any

import lightning
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from pyg_srgnn.commands import evaluate, prepare, recommend, train
from pyg_srgnn.commands.application import CONF
from pyg_srgnn.commands.validate import validate_run
from pyg_srgnn.functional.metrics import monitored
from pyg_srgnn.nn import MODELS, SessionModel
from pyg_srgnn.training import train as train_run
from pyg_srgnn.utils.arguments import checking
from tests.commands import run
from tests.tiny import tiny_config


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("datasets")


@pytest.fixture(scope="module")
def config(root):
    return tiny_config(root)


def changed(config: DictConfig, *overrides: str) -> DictConfig:
    """What the command line makes of a configuration, without composing it again."""
    config = copy.deepcopy(config)
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        OmegaConf.update(config, override.key_or_group, override.value())
    return config


def refusal(config: DictConfig, folder: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """The message with which srgnn-train refuses a configuration, before it trains."""

    def started(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("training has started")

    monkeypatch.setattr(lightning.Trainer, "fit", started)
    with pytest.raises(ValueError) as error:  # which the scripts tell without a traceback
        validate_run(config)
        train_run(config, folder)
    return str(error.value)


# A bad value, and what the message must say of what is allowed.
BAD = {
    "dataset.root=''": "a path",
    "dataset.root=null": "a path",
    "dataset.mirror=3": "a path",
    "dataset.valid=0.0": "a fraction between 0.0 and 1.0, or days as '7d'",
    "dataset.valid=1": "a fraction between 0.0 and 1.0",
    "dataset.valid=1.5": "a fraction between 0.0 and 1.0",
    "dataset.valid=0d": "days as '7d'",
    "dataset.valid=week": "days as '7d'",
    "dataset.valid=null": "a fraction",
    "dataset.valid=0.001": "side empty",
    "dataset.valid=1000d": "side empty",
    "dataset.num_items=1": ">= 2",
    "dataset.num_items=1e3": "a whole number",
    "dataset.num_interests=0": ">= 1",
    "dataset.interest_size=41": "from 2 to 40",
    "dataset.num_successors=20": "from 1 to 19",
    "dataset.repeat=often": "from 0 to 1",
    "dataset.noise=0.0": "> 0",
    "dataset.stop=0": "> 0",
    "dataset.follow=0.9": "sum <= 1",
    "dataset.max_length=1": ">= 2",
    "dataset.num_sessions=0": ">= 1",
    "dataset.seed=-1": ">= 0",
    "model.name=stamp": "srgnn, gru4rec",
    "model.channels=0": ">= 1",
    "model.channels=8.0": "a whole number",
    "model.channels=true": "a whole number",
    "model.num_steps=0": ">= 1",
    "model.reset_after=1": "true or false",
    "model.readout=last": "hybrid, local, average, attention",
    "model.readout_bias=null": "true or false",
    "model.loss=bpr": "cross_entropy, binary",
    "model.init=xavier": "authors, paper, simplified",
    "optimizer.lr=0": "> 0",
    "optimizer.lr=-0.1": "> 0",
    "optimizer.lr=nan": "> 0",
    "optimizer.lr=inf": "> 0",
    "optimizer.lr=fast": "a number",
    "optimizer.weight_decay=-1": ">= 0",
    "optimizer.lr_step=0": ">= 1",
    "optimizer.lr_gamma=2": "<= 1",
    "logger.name=comet": "csv, tensorboard, wandb, mlflow",
    "seed=-1": "from 0",
    "seed=null": "a whole number",
    "seed=4294967296": "to 4294967295",
    "protocol=fair": "honest, literature",
    "refit=maybe": "true, false or only",
    "monitor=hr@7": "hr@5, hr@10, hr@20",
    "monitor=loss": "mrr@20",
    "patience=0": ">= 1",
    "batch_size=0": ">= 1",
    "batch_size=all": "a whole number",
    "eval_batch_size=0.5": "a whole number",
    "num_workers=-1": ">= 0",
    "ties=lucky": "conservative, median, standard",
    "metrics=[surprise]": "novelty, diversity, gini",
    "metrics=gini": "a list of novelty",
    "checkpoint=''": "or null",
    "warm_start=''": "or null",
    "warm_start=7": "a text",
    "new_items=zero": "neighbours, init",
    "new_items=null": "neighbours, init",
    # Lightning's own arguments.
    "trainer.max_epochs=0": ">= 1",
    "trainer.limit_train_batches=0": ">= 1",
    "trainer.limit_train_batches=1.5": "0.0 to 1.0",
    "trainer.limit_val_batches=few": "number of batches",
    "trainer.limit_test_batches=2": "test=false leaves it alone",
    "trainer.limit_predict_batches=2": "null",
    "trainer.reload_dataloaders_every_n_epochs=1": "0",
    "resume=maybe": "true or false",
    "trainer.devices=0": ">= 1",
    "trainer.devices=[]": "a list",
    "trainer.devices=two": "auto",
    "trainer.num_nodes=0": "positive integer",
    "trainer.use_distributed_sampler=true": "false",
    "trainer.fast_dev_run=true": "false",
    "trainer.barebones=true": "false",
    "trainer.enable_checkpointing=false": "true",
    "trainer.accelerator=abacus": "cpu",
    "trainer.strategy=luck": "ddp",
    "trainer.precision=8": "bf16-mixed",
    "trainer.gradient_clip_val=steep": "a number",
    "trainer.gradient_clip_algorithm=shears": "norm",
    "trainer.profiler=sundial": "simple",
    "trainer.max_time=soon": "DD:HH:MM:SS",
    "trainer.max_steps=few": "whole number",
    "trainer.min_epochs=few": "whole number",
    "trainer.accumulate_grad_batches=0": "1",
    "trainer.check_val_every_n_epoch=0": "1",
    "trainer.overfit_batches=2": "0",
    "deterministic=maybe": "true",
    "trainer.detect_anomaly=maybe": "true",
    "trainer.inference_mode=maybe": "true",
}


@pytest.mark.parametrize("override", BAD)
def test_a_bad_value_is_told_before_training(config, tmp_path, monkeypatch, override):
    key, value = override.replace("[surprise]", "['surprise']").split("=")
    message = refusal(changed(config, override), tmp_path / "run", monkeypatch)
    name = key.split(".")[-1]
    shown = {"null": "None", "true": "True", "false": "False"}.get(value, value.strip("'"))
    assert name in message, "the key is not named"
    assert shown in message or value in message or shown == "1e3", "the value is not shown"
    assert BAD[override] in message, "what is allowed is not told"
    assert not (tmp_path / "run" / "checkpoints").exists()


@pytest.mark.parametrize("limit", ["limit_train_batches", "limit_val_batches"])
def test_a_fraction_of_less_than_one_batch(config, tmp_path, limit):
    """Lightning knows only when it has seen the loaders; no parameter has changed by then."""
    bad = changed(config, f"trainer.{limit}=0.0001")
    validate_run(bad)
    with pytest.raises(ValueError, match="trainer") as error:
        train_run(bad, tmp_path)
    assert limit in str(error.value) and "0.0001" in str(error.value)


def test_all_bad_values_at_once(config):
    with pytest.raises(ValueError) as error:
        validate_run(changed(config, "seed=-1", "model.channels=0", "ties=lucky", "optimizer.lr=0"))
    message = str(error.value)
    for wrong in ("seed=-1", "model.channels=0", "ties='lucky'", "optimizer.lr=0"):
        assert f"{wrong}: expected" in message
    assert "patience" not in message


def test_good_values(config):
    validate_run(config)
    validate_run(
        changed(
            config,
            "dataset.valid=7d",
            "dataset.mirror=/data",
            "optimizer.lr=1",
            "optimizer.weight_decay=0",
            "optimizer.lr_gamma=1.0",
            "trainer.limit_train_batches=1.0",
            "trainer.limit_val_batches=3",
            "checkpoint=runs/one",
            "seed=4294967295",
        )
    )
    validate_run(changed(config, "warm_start=runs/one", "new_items=init"))
    for metric in monitored():
        validate_run(changed(config, f"monitor={metric}"))


@pytest.mark.parametrize("name", ["train", "evaluate", "recommend", "prepare"])
def test_a_script_checks_before_it_does_anything(name, tmp_path, monkeypatch):
    """Not the check alone: each script calls it, tells the message and ends with status 1."""
    monkeypatch.chdir(tmp_path)
    main, override, allowed = {
        "train": (train.main, "ties=lucky", "conservative, median, standard"),
        "evaluate": (evaluate.main, "split=dev", "train, valid, trainval, test"),
        "recommend": (recommend.main, "k=0", "a whole number >= 1"),
        "prepare": (prepare.main, "dataset.valid=2", "a fraction between 0.0 and 1.0"),
    }[name]
    arguments = {"evaluate": ["checkpoint=x"], "recommend": ["checkpoint=x", "items=[1]"]}
    result = run(main, f"srgnn-{name}", *arguments.get(name, []), override)
    key, value = override.split("=")
    assert result.status == 1
    printed = result.out + result.err
    assert f"srgnn-{name}: " in printed and "Traceback" not in printed
    assert key in printed and value in printed and allowed in printed
    assert not (tmp_path / "datasets").exists()


@pytest.mark.parametrize(
    "override",
    [
        *("items=17", "items=[1.5]", "items=[[1]]", "items=null", "k=1.5", "k=null"),
        *("allow=3", "deny=[1.5]", "exclude_seen=2", "attributes=3", "diversify=1", "where=[a]"),
        *("boost={category: {sale: -1}}", "max_per={category: 0}", "where={price: {top: 3}}"),
    ],
)
def test_bad_values_of_recommend(override):
    config = OmegaConf.load(CONF / "recommend.yaml")
    with pytest.raises(ValueError, match=override.split("=")[0]):
        recommend.validate(changed(config, "checkpoint=run", "items=[1]", override))


@pytest.mark.parametrize(
    "override",
    [
        "baselines=[knn]",
        "baselines=popularity",
        "baselines=[[1]]",
        "batch_size=0",
        "ties=x",
        "metrics=[hr]",
    ],
)
def test_bad_values_of_evaluate(override):
    config = changed(OmegaConf.load(CONF / "evaluate.yaml"), "checkpoint=run")
    evaluate.validate(config)
    with pytest.raises(ValueError, match=override.split("=")[0]):
        evaluate.validate(changed(config, override))


@pytest.mark.parametrize("key", ["foo", "model.foo", "trainer.foo", "dataset.foo", "optimizer.foo"])
def test_an_unknown_key(key):
    result = run(train.main, "srgnn-train", f"{key}=1")
    assert result.status == 1
    assert key in result.err and "Traceback" not in result.err


def test_an_unknown_choice_of_a_group():
    result = run(train.main, "srgnn-train", "dataset=movielens")
    assert result.status == 1 and "Traceback" not in result.err
    assert "there is no dataset=movielens; expected one of" in result.err
    for name in ("synthetic", "diginetica", "yoochoose1_64"):
        assert name in result.err


@pytest.mark.parametrize("model", ["markov", "mixture"])
def test_what_changes_a_training_is_refused_where_there_is_none(model, tmp_path):
    members = ["model.members=[a]", "refit=only"] if model == "mixture" else []
    keys = ["distil=a", "warm_start=a", "average=0.9", "drop_items=0.1", "crop=0.1"]
    keys += ["r_drop=1", "contrast=1"]
    validate_run(tiny_config(tmp_path, f"model={model}", *members))
    with pytest.raises(ValueError) as error:
        validate_run(tiny_config(tmp_path, f"model={model}", *members, *keys))
    for key in keys:
        assert f"{key.partition('=')[0]}=" in str(error.value)
    assert str(error.value).count(f"with model={model}, which is not trained") == len(keys)


def test_weights_of_targets_do_not_go_with_the_binary_loss(root):
    log = tiny_config(root, "model=srgnn_plain", "model.loss=binary")
    log.dataset = {**log.dataset, "events": {"view": 2, "cart": 2}}
    validate_run(log)
    log.dataset.events.cart = 3
    with pytest.raises(ValueError, match=r"dataset\.events=.*equal weights"):
        validate_run(log)


def test_settings_of_a_baseline_are_checked(config):
    config = changed(config)
    config.model = {"name": "stan", "lambda1": 0, "age": "days"}
    with pytest.raises(ValueError, match=r"model\.lambda1=0: expected a number > 0\n  model\.age="):
        validate_run(config)


def test_metrics_that_a_run_cannot_have(config):
    config = changed(config, "metrics=[gini,diversity]")
    validate_run(config)
    with pytest.raises(ValueError, match=r"metrics.*: expected empty with protocol=literature"):
        validate_run(changed(config, "protocol=literature"))
    config.model = {"name": "popularity"}
    with pytest.raises(ValueError, match=r"metrics.*without diversity, as model=popularity"):
        validate_run(config)
    validate_run(changed(config, "metrics=[gini]"))
    validate_run(changed(config, "attributes=items.csv", "diversity_by=category"))
    with pytest.raises(ValueError, match=r"diversity_by.*: expected a column of attributes=FILE"):
        validate_run(changed(config, "diversity_by=category"))


class Toy(SessionModel):
    """A model with an argument that nothing outside of it has heard of."""

    def __init__(self, num_items: int, wheels: int = 4) -> None:
        with checking(self) as check:
            check.whole("wheels", wheels, 3, 8)
        super().__init__(num_items)


def test_a_new_key_of_a_model_is_checked_by_its_constructor_alone(config, monkeypatch):
    monkeypatch.setitem(MODELS, "toy", Toy)
    config = changed(config)
    config.model = {"name": "toy", "wheels": 4}
    validate_run(config)
    config.model.wheels = 2
    with pytest.raises(ValueError, match=r"model\.wheels=2: expected a whole number from 3 to 8"):
        validate_run(config)


# Lightning's Trainer.


def test_the_keys_of_the_trainer_are_lightnings_arguments():
    """But for those that a run sets, and with Lightning's defaults unless we chose others."""
    arguments = inspect.signature(lightning.Trainer).parameters
    keys = OmegaConf.to_container(OmegaConf.load(CONF / "trainer" / "default.yaml"))
    assert keys.keys() <= arguments.keys()
    run = {"callbacks", "logger", "plugins", "default_root_dir", "deterministic"}
    assert not keys.keys() & run
    # Lightning makes something of None.
    defaults = {name: arguments[name].default for name in keys}
    chosen = {name for name in keys if keys[name] != defaults[name] is not None}
    assert chosen == {"devices", "use_distributed_sampler"}
