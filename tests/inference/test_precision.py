"""How a catalogue is searched: chosen by timing, or asked for; the answers are always the same."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pyg_srgnn import Recommender
from pyg_srgnn.export.write import export
from pyg_srgnn.inference import catalogue, half_products, precision
from pyg_srgnn.inference.artifact import Artifact
from pyg_srgnn.inference.block_catalogue import BlockCatalogue
from pyg_srgnn.inference.catalogue import Catalogue, is_there
from pyg_srgnn.inference.choice import AUTO, SESSIONS, WAYS
from pyg_srgnn.inference.half_products import HalfProducts, half_is_there
from pyg_srgnn.inference.manifest import MANIFEST
from pyg_srgnn.inference.precision import choose, fastest
from tests.export.exports import checkpoint

THERE = [way for way in WAYS if is_there(way)]


def _way(made: Catalogue) -> str:
    return "float32_blocks" if isinstance(made, BlockCatalogue) else made.precision


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """The time that each way is found to take, whatever it takes; no catalogue is too small."""
    told = dict.fromkeys(WAYS, 5.0)

    def timed(made: Catalogue, sessions: Tensor, k: int, cold: bool, sums: bool) -> float:
        made.best(sessions, k)
        return told[_way(made)] * len(sessions)

    monkeypatch.setattr(precision, "_seconds", timed)
    monkeypatch.setattr(precision, "FEWEST", 0)
    monkeypatch.setattr(catalogue, "FEWEST", 0)
    return told


def _vectors(items: int = 3_000) -> Tensor:
    return torch.randn(items, 24, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("way", THERE)
def test_the_fastest_is_chosen(seconds: dict[str, float], way: str) -> None:
    seconds[way] = 1.0
    made, choice = choose(_vectors())
    assert _way(made) == choice.precision == way
    assert choice.milliseconds.keys() == set(THERE)
    assert choice.milliseconds[way] == tuple(1000.0 * count for count in SESSIONS)
    assert f"{way} (the fastest; 3,000 items, " in str(choice) and "float32 " in str(choice)


@pytest.mark.parametrize("way", WAYS)
def test_what_is_asked_for_is_not_timed(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    monkeypatch.setattr(precision, "measure", lambda *given: pytest.fail("it was timed"))
    made, choice = choose(_vectors(30_000), way)
    assert choice.asked == way and not choice.milliseconds
    assert _way(made) == choice.precision == (way if way in THERE else "float32")
    assert f"precision={way}" in str(choice)


def test_few_items_are_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "measure", lambda *given: pytest.fail("it was timed"))
    made, choice = choose(_vectors(19_999))
    assert type(made) is Catalogue and made.precision == choice.precision == "float32"
    assert choice.asked == AUTO and "so few" in str(choice)


def test_some_of_many_items_are_timed(
    seconds: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "_SAMPLE", 1_000)
    seconds["float16"] = seconds["float32_blocks"] = 1.0
    vectors = _vectors(4_000)
    made, choice = choose(vectors)
    assert len(made) == 4_000 and made.vectors is vectors
    assert choice.items == 4_000
    assert choice.milliseconds["float32"][0] == pytest.approx(4 * 5000.0)


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        # Slower than float32 for one session, however fast for many.
        ({"float32": (1.0, 9.0), "int8": (1.3, 1.0)}, "float32"),
        # Within the noise of float32 for one session.
        ({"float32": (1.0, 9.0), "int8": (1.05, 1.0)}, "int8"),
        # Hardly faster than what takes less memory.
        ({"float32": (1.0, 1.0), "int8": (0.95, 0.95)}, "float32"),
        ({"float32": (1.0, 1.0), "int8": (0.5, 0.5), "float16": (0.45, 0.45)}, "int8"),
        ({"float32": (1.0, 1.0), "int8": (0.5, 0.5), "float16": (0.3, 0.3)}, "float16"),
        # Given up before many sessions were tried.
        ({"float32": (1.0, 1.0), "int8": (0.1,)}, "float32"),
    ],
)
def test_never_slower_than_float32(times: dict[str, tuple[float, ...]], expected: str) -> None:
    assert fastest(times) == expected


def test_what_is_far_slower_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int]] = []

    def timed(made: Catalogue, sessions: Tensor, k: int, cold: bool, sums: bool) -> float:
        asked.append((made.precision, len(sessions)))
        return 100.0 if made.precision == "bfloat16" else 1.0

    monkeypatch.setattr(precision, "_seconds", timed)
    made = {way: Catalogue(_vectors(), way) for way in ("float32", "bfloat16")}
    found = precision.measure(made, torch.ones(16, 24), 20, cold=False)
    assert found == {"float32": (1.0, 1.0), "bfloat16": (100.0,)}
    assert asked.count(("bfloat16", 1)) == 2 and ("bfloat16", 16) not in asked


def test_an_unknown_precision() -> None:
    with pytest.raises(ValueError, match=r"one of auto, float32, .*blocks \(got 'int4'\)"):
        choose(_vectors(), "int4")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("sessions", [0, 1, 5, 40])
def test_every_way_finds_the_same(monkeypatch: pytest.MonkeyPatch, way: str, sessions: int) -> None:
    monkeypatch.setattr(catalogue, "FEWEST", 0)
    vectors = _vectors(5_000)
    asked = torch.randn(sessions, 24, generator=torch.Generator().manual_seed(1))
    values, items = choose(vectors, way)[0].best(asked, 20)
    expected = (asked.double() @ vectors.double().T).topk(20)
    assert torch.equal(items, expected.indices)
    assert torch.allclose(values.double(), expected.values, atol=1e-4)


@pytest.mark.parametrize("way", WAYS)
def test_a_catalogue_is_copied_and_pickled(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    monkeypatch.setattr(catalogue, "FEWEST", 0)
    made, asked = choose(_vectors(2_500), way)[0], _vectors(3)
    expected = made.best(asked, 10)
    for other in (copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        found = other.best(asked, 10)
        assert torch.equal(found[0], expected[0]) and torch.equal(found[1], expected[1])


def test_without_fbgemm_there_is_no_half_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_engine(*given: object) -> None:
        raise RuntimeError("Didn't find engine for operation quantized::linear_prepack_fp16")

    monkeypatch.setattr(half_products, "HalfProducts", no_engine)
    monkeypatch.setattr(catalogue, "half_is_there", half_is_there.__wrapped__)
    assert Catalogue(_vectors(), "float16").precision == "float32"


@pytest.mark.skipif(not half_is_there(), reason="torch has no FBGEMM here")
def test_half_products_are_those_of_the_rounded_items() -> None:
    items, asked = _vectors(20_000).half(), _vectors(3)
    found = torch.cat([*HalfProducts(items)(asked)], dim=1)
    expected = asked.double() @ items.double().T
    assert found.dtype == torch.float32
    assert torch.allclose(found.double(), expected, atol=1e-5)


def _folder(tmp_path: Path) -> Path:
    return export(checkpoint("gru4rec"), tmp_path / "export")


def test_an_export_leaves_the_choice_to_whoever_loads_it(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    assert json.loads((folder / MANIFEST).read_text())["precision"] == AUTO
    assert Artifact.load(folder).choices["items"].asked == AUTO
    found = Recommender.load(folder, "int8").choices["items"]
    assert found.asked == "int8" and found.items == 40


def test_an_export_that_names_one_is_searched_so_unless_told_otherwise(tmp_path: Path) -> None:
    folder = export(checkpoint("gru4rec"), tmp_path / "export", precision="bfloat16")
    assert Artifact.load(folder).choices["items"].precision == "bfloat16"
    other = Artifact.load(folder, precision="float32_blocks")
    assert other.choices["items"].precision == "float32_blocks"


def test_an_export_from_before_there_was_a_choice(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    manifest = json.loads((folder / MANIFEST).read_text())
    for version, asked in ((4, AUTO), (5, "int8")):
        manifest |= {"version": version, "precision": "int8"}
        (folder / MANIFEST).write_text(json.dumps(manifest))
        assert Artifact.load(folder).choices["items"].asked == asked
