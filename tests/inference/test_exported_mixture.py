"""An exported mixture of models: whole, of members that belong together, or refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyg_srgnn import Recommender
from pyg_srgnn.export.write import seal
from pyg_srgnn.inference import artifact
from tests.export.exports import IDS, checkpoint, sessions, topk
from tests.inference.test_artifact import change, refused
from tests.serving.running import in_thread

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(exported: Callable[[str, str], Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported("mixture", "onnx"), tmp_path / "copy"))


def scorer_of(folder: Path) -> dict[str, Any]:
    scorer: dict[str, Any] = json.loads((folder / "manifest.json").read_text())["scorer"]
    return scorer


def test_it_holds_an_export_for_each_member(folder: Path) -> None:
    members = ["member_1", "member_2", "member_3"]
    assert scorer_of(folder)["members"] == members
    assert {path.name for path in folder.iterdir()} == {*members, "manifest.json", "model_card.md"}
    for number, name in enumerate(members):
        alone = Recommender.load(folder / name)
        wanted = checkpoint(["default", "gru4rec", "plain"][number])
        assert alone.scorer.log_probabilities == wanted.model.log_probabilities
        card = (folder / name / "model_card.md").read_text(encoding="utf-8")
        assert "Not known: this is not the final checkpoint of a run" in card


def test_no_copy_of_a_member_s_items_is_made_that_none_searches(folder: Path) -> None:
    opened = artifact.Artifact.load(folder, precision="bfloat16")
    assert not opened.choices
    assert all(member.catalogue.precision == "float32" for member in opened.scorer.members)
    with pytest.raises(ValueError, match=r"precision must be one of auto, .* .got 'int4'"):
        artifact.Artifact.load(folder, precision="int4")


def test_it_recommends_and_explains_as_the_checkpoint(folder: Path) -> None:
    exported, trained = Recommender.load(folder), Recommender.of(checkpoint("mixture"))
    session = ["item 3", "item 5", "item 3"]
    for options in ({}, {"exclude_seen": True}, {"deny": IDS[:9]}):
        (found,), (wanted,) = (
            each.recommend([session], 7, **options) for each in (exported, trained)
        )
        assert [raw for raw, _ in found] == [raw for raw, _ in wanted]
        assert [score for _, score in found] == pytest.approx([score for _, score in wanted], 1e-5)
    shares = exported.explain(session, "item 5").origins[0].shares
    assert shares == pytest.approx(trained.explain(session, "item 5").origins[0].shares, abs=1e-5)
    assert list(shares) == ["member_1", "member_2", "member_3"]
    assert exported.explain(session).attention is None
    for mixture in (exported, trained):
        with pytest.raises(ValueError, match="items cannot be added to a mixture of models"):
            mixture.add_items(["new"], ["a text"])


def test_a_member_that_is_missing_or_changed(folder: Path) -> None:
    weights = folder / "member_2" / "weights.safetensors"
    held = weights.read_bytes()
    weights.write_bytes(held[:-1] + bytes([held[-1] ^ 1]))
    refused(folder, "member_2/weights.safetensors", "is not the file that was exported")
    weights.write_bytes(held)
    change(folder / "member_2", protocol="literature")
    refused(folder, "member_2/manifest.json", "is not the file that was exported")
    shutil.rmtree(folder / "member_2")
    refused(folder, "member_2/manifest.json", "is missing")


def test_a_folder_is_not_its_own_member(folder: Path, tmp_path: Path) -> None:
    shutil.rmtree(folder / "member_2")
    (folder / "member_2").symlink_to(folder)
    refused(folder, "member_2 is a link; expected the folder of a member")
    (folder / "member_2").unlink()
    (folder / "member_2").symlink_to(shutil.copytree(folder / "member_1", tmp_path / "elsewhere"))
    refused(folder, "member_2 is a link; expected the folder of a member")


def test_a_member_is_no_link_within_the_folder(folder: Path) -> None:
    shutil.rmtree(folder / "member_2")
    (folder / "member_2").symlink_to("member_1")
    seal(folder, json.loads((folder / "manifest.json").read_text()))
    refused(folder, "member_2 is a link; expected the folder of a member")


def nested(inner: Path, outer: Path) -> Path:
    """A mixture of one export alone."""
    shutil.copytree(inner, outer / "member_1")
    manifest = json.loads((inner / "manifest.json").read_text())
    weights = {name: [1.0] for name in ("new", "own", "gate", "temperature")}
    manifest["scorer"] = {"members": ["member_1"], **weights, "log_probabilities": True}
    seal(outer, manifest)
    return outer


def test_a_mixture_of_mixtures_and_no_deeper(folder: Path, tmp_path: Path) -> None:
    twice = nested(folder, tmp_path / "twice")
    assert Recommender.load(twice).recommend([["item 3"]], 3)
    refused(nested(twice, tmp_path / "thrice"), "it is a mixture within a mixture of mixtures")


def test_the_manifest_of_a_member_is_read_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is opened is what was verified, even if the file changes meanwhile."""
    opened, read = [], artifact._read

    def recording(within: Path, name: str, size: int) -> bytes:
        opened.append((within / name).relative_to(folder).as_posix())
        return read(within, name, size)

    monkeypatch.setattr(artifact, "_read", recording)
    Recommender.load(folder)
    assert opened.count("member_2/manifest.json") == 1


def test_members_of_other_items(folder: Path) -> None:
    member = folder / "member_3"
    ids = json.loads((member / "vocabulary.json").read_text())
    (member / "vocabulary.json").write_text(json.dumps(ids[::-1]))
    for each in (member, folder):
        seal(each, json.loads((each / "manifest.json").read_text()))
    refused(folder, "member_3 has other items than member_1")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("members", [], "scorer.members must be 1 to 64 folders"),
        ("members", ["member_1", "member_1", "member_2"], "scorer.members must be"),
        ("members", ["../member_1", "member_2", "member_3"], "scorer.members must be"),
        ("members", ["member_1"] * 65, "scorer.members must be"),
        ("new", [0.5, 0.5], "scorer.new must be 3 numbers >= 0"),
        ("own", [0.5, 0.5, -1], "scorer.own must be 3 numbers >= 0"),
        ("gate", [0.5, 0.5, float("nan")], "scorer.gate must be 3 numbers >= 0"),
        ("temperature", [1, 1, 0], "scorer.temperature must be 3 numbers >= 0.001"),
        ("log_probabilities", False, "scorer.log_probabilities must be true"),
    ],
)
def test_facts_out_of_their_range(folder: Path, key: str, value: Any, message: str) -> None:
    change(folder, scorer=scorer_of(folder) | {key: value})
    refused(folder, "manifest.json", message)
    change(folder, scorer={"members": ["member_1"], key: value})
    refused(folder, "manifest.json", "scorer must have members, new, own, gate, temperature")


def test_it_is_served(folder: Path) -> None:
    asked = [["item 3", "item 5"], ["item 9"]]
    wanted = Recommender.load(folder).recommend(asked, 4)
    with in_thread(folder) as running:
        answers = running.post("/recommend/batch", {"sessions": asked, "k": 4}).json()["results"]
    for answer, row in zip(answers, wanted, strict=True):
        assert [item["id"] for item in answer["items"]] == [raw for raw, _ in row]
        found = [item["score"] for item in answer["items"]]
        assert found == pytest.approx([score for _, score in row], abs=1e-5)


def test_many_sessions_at_once(folder: Path) -> None:
    scorer, wanted = Recommender.load(folder).scorer, checkpoint("mixture").scorer
    found = topk(scorer, sessions(), 5)
    assert (found[0] - topk(wanted, sessions(), 5)[0]).abs().max() < 1e-5
