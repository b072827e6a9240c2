"""A mixture of trained runs: fitted on validation, tested, kept as one model."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
import torch

from pyg_srgnn import Recommender
from pyg_srgnn.checkpoint import Checkpoint
from pyg_srgnn.commands import evaluate, recommend
from pyg_srgnn.commands import export as exporting
from pyg_srgnn.commands import train as command
from pyg_srgnn.commands.validate import validate_run
from pyg_srgnn.data import SessionLoader
from pyg_srgnn.datasets import open_dataset
from pyg_srgnn.evaluation.rank_table import read_ranks
from pyg_srgnn.nn import SRGNN, ModelMixture
from pyg_srgnn.reports import run_summary
from pyg_srgnn.runs.result import RunResult
from pyg_srgnn.training import train
from pyg_srgnn.training.mixing import fit_weights
from tests.commands import run
from tests.nn.test_srgnn import batch_of
from tests.tiny import tiny_config, tiny_keys

pytestmark = pytest.mark.slow

Members = list[str]


@pytest.fixture(scope="module")
def members(finished: Callable[[str], Path]) -> Members:
    return [str(finished(model)) for model in ("srgnn", "gru4rec", "srgnn_plain")]


def of(members: Members) -> list[str]:
    return ["model=mixture", f"model.members=[{','.join(members)}]"]


@pytest.fixture(scope="module")
def mixed(
    members: Members, tiny_root: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, RunResult]:
    folder = tmp_path_factory.mktemp("runs") / "mixture"
    return folder, train(tiny_config(tiny_root, "baselines=[markov]", *of(members)), folder)


def test_the_result_names_the_members_and_their_weights(
    mixed: tuple[Path, RunResult], members: Members
) -> None:
    folder, result = mixed
    assert result == RunResult.read(folder) and result.model == "mixture"
    assert result.members is not None and list(result.members) == members
    kinds = [each["model"] for each in result.members.values()]
    assert kinds == ["srgnn", "gru4rec", "srgnn"]
    for name in ("new_weight", "own_weight", "gate_weight"):
        assert sum(each[name] for each in result.members.values()) == pytest.approx(1, abs=1e-3)
    assert result.parameters == sum(RunResult.read(run).parameters for run in members)
    summary = run_summary(result, "hr@20")
    assert f"- {members[1]} (model=gru4rec): " in summary
    assert read_ranks(folder / "ranks.parquet").height == result.samples["test"]


def test_the_weights_are_likelier_on_validation_than_equal_ones(
    mixed: tuple[Path, RunResult], tiny_root: Path
) -> None:
    model = Checkpoint.load(mixed[0]).model
    valid = open_dataset(tiny_config(tiny_root).dataset, "valid")
    batch = valid.batch(range(len(valid)))

    def likelihood(mixture: ModelMixture) -> float:
        return float(mixture.log_distribution(batch).gather(1, batch.y.unsqueeze(1)).sum())

    assert isinstance(model, ModelMixture)
    alike = ModelMixture(model.models)
    assert likelihood(model) > max(map(likelihood, [alike, *map(_alone, model.models)]))


def _alone(model: SRGNN) -> ModelMixture:
    return ModelMixture([model])


def test_a_checkpoint_recommends_and_is_evaluated_as_one_model(
    mixed: tuple[Path, RunResult], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, result = mixed
    recommender = Recommender.load(folder)
    ((best, score), *_) = recommender.recommend([[1, 2, 1]], k=3)[0]
    model = Checkpoint.load(folder).model
    batch = batch_of([recommender.vocabulary.encode([1, 2, 1])])
    expected = model.topk(batch, 1)
    assert recommender.vocabulary.encode([best]) == expected[1].flatten().tolist()
    assert score == pytest.approx(expected[0].item()) and score < 0
    origin = recommender.explain([1, 2, 1]).origins[0]
    assert origin.shares is not None and sum(origin.shares.values()) == pytest.approx(1)

    monkeypatch.chdir(tmp_path)
    told = [f"checkpoint={folder}", "baselines=[]", "hydra.run.dir=evaluated"]
    found = run(evaluate.main, "srgnn-evaluate", *told)
    assert found.status == 0, found.err
    assert f"{100 * result.test['hr@20']:.2f}" in found.out
    found = run(recommend.main, "srgnn-recommend", f"checkpoint={folder}", "items=[1,2]", "k=2")
    assert found.status == 0, found.err


def test_it_is_exported_with_a_card_that_names_its_members(
    mixed: tuple[Path, RunResult], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder, result = mixed
    found = run(exporting.main, "srgnn-export", f"checkpoint={folder}", "output=export")
    assert found.status == 0, found.err
    assert "  export/member_3/encoder.onnx\n" in found.out
    card = Path("export/model_card.md").read_text(encoding="utf-8")
    assert "A mixture, with weights fitted on validation:\n\n- run-srgnn (model=" in card
    assert f"{100 * result.test['hr@20']:.2f}" in card and "epoch" not in card
    wanted, exported = (
        Recommender.load(path).recommend([[1, 2]], 5) for path in (folder, "export")
    )
    assert [raw for raw, _ in exported[0]] == [raw for raw, _ in wanted[0]]


def test_what_takes_a_single_model_says_so(
    mixed: tuple[Path, RunResult], tiny_root: Path, tmp_path: Path
) -> None:
    config = tiny_config(tiny_root, f"warm_start={mixed[0]}")
    with pytest.raises(ValueError, match=r"warm_start=.* a mixture of 3 models, and warm_st"):
        train(config, tmp_path / "warm")


def test_a_refit_takes_the_weights_over(tiny_root: Path, tmp_path: Path, members: Members) -> None:
    refitted = tmp_path / "member"
    train(tiny_config(tiny_root, "refit=true", "test=false", "seed=1"), refitted)
    runs = [str(refitted), members[1]]
    config = tiny_config(tiny_root, "refit=true", "test=false", *of(runs))
    result = train(config, tmp_path / "mixture")
    assert result.members is not None and result.checkpoint == "checkpoints/refit.ckpt"
    assert [each["checkpoint"] for each in result.members.values()] == ["refit.ckpt", "best.ckpt"]
    chosen, last = (
        torch.load(tmp_path / "mixture" / "checkpoints" / name, weights_only=True)
        for name in ("best.ckpt", "refit.ckpt")
    )
    assert (chosen["split"], last["split"]) == ("train", "trainval")
    for name in ("new_weight", "own_weight", "gate_weight", "temperature"):
        key = f"model.{name}"
        assert torch.equal(chosen["state_dict"][key], last["state_dict"][key])
    for number, same in ((0, False), (1, True)):
        key = f"model.members.{number}.embedding.weight"
        assert torch.equal(chosen["state_dict"][key], last["state_dict"][key]) == same


def test_a_sample_of_the_validation_gives_nearly_the_same_weights(
    mixed: tuple[Path, RunResult], tiny_root: Path
) -> None:
    model = Checkpoint.load(mixed[0]).model
    assert isinstance(model, ModelMixture)
    valid = open_dataset(tiny_config(tiny_root).dataset, "valid")
    again = ModelMixture(model.models)
    fit_weights(again, SessionLoader(valid, 7))
    torch.testing.assert_close(again.new_weight, model.new_weight, rtol=0, atol=1e-4)
    torch.testing.assert_close(again.temperature, model.temperature)
    fit_weights(again, SessionLoader(valid[::2], 50))
    assert again.gate_weight.sum().item() == pytest.approx(1)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (["model.members=[]"], r"model\.members=\[\]: expected a list of runs, each one once"),
        (["model.members=[a,a]"], "expected a list of runs, each one once"),
        (["model.members=a"], "expected a list of runs, each one once"),
        (["model.members=[a]", "protocol=literature"], "protocol='literature': expected honest wi"),
        (["model.members=[a]", "distil=b"], "distil='b': expected null with model=mixture, which"),
        ([], r"model\.members: must be given"),
    ],
)
def test_wrong_keys_are_refused(tmp_path: Path, keys: list[str], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        validate_run(tiny_config(tmp_path, "model=mixture", *keys))


def test_without_validation_the_members_are_mixed_alike(
    tiny_root: Path, tmp_path: Path, members: Members
) -> None:
    only = tmp_path / "only"
    train(tiny_config(tiny_root, "refit=only", "test=false", "seed=1"), only)
    config = tiny_config(tiny_root, "refit=only", "baselines=[]", *of([str(only), members[1]]))
    result = train(config, tmp_path / "mixture")
    assert result.valid is None and result.test and result.checkpoint == "checkpoints/refit.ckpt"
    assert result.members is not None
    assert [each["checkpoint"] for each in result.members.values()] == ["refit.ckpt", "best.ckpt"]
    for each in result.members.values():
        assert [each[f"{name}_weight"] for name in ("new", "own", "gate")] == [0.5] * 3
        assert each["temperature"] == 1
    assert "A mixture, with equal weights:\n" in run_summary(result, "hr@20")
    saved = Checkpoint.load(tmp_path / "mixture")
    assert saved.split == "trainval"
    again = train(config, tmp_path / "mixture")
    assert again == result

    pupil = tiny_config(tiny_root, "refit=only", "test=false", f"distil={tmp_path / 'mixture'}")
    taught = train(pupil, tmp_path / "distilled").distil
    assert taught is not None and taught["model"] == "mixture"


def test_a_mixture_is_not_chosen_on_the_test_set(
    tiny_root: Path, tmp_path: Path, members: Members
) -> None:
    with pytest.raises(ValueError, match="'protocol' must be honest with model=mixture"):
        train(tiny_config(tiny_root, *of(members), "protocol=literature"), tmp_path / "run")


def test_a_member_that_is_named_in_two_ways(
    tiny_root: Path, tmp_path: Path, members: Members
) -> None:
    (tmp_path / "link").symlink_to(members[0])
    file = f"{members[0]}/checkpoints/best.ckpt"
    for number, again in enumerate((f"{members[0]}/", str(tmp_path / "link"), file)):
        config = tiny_config(tiny_root, *of([members[0], again]))
        with pytest.raises(ValueError, match=f"model.members={again}: another member is the same"):
            train(config, tmp_path / f"run-{number}")


def test_a_checkpoint_keeps_what_describes_the_texts_of_its_members(
    mixed: tuple[Path, RunResult], members: Members
) -> None:
    texts = [Checkpoint.load(run).text for run in members]
    assert texts[0] is not None
    assert Checkpoint.load(mixed[0]).member_texts == texts


def test_members_that_do_not_fit_are_refused(
    tiny_root: Path, tmp_path: Path, members: Members, finished: Callable[[str], Path]
) -> None:
    numbers = count()

    def refused(expected: str, member: object, *keys: str) -> None:
        config = tiny_config(tiny_root, *of([members[0], str(member)]), *keys)
        with pytest.raises(ValueError, match=f"model.members={member}: {expected}"):
            train(config, tmp_path / f"refused-{next(numbers)}")

    only, literature, other = (tmp_path / name for name in ("only", "literature", "other"))
    train(tiny_config(tiny_root, "refit=only", "test=false"), only)
    refused("it has no checkpoints/best.ckpt, a model that has not seen the validation", only)
    file = only / "checkpoints" / "refit.ckpt"
    refused(r"it was trained on [\d,]+ clicks \(split=trainval, dataset.valid=0.1\), and t", file)
    train(tiny_config(tiny_root, "protocol=literature", "baselines=[]"), literature)
    refused(r"it was chosen on the test set \(protocol=literature\)", literature)
    refused("model=stan has no weights; expected a trained one", finished("stan"))
    train(tiny_config(tiny_root, "dataset.num_sessions=200", "test=false"), other)
    refused("the data has changed since\n  training sessions: 200 there, 300 here", other)
    (other / "metrics.json").unlink()
    refused(f"{other} holds no finished run", other)
    with pytest.raises(ValueError, match=r"dataset.valid=0.1\), and this run has"):
        train(tiny_config(tiny_root, *of(members), "dataset.valid=0.2"), tmp_path / "valid")


def test_members_may_be_named(
    tiny_root: Path, tmp_path: Path, members: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for number, member in enumerate(members[:2]):
        folder = Path("runs", f"kind={number}")
        folder.mkdir(parents=True)
        shutil.copytree(member, folder / "run")
    keys = [*tiny_keys("model=mixture", "test=false"), f"dataset.root={tiny_root}"]
    told = ["model.members=['runs/kind=0',latest]", "hydra.run.dir=mixture"]
    found = run(command.main, "srgnn-train", *keys, *told)
    assert found.status == 0, found.err
    result = RunResult.read(Path("mixture"))
    assert result.members is not None and "runs/kind=0/run" in result.members
    assert "srgnn-train: model.members=runs/kind=0/run," in found.err
