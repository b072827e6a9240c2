"""A typo in a key or a choice: what was meant is said, without a traceback."""

from __future__ import annotations

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from pyg_srgnn.commands import train
from pyg_srgnn.commands.application import CONF
from pyg_srgnn.commands.suggestions import check_keys, known_keys, nearest
from tests.commands import run
from tests.commands.test_help import SCRIPTS
from tests.tiny import tiny_config

# A command line, and how its one line of an answer goes on.
TYPOS = {
    "model.chanels=3": "there is no key model.chanels; did you mean model.channels?",
    "optimiser.lr=1": "there is no key optimiser.lr; did you mean optimizer.lr?",
    "lr=0.1": "there is no key lr; did you mean optimizer.lr?",
    "patienc=2": "there is no key patienc; did you mean patience?",
    "~model.chanels": "there is no key model.chanels; did you mean model.channels?",
    "~modle": "there is no key modle; did you mean model?",
    "+seed=3": "seed is there already; it is set without +, by seed=VALUE",
    "+experiment=authors": "experiment is there already; it is set without +, by experiment=VALUE",
    "+model.chanels=3": "there is no key model.chanels; did you mean model.channels?",
    "+sead=3": "there is no key sead; did you mean seed or dataset.seed?",
    "hydra.run.dri=x": "there is no key hydra.run.dri; did you mean hydra.run.dir? "
    "(srgnn-train --cfg hydra lists what there is)",
    "hydra/launcher=joblib hydra.launcher.n_jbs=2": "there is no key hydra.launcher.n_jbs; "
    "did you mean hydra.launcher.n_jobs?",
    "hydra/launcher=jobli": "there is no hydra/launcher=jobli; did you mean hydra/launcher=joblib?",
    "dataset=diginetika": "there is no dataset=diginetika; did you mean dataset=diginetica",
    "model=srgn": "there is no model=srgn; did you mean model=srgnn",
    "experiment=autors": "there is no experiment=autors; did you mean experiment=authors?",
    "-m search=srgn": "there is no search=srgn; did you mean search=srgnn?",
    "-m search=item_knn model=stan": "search=item_knn varies model.shrinkage, model.neighbours, "
    "which model=stan does not have; use search=stan",
    "-m search=sequential_rules model=markov": "search=sequential_rules varies model.window, which "
    "model=markov does not have; there is no search for this model",
    "-m search=srgnn_plain model=srgnn,gru4rec": "search=srgnn_plain varies model.num_steps, "
    "model.reset_after, which model=gru4rec does not have; use search=gru4rec",
    "-m model=stan,srgn": "model=srgn: there is no model=srgn; did you mean model=srgnn?",
    "-m model=srgnn,stan model.channels=3": "model=stan: there is no key model.channels; "
    "srgnn-train --help lists what there is",
    "-m model.num_stepz=1,2": "there is no key model.num_stepz; did you mean model.num_steps?",
    "-m +model.chanels=1,2": "there is no key model.chanels; did you mean model.channels?",
    "-m hydra/sweeper=optuna optimizer.lr=interval(1,2) sed=3": "there is no key sed; "
    "did you mean seed",
    "zebra.stripes=3": "there is no key zebra.stripes; srgnn-train --help lists what there is",
    "seed= 3": "3: a key is set by key=value, without blanks; did you mean seed=3?",
    "seed =3": "seed: a key is set by key=value, without blanks; did you mean seed=3?",
    "seed = 3": "seed: a key is set by key=value, without blanks; did you mean seed=3?",
    "seed 3": "seed: a key is set by key=value, without blanks; did you mean seed=3?",
    "test=false seed": "seed: a key is set by key=value, without blanks; did you mean seed=VALUE?",
    "model.channels=[1": "model.channels=[1 cannot be read: ",
    "-m model.scale=choice(null,12)": "model.scale=choice(null,12) cannot be read: Error parsing "
    "override 'model.scale=choice(null,12)' TypeError while evaluating 'choice(null,12)': ",
    "seed=1,2": "seed=1,2: several values are a sweep, which -m starts; a list is written as "
    "seed=[1,2]",
    "--seed=3": "there is no option --seed=3; a key is set without dashes: seed=3",
    "--seed 3": "there is no option --seed; a key is set without dashes: seed=VALUE",
    "-m --cfg job": "Only one of --run, --multirun, --cfg, --info and --shell_completion can be",
    "--cfg job lr=3": "there is no key lr; did you mean optimizer.lr?",
}


@pytest.mark.slow
@pytest.mark.parametrize("typo", TYPOS)
def test_a_typo(typo: str, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(train.main, "srgnn-train", *typo.split())
    assert result.status == 1 and result.out == ""
    (line,) = result.err.splitlines()
    assert line.startswith(f"srgnn-train: {TYPOS[typo]}")
    assert not list(tmp_path.iterdir()), "a refused command leaves nothing behind"


@pytest.mark.parametrize(
    "typed",
    ["seed=1 --cfg job test=false", "--cfg job seed=1 test=false", "seed=1 test=false --cfg job"],
)
def test_options_may_stand_anywhere(typed: str) -> None:
    result = run(train.main, "srgnn-train", *typed.split())
    assert result.status == 0 and "seed: 1\n" in result.out and "test: false\n" in result.out


def test_several_typos_that_hydra_would_take() -> None:
    result = run(train.main, "srgnn-train", "+model.chanels=3", "+sead=1")
    assert result.status == 1 and "Hydra" not in result.err
    assert [line.strip()[:28] for line in result.err.splitlines()] == [
        "srgnn-train: the configurati",
        "there is no key model.chanel",
        "there is no key sead; did yo",
    ]


def test_hydras_own_error_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(ValueError, match="there is no key lr; ") as told:
        run(train.main, "srgnn-train", "lr=1")
    assert "Could not override 'lr'" in str(told.value.__cause__)


def test_a_folder_of_ones_own(tmp_path) -> None:
    """Its choices are there, and are known where there is a typo."""
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("# @package _global_\nseed: 31\n")
    own = ("--config-dir", str(tmp_path), "--cfg", "job", "experiment=mine")
    result = run(train.main, "srgnn-train", *own)
    assert result.status == 0 and "seed: 31" in result.out
    result = run(train.main, "srgnn-train", *own, "lr=1")
    assert result.status == 1 and "did you mean optimizer.lr?" in result.err
    result = run(train.main, "srgnn-train", *own[:-1], "experiment=mien")
    assert "did you mean experiment=mine?" in result.err


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
        ("serve", "prot=1", "port"),
        ("export", "formt=onnx", "format"),
    ],
)
def test_every_script(script: str, typo: str, meant: str) -> None:
    result = run(SCRIPTS[script].main, f"srgnn-{script}", typo)
    assert (result.status, result.err) == (
        1,
        f"srgnn-{script}: there is no key {typo.partition('=')[0]}; did you mean {meant}? "
        f"(srgnn-{script} --help lists what there is)\n",
    )


def test_nearest() -> None:
    keys = ["seed", "batch_size", "optimizer", "optimizer.lr", "optimizer.lr_step", "dataset.seed"]
    assert nearest("optimizer.ler", keys) == ["optimizer.lr"]
    assert nearest("batchsize", keys) == ["batch_size"]
    assert nearest("sed", keys) == ["seed", "dataset.seed"]  # the plainer one first
    assert nearest("model.seed", keys)[0] in ("seed", "dataset.seed")
    assert nearest("zebra", keys) == [] and nearest("seed", []) == []
    many = [f"key{number}" for number in range(9)]
    assert nearest("key", many) == ["key0", "key1", "key2"]


@pytest.mark.slow
def test_all_keys_of_a_configuration_that_is_composed(tmp_path) -> None:
    for model in ("srgnn_plain", "gru4rec", "stan"):
        check_keys(tiny_config(tmp_path, f"model={model}"), CONF, "train")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        log = compose("train", ["dataset=click_log", "+dataset.where.event=view"])
    check_keys(log, CONF, "train")  # a dictionary of the user's
    assert "model.k" in known_keys(CONF, "train", ["model=stan"])
    assert "model.k" not in known_keys(CONF, "train", ["model=srgnn"])


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
