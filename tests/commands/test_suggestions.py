"""A typo in a key or a choice: what was meant is said, without a traceback."""

from __future__ import annotations

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from pyg_srgnn.commands import evaluate, prepare, recommend, train
from pyg_srgnn.commands.application import CONF
from pyg_srgnn.commands.suggestions import check_keys, known_keys, nearest
from tests.commands import run
from tests.tiny import tiny_config

TYPOS = {
    "model.chanels=3": "there is no key model.chanels; did you mean model.channels?",
    "optimiser.lr=1": "there is no key optimiser.lr; did you mean optimizer.lr?",
    "lr=0.1": "there is no key lr; did you mean optimizer.lr?",
    "patienc=2": "did you mean patience?",
    "~model.chanels": "did you mean model.channels?",
    "+model.chanels=3": "there is no key model.chanels; did you mean model.channels?",
    "+sead=3": "there is no key sead; did you mean seed or dataset.seed?",
    "hydra.run.dri=x": "did you mean hydra.run.dir?",
    "dataset=diginetika": "there is no dataset=diginetika; did you mean dataset=diginetica",
    "model=srgn": "there is no model=srgn; did you mean model=srgnn",
    "experiment=autors": "there is no experiment=autors; did you mean experiment=authors?",
    "zebra.stripes=3": "there is no key zebra.stripes; srgnn-train --help lists what there is",
}


@pytest.mark.parametrize("typo", TYPOS)
def test_a_typo(typo: str, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(train.main, "srgnn-train", typo)
    printed = result.out + result.err
    assert result.status == 1 and TYPOS[typo] in printed
    assert "Traceback" not in printed
    assert not (tmp_path / "datasets").exists()


def test_a_typo_of_a_sweep(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(train.main, "srgnn-train", "-m", "model.num_stepz=1,2")
    assert result.status == 1 and "did you mean model.num_steps?" in result.err
    assert "Traceback" not in result.out + result.err


def test_the_keys_are_those_of_the_choices_made() -> None:
    """STAN has k neighbours and no channels."""
    result = run(train.main, "srgnn-train", "model=stan", "model.kk=3")
    assert "did you mean model.k?" in result.err
    result = run(train.main, "srgnn-train", "model=stan", "model.channels=3")
    assert "there is no key model.channels" in result.err
    assert "did you mean model.channels" not in result.err


@pytest.mark.parametrize(
    ("script", "typo", "meant"),
    [
        ("evaluate", "spilt=valid", "split"),
        ("recommend", "itmes=[1]", "items"),
        ("prepare", "dataset.rot=x", "dataset.root"),
    ],
)
def test_every_script(script: str, typo: str, meant: str) -> None:
    main = {"evaluate": evaluate, "recommend": recommend, "prepare": prepare}[script].main
    result = run(main, f"srgnn-{script}", typo)
    assert result.status == 1 and f"did you mean {meant}?" in result.err
    assert f"srgnn-{script}: " in result.err and "Traceback" not in result.err


def test_no_suggestion_where_hydra_says_something_else() -> None:
    result = run(train.main, "srgnn-train", "model.channels==3=")
    assert result.status == 1 and "did you mean" not in result.err


def test_nearest() -> None:
    keys = ["seed", "batch_size", "optimizer", "optimizer.lr", "optimizer.lr_step", "dataset.seed"]
    assert nearest("optimizer.ler", keys) == ["optimizer.lr"]
    assert nearest("batchsize", keys) == ["batch_size"]
    assert nearest("sed", keys) == ["seed", "dataset.seed"]  # the plainer one first
    assert nearest("model.seed", keys)[0] in ("seed", "dataset.seed")
    assert nearest("zebra", keys) == [] and nearest("seed", []) == []
    many = [f"key{number}" for number in range(9)]
    assert nearest("key", many, count=2) == ["key0", "key1"]


def test_all_keys_of_a_configuration_that_is_composed(tmp_path) -> None:
    for model in ("srgnn_plain", "gru4rec", "stan"):
        check_keys(tiny_config(tmp_path, f"model={model}"), CONF, "train")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        log = compose("train", ["dataset=click_log", "+dataset.where.event=view"])
    check_keys(log, CONF, "train")  # a dictionary of the user's
    assert "model.k" in known_keys(CONF, "train", ["model=stan"])
    assert "model.k" not in known_keys(CONF, "train", ["model=no_such", "model=srgnn"])


def test_keys_that_are_missing_or_no_longer_there(tmp_path) -> None:
    config = tiny_config(tmp_path)
    OmegaConf.set_struct(config, False)
    config.trainer.deterministic = None  # an old key that did nothing
    check_keys(config, CONF, "train")
    config.trainer.deterministic = True
    del config.model.channels, config.patience
    with pytest.raises(ValueError) as error:
        check_keys(config, CONF, "train")
    said = str(error.value)
    assert "there is no key trainer.deterministic; did you mean deterministic?" in said
    assert "model.channels is missing; +model.channels=VALUE adds it" in said
    assert "patience is missing" in said and "model is missing" not in said
