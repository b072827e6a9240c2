"""Datasets, models and baselines of another package: that of docs/packages.md."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from pyg_srgnn import Recommender, SRGNNRecommender
from pyg_srgnn.baselines import BASELINES
from pyg_srgnn.checkpoint import Checkpoint
from pyg_srgnn.commands import evaluate, export, prepare, recommend, train
from pyg_srgnn.commands.validate import validate_run
from pyg_srgnn.datasets import DATASETS, open_dataset
from pyg_srgnn.nn import MODELS, build_model
from pyg_srgnn.utils import packages
from tests import acme
from tests.commands import Result, run
from tests.estimator.logs import clicks as click_frame
from tests.tiny import tiny_config

KEYS = ["dataset=shop", "trainer.max_epochs=1", "trainer.accelerator=cpu"]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package is installed, and the working directory empty."""
    for name in [name for name in sys.modules if name.split(".")[0] == "acme"]:
        monkeypatch.delitem(sys.modules, name)
    site, here = tmp_path / "site", tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.syspath_prepend(str(acme.install(site)))
    return site


def entry_point(site: Path, old: str, new: str) -> None:
    """Change the entry points of the package."""
    (file,) = site.glob("*.dist-info/entry_points.txt")
    file.write_text(file.read_text().replace(old, new))


@pytest.mark.slow
def test_every_command_of_the_page(tmp_path: Path) -> None:
    """In processes of their own, in which nothing but the package on the path is prepared."""
    site = acme.install(tmp_path / "site")
    path = os.pathsep.join([str(site), str(Path(__file__).parents[2])])
    (block,) = re.findall(r"```\n(pip .*?)```", acme.PAGE.read_text(), re.DOTALL)
    scripts = [line for line in block.splitlines() if line.startswith("srgnn-")]
    assert len(scripts) == 5
    said = ""
    for script in [*scripts, "srgnn-prepare dataset=shop", "srgnn-train --help"]:
        name, _, keys = script.removeprefix("srgnn-").partition(" ")
        done = subprocess.run(
            f"{sys.executable} -m pyg_srgnn.commands.{name} {keys}",
            shell=True, cwd=tmp_path, capture_output=True, text=True,
            env=os.environ | {"PYTHONPATH": path},
        )  # fmt: skip
        assert done.returncode == 0, script + done.stdout + done.stderr
        said += done.stdout
    assert re.search(r"^ *mine +\d+\.\d", said, re.MULTILINE)  # the rows of a table
    assert re.search(r"^ *recent +\d+\.\d", said, re.MULTILINE)
    assert re.search(r"^dataset: .*\bshop\b", said, re.MULTILINE)
    assert len(list(tmp_path.glob("runs/sweeps/*/*/metrics.json"))) == 2


def train_tiny(*keys: str) -> Result:
    done = run(train.main, "srgnn-train", *KEYS, "baselines=[]", *keys)
    assert done.status == 0, done.err
    return done


@pytest.mark.slow
def test_a_run_is_repeated_resumed_and_opened(package: Path) -> None:
    train_tiny(
        "model=mine", "model.channels=4", "baselines=[popularity,recent]", "hydra.run.dir=one"
    )
    config = ["--config-path", "one", "--config-name", "config", "hydra.run.dir=two"]
    done = run(train.main, "srgnn-train", *config)
    assert done.status == 0, done.err
    assert OmegaConf.load("two/config.yaml").model.channels == 4
    assert (
        "finished"
        in train_tiny(
            *(
                "model=mine",
                "model.channels=4",
                "baselines=[popularity,recent]",
                "hydra.run.dir=one",
            )
        ).out
    )
    kept = [path.name for path in Path("datasets/shop/baselines").iterdir()]
    assert len(kept) == 1 and kept[0].startswith("popularity-"), "its code is not in the key"
    recommender = Recommender.load("one")
    recommender.save("folder")
    assert Recommender.load("folder").recommend([["hat"]]) == recommender.recommend([["hat"]])


@pytest.mark.slow
def test_what_can_be_exported(package: Path) -> None:
    train_tiny("model=mine", "hydra.run.dir=one")
    keys = ["output=export", "format=torch_export"]
    done = run(export.main, "srgnn-export", "checkpoint=one", *keys)
    assert done.status == 1 and "the class MeanOfClicks cannot be exported" in done.out
    entry_point(package, "acme.models:MeanOfClicks", "pyg_srgnn.nn:GRU4Rec")
    train_tiny("model=mine", "model.channels=4", "hydra.run.dir=two")
    done = run(export.main, "srgnn-export", "checkpoint=two", *keys)
    assert done.status == 0, done.err
    assert len(Recommender.load("export").recommend([["hat"]])[0]) == 3


@pytest.mark.slow
def test_a_package_that_is_no_longer_there(package: Path) -> None:
    train_tiny("model=mine", "hydra.run.dir=one")
    entry_point(package, "mine = ", "other = ")
    missing = (
        "best.ckpt: the model 'mine' is of a package that is not installed, or has no entry point "
        "pyg_srgnn.models"
    )
    with pytest.raises(ValueError, match=missing):
        Checkpoint.load("one")
    for main, *keys in (
        (evaluate.main, "checkpoint=one"),
        (recommend.main, "checkpoint=one", "items=[hat]"),
    ):
        done = run(main, "srgnn-any", *keys)
        assert done.status == 1 and missing in done.out and "is not a checkpoint" not in done.out
    done = run(train.main, "srgnn-train", *KEYS, "model=mine")
    assert (
        done.status == 1 and "model.name='mine': expected one of srgnn, gru4rec, other" in done.out
    )
    entry_point(package, "other = ", "mine = ")
    entry_point(package, "shop = ", "mall = ")
    done = run(evaluate.main, "srgnn-evaluate", "checkpoint=one")
    assert done.status == 1
    assert re.search(
        r"nowplaying_raw, mall \(got 'shop'\); .* entry point pyg_srgnn.data", done.out
    )


@pytest.mark.parametrize(
    ("at", "why"),
    [
        ("acme.nowhere:Mine", r"ModuleNotFoundError: No module named 'acme.nowhere'"),
        ("acme.models:Mine", "AttributeError: .*'Mine'"),
        ("acme.models:__name__", "TypeError: acme.models:__name__ is no class"),
    ],
)
def test_a_broken_entry_point(package: Path, at: str, why: str) -> None:
    entry_point(package, "acme.models:MeanOfClicks", at)
    said = f"the model 'mine' is {at} of the package acme 1.0, which cannot be loaded .{why}"
    with pytest.raises(packages.PackageError, match=said):
        build_model({"name": "mine", "num_items": 3})
    done = run(train.main, "srgnn-train", *KEYS, "model=mine")
    assert done.status == 1 and re.search(said, done.out)


def test_a_name_in_two_packages(package: Path, tmp_path: Path) -> None:
    other = package / "acme2-1.0.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: rival\nVersion: 2.0\n")
    (other / "entry_points.txt").write_text("[pyg_srgnn.models]\nmine = acme.models:MeanOfClicks\n")
    with pytest.raises(packages.PackageError, match=r"in several packages, acme 1.0, rival 2.0;"):
        MODELS["mine"]


def test_names_of_this_package_come_first(package: Path) -> None:
    entry_point(package, "mine = ", "srgnn = ")
    entry_point(package, "recent = ", "stan = ")
    assert MODELS["srgnn"].__module__ == "pyg_srgnn.nn.srgnn" and "srgnn" not in BASELINES
    assert BASELINES["stan"].__module__ == "pyg_srgnn.baselines.stan" and "stan" not in MODELS


def test_a_mistyped_option_of_a_package(package: Path) -> None:
    done = run(train.main, "srgnn-train", "dataset=shop", "model=mina")
    assert done.status == 1 and "did you mean model=mine" in done.err
    done = run(prepare.main, "srgnn-prepare", "dataset=shpo")
    assert done.status == 1 and "did you mean dataset=shop" in done.err
    done = run(train.main, "srgnn-train", "dataset=shop", "model=mine", "model.scael=3")
    assert done.status == 1 and "did you mean model.scale" in done.err


@pytest.mark.slow
def test_the_estimator(package: Path) -> None:
    settings = {"model.channels": 4, "trainer.accelerator": "cpu"}
    model = SRGNNRecommender(model="mine", epochs=1, settings=settings).fit(click_frame())
    best = model.recommend(click_frame(sessions=5))
    loaded = SRGNNRecommender.load(model.save("folder"))
    assert loaded.recommend(click_frame(sessions=5)).equals(best)
    assert json.loads(Path("folder/config.json").read_text())["model"]["name"] == "mine"


def test_who_uses_no_other_package_does_not_wait_for_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def looked_up(**_: str) -> None:
        raise AssertionError("installed packages are looked up")

    monkeypatch.setattr(packages, "entry_points", looked_up)
    monkeypatch.chdir(tmp_path)
    for keys in (["model=srgnn"], ["model=stan", "dataset.num_items=50"]):
        config = tiny_config(tmp_path, *keys)
        validate_run(config)
        open_dataset(config.dataset, "test")
        done = run(train.main, "srgnn-train", *keys, "--cfg", "job")
        assert done.status == 0, done.err
    with pytest.raises(AssertionError, match="are looked up"):
        "another" in DATASETS  # noqa: B015
