"""The runs of the study: each is one that srgnn-train takes; what is kept of it is its own."""

from __future__ import annotations

import inspect
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from pyg_srgnn.baselines import BASELINES
from pyg_srgnn.commands.application import CONF
from pyg_srgnn.commands.validate import validate_run
from pyg_srgnn.nn import SRGNN
from pyg_srgnn.nn.session_model import SessionModel
from pyg_srgnn.runs.directory import flat
from pyg_srgnn.runs.finished import Run
from study import item_text_jobs
from study import jobs as module
from study.configurations import read_configurations
from study.jobs import Job, jobs, run_missing, waves, with_needed

STUDY = Path(__file__).parents[2] / "study"
RUNS, TEXTS = STUDY / "runs", STUDY / "item_text"
HERE = ("dataset.root", "dataset.mirror", "trainer.enable_progress_bar", "threads")
OF_CLASS = {
    name: parameter.default
    for of in (SessionModel, SRGNN)
    for name, parameter in inspect.signature(of).parameters.items()
    if name not in ("events", "earlier", "text_neighbours", "text_expert")  # the data decide
}
COUNTED = ("dataset.", "model.", "protocol", "refit", "test", "ties")  # what counting depends on


@pytest.mark.slow
@pytest.mark.parametrize("every", [[*jobs()], [*item_text_jobs.jobs()]], ids=["study", "item_text"])
def test_every_run_of_the_study_is_a_configuration(every: list[Job]) -> None:
    paths = [job.path for job in every]
    assert len(set(paths)) == len(paths)
    seen = set()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        for job in every:
            config = compose("train", job.command())
            validate_run(config)
            if job.label.startswith(("ablation/", "screen/", "full/")):
                assert config.test is False  # nothing is chosen on the test set
            seen.add(OmegaConf.to_yaml(config))
    assert len(seen) == len(paths)  # no two are the same run


def test_an_ensemble_comes_after_its_members(tmp_path: Path) -> None:
    every = [job for job in jobs() if job.dataset == "tmall"]
    missing = [job for job in every if job.path == "tmall/distilled/1"]
    needed = {"ensemble/1", "srgnn/1", "srgnn/2", "gru4rec/1", "distilled/1"}
    (tmp_path / "tmall/gru4rec/1/checkpoints").mkdir(parents=True)
    assert {job.path for job in with_needed(missing, every, tmp_path)} == {
        f"tmall/{path}" for path in needed
    }
    (tmp_path / "tmall/gru4rec/1/checkpoints/refit.ckpt").touch()
    found = [[job.path for job in wave] for wave in waves(with_needed(missing, every, tmp_path))]
    members = ["tmall/srgnn/1", "tmall/srgnn/2"]
    assert found == [members, ["tmall/ensemble/1"], ["tmall/distilled/1"]]


def test_a_run_again_for_its_checkpoint_leaves_its_record_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[str] = []
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "keep", lambda folder, *_: kept.append(folder.parent.name))
    monkeypatch.setattr(module.subprocess, "run", lambda *_, **__: CompletedProcess([], 0))
    records = tmp_path / "study" / "runs"
    (records / "tmall/srgnn/0").mkdir(parents=True)
    assert run_missing([*jobs()], records, "", ["--only=tmall/ensemble/0"]) == 0
    assert sorted(kept) == ["ensemble", "gru4rec", "srgnn"]  # of srgnn, seed 1


def test_runs_with_texts_come_in_the_same_order_each_time() -> None:
    labels = [job.label for job in item_text_jobs.jobs()]
    others = [label for label in item_text_jobs.MODELS if label not in ("ids", "mixture")]
    assert labels[-len(others) :] == others


@pytest.mark.slow
def test_a_kept_runs_command_makes_its_configuration() -> None:
    """When a default changes, records of the old one must not be shown under the new command.

    What a model that only counts never reads is not held against them. A key of the model that came
    later must have the value of the model's class, which is what they were made with.
    """
    forms = ("*", "*/ablation", "*/screen", "*/full")
    folders = [path for form in forms for path in RUNS.glob(form)]
    runs = [found.runs[0] for folder in folders for found in read_configurations(folder)]
    runs += [Run.read(path.parent) for path in TEXTS.glob("*/*/*/metrics.json")]
    compared = 0
    with initialize_config_dir(str(CONF), version_base="1.3"):
        for run in runs:
            model = run.result.model
            command = [*run.overrides, f"seed={run.result.seed}"]
            config = OmegaConf.to_container(compose("train", command), resolve=True)
            composed = flat(config)
            for key, value in run.config.items():
                if key in HERE or (model in BASELINES and not key.startswith(COUNTED)):
                    continue
                assert composed.get(key) == value, f"{run.folder}: {key}"
                compared += 1
            for key in composed.keys() - run.config.keys():
                group, _, name = key.partition(".")
                if model == "srgnn" and group == "model" and name in OF_CLASS:
                    assert composed[key] == OF_CLASS[name], f"{run.folder}: {key}"
    assert compared > 100
