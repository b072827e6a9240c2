"""Recommenders that are saved, and passed on by a hub: the same answers, and no pickles."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from pyg_srgnn import Recommender
from pyg_srgnn.checkpoint import Checkpoint
from pyg_srgnn.inference.artifact import Artifact
from tests.inference.hub_server import hub_running

pytestmark = pytest.mark.slow

SESSIONS = [[17, 4, 17], [25], [3, 2, 1]]
FILES = {"model.safetensors", "config.json", "vocabulary.json", "README.md"}


def same(one: Recommender, other: Recommender) -> bool:
    return one.recommend(SESSIONS, 10) == other.recommend(SESSIONS, 10)


@pytest.mark.parametrize("model", ["srgnn", "gru4rec"])
def test_a_saved_model_is_the_same(
    finished: Callable[[str], Path], model: str, tmp_path: Path
) -> None:
    recommender = Recommender.load(finished(model))
    folder = recommender.save(tmp_path / "model")
    assert {path.name for path in folder.iterdir()} == FILES
    assert same(Recommender.load(folder), recommender)
    again, before = Checkpoint.load(folder), Checkpoint.load(finished(model))
    assert again.metrics == before.metrics and set(again.metrics or {}) == {"valid", "test"}
    assert again.vocabulary == before.vocabulary and again.settings == before.settings
    state, wanted = again.model.state_dict(), before.model.state_dict()
    assert all(torch.equal(state[name], wanted[name]) for name in wanted)
    assert again.data == before.data  # by which warm starts and teachers are checked
    assert same(Recommender.load(Recommender.load(folder).save(tmp_path / "again")), recommender)


def test_no_path_of_this_machine_is_passed_on(tiny_run: Path, tmp_path: Path) -> None:
    folder = Recommender.load(tiny_run).save(tmp_path / "model")
    for name in ("config.json", "README.md"):
        text = (folder / name).read_text(encoding="utf-8")
        assert str(tiny_run.parent) not in text and '"root"' not in text


def test_the_card(tiny_run: Path, tmp_path: Path) -> None:
    folder = Recommender.load(tiny_run).save(tmp_path / "model")
    _, head, text = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    held = yaml.safe_load(head)
    assert held["library_name"] == "pyg_srgnn"
    parts = {one["dataset"]["split"]: one["metrics"] for one in held["model-index"][0]["results"]}
    metrics = json.loads((tiny_run / "metrics.json").read_text())["test"]
    assert parts["test"][0] == {"type": "hr@20", "value": pytest.approx(metrics["hr@20"], abs=1e-6)}
    assert f"| test | {100 * metrics['hr@20']:.2f} |" in text
    assert "## What it cannot do" in text and "Recommender.from_pretrained" in text


def test_an_export_is_copied(exported: Callable[[str, str], Path], tmp_path: Path) -> None:
    source = exported("default", "torch_export")
    folder = Recommender.load(source).save(tmp_path / "model")
    assert {path.name for path in folder.iterdir()} == {
        "README.md",
        *(path.name for path in source.iterdir()),
    }
    assert Artifact.load(folder).key == Artifact.load(source).key
    assert (folder / "README.md").read_text().startswith("---\nlibrary_name: pyg_srgnn\n")


def test_of_an_export_nothing_else_is_passed_on(
    exported: Callable[[str, str], Path], tmp_path: Path
) -> None:
    source = tmp_path / "export"
    shutil.copytree(exported("default", "torch_export"), source)
    (tmp_path / "secret.txt").write_text("a secret")
    (source / "notes.md").symlink_to(tmp_path / "secret.txt")
    (source / ".env").touch()
    (source / "model_card.md").unlink()
    model = Recommender.load(source)
    folder = model.save(tmp_path / "model")
    names = {"README.md", "manifest.json", "encoder.pt2", "weights.safetensors", "vocabulary.json"}
    assert {path.name for path in folder.iterdir()} == names
    assert (folder / "README.md").read_text().startswith("---\nlibrary_name: pyg_srgnn\n")
    session = model.vocabulary.ids[3:5]
    assert Recommender.load(folder).recommend([session]) == model.recommend([session])
    (source / "model_card.md").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(ValueError, match=r"model_card\.md lies outside of its folder"):
        model.save(tmp_path / "other")
    (source / "model_card.md").unlink()
    (source / "weights.safetensors").unlink()
    with pytest.raises(ValueError, match=r"weights\.safetensors is missing"):
        model.save(tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_mixture_that_was_exported_is_copied(
    exported: Callable[[str, str], Path], tmp_path: Path
) -> None:
    source = exported("mixture", "torch_export")
    model = Recommender.load(source)
    folder = model.save(tmp_path / "model")
    assert {path.relative_to(folder) for path in folder.rglob("*")} == {
        Path("README.md"),
        *(path.relative_to(source) for path in source.rglob("*")),
    }
    assert Artifact.load(folder).key == Artifact.load(source).key
    source = tmp_path / "changed"
    shutil.copytree(folder, source)
    model = Recommender.load(source)
    (source / "member_2").rename(tmp_path / "elsewhere")
    (source / "member_2").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="member_2 is a link"):
        model.save(tmp_path / "other")
    (source / "member_2").unlink()
    shutil.copytree(source / "member_1", source / "member_2")
    with pytest.raises(ValueError, match=r"member_2/manifest\.json is not the file that was expo"):
        model.save(tmp_path / "other")
    manifest = source / "manifest.json"
    manifest.write_text(manifest.read_text() + "\n")
    with pytest.raises(ValueError, match="changed holds another export than the one that was loa"):
        model.save(tmp_path / "other")


def test_folders_that_are_replaced_and_those_that_are_not(tiny_run: Path, tmp_path: Path) -> None:
    recommender = Recommender.load(tiny_run)
    folder = recommender.save(tmp_path / "model")
    (folder / "notes.txt").touch()
    (folder / ".git" / "objects").mkdir(parents=True)  # a clone of the model's repository
    (folder / ".git" / "objects" / "ab").write_text("of git")
    recommender.save(folder)
    assert {path.name for path in folder.iterdir()} == FILES | {"notes.txt", ".git"}
    assert (folder / ".git" / "objects" / "ab").read_text() == "of git"
    (tmp_path / "current").symlink_to(folder.name)
    (folder / "config.json").write_text((folder / "config.json").read_text() + "\n")
    assert recommender.save(tmp_path / "current") == folder
    assert (tmp_path / "current").is_symlink()
    assert not (folder / "config.json").read_text().endswith("\n\n")
    (folder / "README.md").write_text("# Of somebody else\n")
    with pytest.raises(ValueError, match=r"README\.md is no file of a saved model, so it is left"):
        recommender.save(folder)
    assert (folder / "README.md").read_text() == "# Of somebody else\n"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").touch()
    with pytest.raises(ValueError, match="mine is there and holds something else"):
        recommender.save(tmp_path / "mine")
    for name in ("README.md", "config.json"):  # of a model of another library
        (tmp_path / "mine" / name).write_text("{}")
    with pytest.raises(ValueError, match="mine is there and holds something else"):
        recommender.save(tmp_path / "mine")
    alone = Recommender(recommender.scorer, recommender.vocabulary, torch.ones(40))
    with pytest.raises(ValueError, match="only a recommender that was loaded"):
        alone.save(tmp_path / "other")


def test_a_checkpoint_and_an_export_take_each_others_place(
    tiny_run: Path, exported: Callable[[str, str], Path], tmp_path: Path
) -> None:
    run = Recommender.load(tiny_run)
    export = Recommender.load(exported("default", "torch_export"))
    folder = run.save(tmp_path / "model")
    (folder / "notes").mkdir()
    export.save(folder)
    names = {path.name for path in export.save(tmp_path / "other").iterdir()}
    assert {path.name for path in folder.iterdir()} == names | {"notes"}
    run.save(folder)
    assert {path.name for path in folder.iterdir()} == FILES | {"notes"}


def test_damaged_folders(tiny_run: Path, tmp_path: Path) -> None:
    recommender = Recommender.load(tiny_run)

    def refused(said: str) -> None:
        with pytest.raises(ValueError, match=said) as error:
            Recommender.load(folder)
        assert "model.safetensors is not a checkpoint" in str(error.value)

    folder = recommender.save(tmp_path / "model")
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-10])
    refused("SafetensorError")
    tensors = load_file(recommender.save(folder) / "model.safetensors")
    save_file({**tensors, "model.embedding.weight": torch.zeros(3, 8)}, weights)
    refused("RuntimeError")
    recommender.save(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text('{"format": "other"}')
    refused("is not one of pyg_srgnn's")
    with pytest.raises(ValueError, match="holds something else"):  # such as another library's
        recommender.save(folder)
    (folder / "config.json").write_text(json.dumps(config | {"version": 2}))
    refused("has version 2, expected 1")
    recommender.save(folder)
    (folder / "vocabulary.json").write_text("[1, 2]")
    refused("do not belong together")


def test_a_model_goes_to_a_hub_and_comes_back(
    tiny_run: Path,
    exported: Callable[[str, str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In a process of its own: the hub's library reads its address when it is imported."""
    export = exported("default", "torch_export")
    code = """
import sys
from pyg_srgnn import Recommender
run, export, cache = sys.argv[1:]
before = Recommender.load(run)
url = before.push_to_hub("me/shop", private=True, token="hf_secret", message="first")
assert "/me/shop/commit/" in url, url
after = Recommender.from_pretrained("me/shop", cache_dir=cache)
sessions = [[17, 4, 17], [25], [3, 2, 1]]
assert after.recommend(sessions, 10) == before.recommend(sessions, 10)
other = Recommender.load(export)
other.push_to_hub("me/shop", token="hf_secret")  # replaces all files
after = Recommender.from_pretrained("me/shop", cache_dir=cache)
assert after.recommend([["item 3"]]) == other.recommend([["item 3"]])
after.save(cache + "/saved")
for repo in ("me/nothing", "me/other"):
    try:
        Recommender.from_pretrained(repo, cache_dir=cache)
    except (OSError, ValueError) as error:
        print(type(error).__name__, error)
"""
    with hub_running() as (hub, address):
        hub.repositories["me/other"] = {"pytorch_model.bin": b"pickle", "README.md": b"other"}
        for name in ("HF_TOKEN", "HF_HUB_OFFLINE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HF_ENDPOINT", address)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
        arguments = [str(tiny_run), str(export), str(tmp_path / "cache")]
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        missing, other = done.stdout.strip().splitlines()[0], done.stdout.strip().splitlines()[-1]
        assert missing.startswith("RepositoryNotFoundError")
        assert other == "ValueError me/other holds no model of pyg_srgnn: it has no config.json"
        assert hub.messages == ["first", "Upload a model of pyg_srgnn"]
        assert hub.private["me/shop"] is True and hub.tokens == {"Bearer hf_secret"}
        names = set(hub.repositories["me/shop"])
        assert "manifest.json" in names and "model.safetensors" not in names
        assert "pytorch_model.bin" not in hub.fetched
        assert "model.safetensors" in hub.fetched


def test_without_the_extra(tiny_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import PackageNotFoundError

    def none(package: str) -> str:
        raise PackageNotFoundError(package)

    monkeypatch.setattr("pyg_srgnn.utils.extras.version", none)
    for call in (Recommender.load(tiny_run).push_to_hub, Recommender.from_pretrained):
        with pytest.raises(ValueError, match=r"needs huggingface-hub, .*pip install .*\[hub\]"):
            call("me/shop")
