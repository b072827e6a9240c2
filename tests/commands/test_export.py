"""srgnn-export, and srgnn-recommend on what it writes."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl
import pytest
import torch

from pyg_srgnn.checkpoint import describe_training
from pyg_srgnn.clicklog.spec import Preparation
from pyg_srgnn.commands import export, recommend
from pyg_srgnn.inference.card import front_matter
from pyg_srgnn.utils.files import sha256_of
from tests.commands import Result, run
from tests.export.exports import IDS, checkpoint
from tests.results import run_result


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run's directory, as far as an export reads it."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    (folder / "checkpoints").mkdir(parents=True)
    trained = checkpoint("transitions")
    training = describe_training(
        *(trained.settings, trained.vocabulary, trained.clicks, trained.dataset, "train"),
        protocol="honest",
        preparation=Preparation(gap="30m"),
    )
    weights = {f"model.{name}": tensor for name, tensor in trained.model.state_dict().items()}
    torch.save(
        {"epoch": 2, "state_dict": weights, **training}, folder / "checkpoints" / "best.ckpt"
    )
    run_result(
        seed=7,
        best_epoch=2,
        epochs=3,
        samples={"train": 12345, "test": 678},
        valid={"hr@20": 0.4321, "mrr@20": 0.1},
        test={"hr@20": 0.3987, "mrr@20": 0.2},
        baselines={"markov": {"test": {"hr@20": 0.2718, "mrr@20": 0.05}}},
    ).write(folder)
    days = pl.DataFrame({"day": [date(2024, 3, 11), date(2024, 3, 17), None]})
    days.write_parquet(folder / "ranks.parquet")
    return folder


@pytest.fixture(scope="module")
def exported(run_dir: Path) -> tuple[Path, Result]:
    folder = run_dir.with_name("export")
    result = run(export.main, "srgnn-export", f"checkpoint={run_dir}", f"output={folder}")
    assert result.status == 0, result.out + result.err
    return folder, result


@pytest.mark.slow
def test_the_files_are_listed_and_nothing_else_said(exported: tuple[Path, Result]) -> None:
    folder, result = exported
    assert result.err == ""
    listed = {
        line.split()[1].partition("/")[2]: line.split()[0] for line in result.out.splitlines()
    }
    assert {name: int(size.replace(",", "")) for name, size in listed.items()} == {
        file.name: file.stat().st_size for file in folder.iterdir()
    }


def test_others_may_read_every_file(exported: tuple[Path, Result]) -> None:
    modes = {file.stat().st_mode for file in exported[0].iterdir()}
    assert len(modes) == 1, "safetensors alone would keep the weights from others"


def test_the_card_tells_data_metrics_limits_and_checksums(
    exported: tuple[Path, Result], run_dir: Path
) -> None:
    folder, _ = exported
    card = (folder / "model_card.md").read_text()
    for told in (
        *("# srgnn on click_log", "split `train`: 40 items, 820 clicks in training", "gap=30m"),
        *("12,345 of train, 678 of test", "from 2024-03-11 to 2024-03-17 (UTC)"),
        *("Protocol honest, seed 7, epoch 2 of 3", "43.21", "39.87", "27.18", "markov"),
        *("unknown ids are left out", "most popular items", "personal", "channels=8"),
    ):
        assert told in card, told
    for name in ("encoder.onnx", "weights.safetensors", "vocabulary.json"):
        assert f"| `{name}` | `{sha256_of(folder / name)}` |" in card
    assert str(run_dir) not in card and "/where/it/lies" not in card


def test_recommendations_from_the_export_are_those_of_the_run(
    exported: tuple[Path, Result], run_dir: Path
) -> None:
    asked = [f"items=[{IDS[3]},{IDS[9]}]".replace(" ", "\\ "), "k=5", "exclude_seen=true"]
    of_run, of_export = (
        run(recommend.main, "srgnn-recommend", f"checkpoint={folder}", *asked)
        for folder in (run_dir, exported[0])
    )
    assert of_run.status == 0 and len(of_run.out.splitlines()) == 5
    assert of_export == of_run


def test_a_file_of_sessions_by_the_export_and_by_the_run(
    exported: tuple[Path, Result], run_dir: Path, tmp_path: Path
) -> None:
    clicks = [[IDS[i] for i in range(n % 7)] for n in range(30)]
    pl.DataFrame({"clicks": clicks, "n": range(30)}).write_parquet(tmp_path / "in.parquet")
    found = []
    for number, folder in enumerate((run_dir, exported[0])):
        output = tmp_path / f"{number}.parquet"
        result = run(
            recommend.main,
            "srgnn-recommend",
            f"checkpoint={folder}",
            f"input={tmp_path / 'in.parquet'}",
            f"output={output}",
        )
        assert result.status == 0, result.err
        found.append(pl.read_parquet(output))
    assert found[0].drop("scores").equals(found[1].drop("scores"))
    for one, other in zip(*(frame["scores"].to_list() for frame in found), strict=True):
        assert other == pytest.approx(one, abs=1e-5)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (["format=pickle"], "format='pickle': expected one of onnx, torch_export"),
        (["precision=int4"], "precision='int4': expected one of auto, float32, int8, "),
        (["output=???"], "output: must be given"),
    ],
)
def test_what_cannot_be_asked(run_dir: Path, tmp_path: Path, asked: list[str], told: str) -> None:
    result = run(
        export.main, "srgnn-export", f"checkpoint={run_dir}", f"output={tmp_path / 'new'}", *asked
    )
    assert result.status == 1 and told in result.out + result.err
    assert not (tmp_path / "new").exists()


def test_a_folder_of_somebody_else(run_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear …")
    result = run(export.main, "srgnn-export", f"checkpoint={run_dir}", f"output={tmp_path}")
    assert result.status == 1 and "no folder of srgnn-export" in result.out + result.err
    assert (tmp_path / "letter.txt").read_text() == "Dear …"


def test_files_and_folders_of_others_in_an_export_are_kept(run_dir: Path, tmp_path: Path) -> None:
    folder = tmp_path / "export"
    for kind in ("torch_export", "onnx"):
        keys = f"checkpoint={run_dir}", f"output={folder}", f"format={kind}"
        result = run(export.main, "srgnn-export", *keys)
        assert result.status == 0 and ".git" not in result.out
        (folder / "names.csv").write_text("id,name\n")
        if kind == "torch_export":
            (folder / "link").symlink_to("names.csv")
            (folder / "README.md").write_text(front_matter("srgnn", "clicks"))  # by save
            (folder / ".git" / "objects").mkdir(parents=True)
            (folder / ".git" / "objects" / "ab").write_text("of git")
            (folder / ".git" / "link").symlink_to("objects")
            (folder / "member_1").mkdir()  # of an earlier export, of a mixture
    names = {path.name for path in folder.iterdir()}
    assert {"names.csv", "link", "encoder.onnx"} <= names
    assert not {"encoder.pt2", "README.md", "member_1"} & names
    assert (folder / ".git" / "objects" / "ab").read_text() == "of git"
    assert (folder / ".git" / "link").is_symlink()
    assert (folder / "link").is_symlink() and (folder / "names.csv").read_text() == "id,name\n"
    (folder / "README.md").write_text("# Of somebody\n")
    assert run(export.main, "srgnn-export", *keys).status == 0
    assert (folder / "README.md").read_text() == "# Of somebody\n"
