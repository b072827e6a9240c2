"""Exported models: the answers of the checkpoint, from a folder that is whole or not there."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pyg_srgnn import Recommender
from pyg_srgnn.export import write as exporting
from pyg_srgnn.export.write import export
from pyg_srgnn.functional.offsets import Offsets
from pyg_srgnn.inference.artifact import Artifact
from pyg_srgnn.nn import SessionModel
from pyg_srgnn.utils.files import sha256_of
from tests.export.exports import IDS, MODELS, checkpoint, sessions, topk
from tests.full_disk import limit, tmpfs
from tests.test_imports import run_without_training

pytestmark = pytest.mark.slow

KINDS = ("onnx", "torch_export")


Exported = Callable[[str, str], Path]


@pytest.fixture(scope="module", params=[f"{name} {kind}" for name in MODELS for kind in KINDS])
def pair(request: pytest.FixtureRequest, exported: Exported) -> tuple[str, Artifact]:
    """A model's name, and its export."""
    name, kind = request.param.split()
    return name, Artifact.load(exported(name, kind))


@pytest.fixture(scope="module")
def folder(exported: Exported) -> Path:
    """The export of the default model."""
    return exported("default", "onnx")


def largest(found: Tensor, wanted: Tensor) -> float:
    assert torch.equal(found.isinf(), wanted.isinf()) and not found.isnan().any()
    return float((found - wanted).nan_to_num(0).abs().max())


def test_the_scores_and_the_attention_of_the_checkpoint(pair: tuple[str, Artifact]) -> None:
    name, artifact = pair
    wanted = checkpoint(name).scorer
    assert largest(artifact.scorer.scores(sessions()), wanted.scores(sessions())) < 1e-5
    attention = wanted.attention(sessions())
    found = artifact.scorer.attention(sessions())
    assert (found is None) == (attention is None)
    if found is not None and attention is not None:
        assert largest(found, attention) < 1e-5
    # What calls itself probabilities adds up to one, where an item is left that is new.
    sums = artifact.scorer.scores(sessions()[:-2]).exp().sum(dim=1)
    probabilities = torch.allclose(sums, torch.ones(()), atol=1e-4)
    assert artifact.scorer.log_probabilities == wanted.log_probabilities == probabilities


def test_the_same_alone_and_in_a_batch_of_a_thousand(pair: tuple[str, Artifact]) -> None:
    name, artifact = pair
    together = artifact.scorer.scores((sessions() * 7)[:1000])
    wanted = checkpoint(name).scorer
    for row, session in enumerate(sessions()[-30:], len(sessions()) - 30):
        alone = artifact.scorer.scores([session])
        assert largest(alone, together[row : row + 1]) < 1e-5
        assert largest(alone, wanted.scores([session])) < 1e-5


@pytest.mark.parametrize("exclude_seen", [False, True])
@pytest.mark.parametrize("barred", [False, True])
def test_the_best_items_of_the_checkpoint(
    pair: tuple[str, Artifact], exclude_seen: bool, barred: bool
) -> None:
    name, artifact = pair
    third = torch.zeros(len(IDS)).masked_fill(torch.arange(len(IDS)) % 3 == 0, -torch.inf)
    offsets = Offsets(third) if barred else None
    wanted = topk(checkpoint(name).scorer, sessions(), 10, offsets, exclude_seen)
    values, items = topk(artifact.scorer, sessions(), 10, offsets, exclude_seen)
    assert largest(values, wanted[0]) < 1e-5
    scores = checkpoint(name).scorer.scores(sessions())
    reached = values > -torch.inf
    # The same items, up to ties: each one has its score.
    assert torch.allclose(scores.gather(1, items)[reached], values[reached], atol=1e-5)
    assert int(reached.sum()) > 9 * len(reached)  # few sessions leave less than ten
    for row, there in zip(items, reached, strict=True):
        assert len(row[there].unique()) == int(there.sum())


def test_recommend_and_explain_as_the_checkpoint_does(folder: Path) -> None:
    wanted, found = Recommender.of(checkpoint()), Recommender.load(folder)
    session = [IDS[i] for i in (3, 17, 3, 9, 4)]
    asked = {"exclude_seen": True, "deny": IDS[:5], "allow": IDS[2:30]}
    for one, other in zip(
        wanted.recommend([session, [IDS[8]]], 7, **asked),
        found.recommend([session, [IDS[8]]], 7, **asked),
        strict=True,
    ):
        assert [raw for raw, _ in one] == [raw for raw, _ in other]
        assert [score for _, score in other] == pytest.approx([s for _, s in one], abs=1e-5)
    why, because = wanted.explain(session), found.explain(session)
    assert (why.item, why.nodes, why.edges) == (because.item, because.nodes, because.edges)
    assert because.added == pytest.approx(why.added, abs=2e-5)
    assert because.attention == pytest.approx(why.attention, abs=1e-5)
    with pytest.warns(UserWarning, match="most popular"):
        assert found.recommend([[]], 3) == wanted.recommend([[]], 3)


def test_the_same_from_many_threads(folder: Path) -> None:
    recommender = Recommender.load(folder)
    asked = [[IDS[i] for i in session] for session in sessions()[:40]]
    wanted = [recommender.recommend([session])[0] for session in asked]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda session: recommender.recommend([session])[0], asked * 5))
    assert found == wanted * 5


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_served_without_what_trains(exported: Exported, kind: str) -> None:
    folder = exported("default", kind)
    printed = run_without_training(
        "from pyg_srgnn import Recommender\n"
        f"recommender = Recommender.load({str(folder)!r})\n"
        "((first, *_),) = recommender.recommend([['item 3', 'item 9']], k=2)\n"
        "print(first[0], recommender.explain(['item 3', 'item 9']).item)\n"
    )
    [[(best, _)]] = Recommender.of(checkpoint()).recommend([["item 3", "item 9"]], 1)
    assert printed == f"{best} {best}\n"


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_a_catalogue_that_is_searched_in_another_precision(tmp_path: Path, precision: str) -> None:
    folder = export(checkpoint("gru4rec"), tmp_path / "export", precision=precision)
    scorer = Artifact.load(folder).scorer
    assert scorer.catalogue.precision == precision
    values, items = topk(scorer, sessions(), 10)
    wanted = topk(checkpoint("gru4rec").scorer, sessions(), 10)
    assert largest(values, wanted[0]) < 1e-5 and torch.equal(items, wanted[1])


def test_without_what_a_session_holds(pair: tuple[str, Artifact]) -> None:
    name, artifact = pair
    some = [session for session in sessions() if len(set(session)) < len(IDS) - 10]
    values, items = topk(artifact.scorer, some, 10, exclude_seen=True)
    wanted = topk(checkpoint(name).scorer, some, 10, exclude_seen=True)
    assert largest(values, wanted[0]) < 1e-5
    for session, own in zip(some, items.tolist(), strict=True):
        assert not set(session) & set(own)
    whole = list(range(len(IDS)))
    values, _ = topk(artifact.scorer, [whole, [3]], len(IDS), exclude_seen=True)
    assert values[0].isinf().all() and values[1].isfinite().sum() == len(IDS) - 1


# The folder.


def test_what_the_folder_holds(folder: Path) -> None:
    names = {"encoder.onnx", "weights.safetensors", "vocabulary.json", "model_card.md"}
    assert {file.name for file in folder.iterdir()} == names | {"manifest.json"}
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["files"] == {name: sha256_of(folder / name) for name in names}
    artifact = Artifact.load(folder)
    assert artifact.dataset == {"name": "click_log", "gap": "30m"}  # and not where it lies
    assert (artifact.split, artifact.protocol) == ("train", "honest")
    assert artifact.vocabulary.ids == IDS
    assert torch.equal(artifact.clicks, checkpoint().clicks)


@pytest.mark.parametrize("kind", KINDS)
def test_no_path_of_this_machine_is_in_it(exported: Exported, kind: str) -> None:
    for file in exported("default", kind).iterdir():
        held = file.read_bytes()
        for odd in (b"/where/it/lies", b"nowhere", str(Path(__file__).parents[2]).encode()):
            assert odd not in held, (file.name, odd)


def test_an_encoder_holds_nothing_of_the_catalogue(exported: Exported) -> None:
    table = checkpoint().model.item_vectors().detach().numpy().tobytes()
    for kind, file in (("onnx", "encoder.onnx"), ("torch_export", "encoder.pt2")):
        assert table in (exported("default", kind) / "weights.safetensors").read_bytes()
        assert table not in (exported("default", kind) / file).read_bytes()


def test_an_export_is_replaced_and_anything_else_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    for kind in KINDS:
        export(checkpoint("gru4rec"), folder, kind)
        assert json.loads((folder / "manifest.json").read_text())["export"] == kind
        Artifact.load(folder)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "manifest.json").write_text('{"format": "of something else"}')
    (tmp_path / "file").write_text("text")
    for other in (mine, tmp_path / "file"):
        with pytest.raises(ValueError, match=f"{other} is no folder of srgnn-export"):
            export(checkpoint("plain"), other)
    assert [file.name for file in mine.iterdir()] == ["manifest.json"]


def held(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_leaves_the_export_that_is_there(
    exported: Exported, tmp_path: Path, kind: str
) -> None:
    """Wherever the space ends: in the encoder, between the files, in the weights."""
    folder = Path(shutil.copytree(exported("plain", kind), tmp_path / "model"))
    before = held(folder)
    for size in (0, 2_000, 20_000):
        with limit(size), pytest.raises(OSError) as error:
            export(checkpoint(), folder, kind)
        assert error.value.errno in (errno.EFBIG, errno.ENOSPC)
        assert str(tmp_path) in str(error.value)
        assert held(folder) == before and [path.name for path in tmp_path.iterdir()] == ["model"]
    export(checkpoint(), folder, kind)
    assert held(folder) != before


def test_a_disk_that_fills_up(exported: Exported, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    with tmpfs(tmp_path / "disk", 2 << 20):
        folder = Path(shutil.copytree(exported("plain", "onnx"), tmp_path / "disk" / "model"))
        before = held(folder)
        free = shutil.disk_usage(tmp_path / "disk").free
        (tmp_path / "disk" / "filling").write_bytes(bytes(free - 8192))
        with pytest.raises(OSError, match="No space left on device"):
            export(checkpoint(), folder)
        assert held(folder) == before
        assert {path.name for path in (tmp_path / "disk").iterdir()} == {"model", "filling"}
        Artifact.load(folder)


def test_two_do_not_write_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained, folder, refused = checkpoint("gru4rec"), tmp_path / "export", []
    weights_of = exporting.weights_of

    def meanwhile(model: SessionModel, clicks: Tensor) -> dict[str, Tensor]:
        with pytest.raises(ValueError, match=f"{folder}: another command is writing it"):
            export(checkpoint("gru4rec"), folder, "torch_export")
        refused.append(1)
        return weights_of(model, clicks)

    monkeypatch.setattr(exporting, "weights_of", meanwhile)
    assert export(trained, folder, "torch_export") == folder
    assert refused == [1] and [path.name for path in tmp_path.iterdir()] == ["export"]
    Artifact.load(folder)


def test_a_link_to_a_folder_stays_one(tmp_path: Path) -> None:
    """Whether the folder is there yet or not."""
    link = tmp_path / "current"
    (tmp_path / "models").mkdir()
    link.symlink_to("models/v1")
    for name in ("plain", "gru4rec"):
        export(checkpoint(name), link, "torch_export")
        assert link.readlink() == Path("models/v1")
        assert [path.name for path in (tmp_path / "models").iterdir()] == ["v1"]
    assert json.loads((link / "manifest.json").read_text())["model"]["name"] == "gru4rec"
    assert {path.name for path in tmp_path.iterdir()} == {"current", "models"}


def test_an_export_that_scores_otherwise_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = export(checkpoint("gru4rec"), tmp_path / "export", "torch_export")
    before = {file.name: sha256_of(file) for file in folder.iterdir()}
    weights_of = exporting.weights_of

    def odd(model: SessionModel, clicks: Tensor) -> dict[str, Tensor]:
        weights = weights_of(model, clicks)
        weights["item_vectors"][11] *= 1.5
        return weights

    monkeypatch.setattr(exporting, "weights_of", odd)
    with pytest.raises(RuntimeError, match="differ by"):
        export(checkpoint("gru4rec"), folder)
    assert {file.name: sha256_of(file) for file in folder.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["export"]


@pytest.mark.parametrize(("name", "value"), [("kind", "pickle"), ("precision", "int4")])
def test_settings_that_are_unknown(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}' must be one of .* \\(got '{value}'\\)"):
        export(checkpoint("gru4rec"), tmp_path / "export", **{name: value})
    assert not list(tmp_path.iterdir())
