"""A mixture of many items, searched by rounded products: its lists beside those of all scores."""

from __future__ import annotations

import random
from functools import cache

import pytest
import torch

from pyg_srgnn.data import Sessions
from pyg_srgnn.functional.offsets import Offsets
from pyg_srgnn.functional.wanted import Wanted
from pyg_srgnn.inference import catalogue, exported, exported_components, search
from pyg_srgnn.inference.exported_components import ExportedMixture
from pyg_srgnn.inference.manifest import Facts
from pyg_srgnn.nn import build_model
from pyg_srgnn.nn.encoders import encoder_of, weights_of
from tests.export import exports, texts
from tests.reference.names import random_sessions, randomise

ITEMS, COLD = 4_000, 40
CHANNELS = 16
K = 5


@pytest.fixture(autouse=True)
def _no_catalogue_is_too_small(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (catalogue, exported_components):
        monkeypatch.setattr(module, "FEWEST", 0)


@cache
def _scorers(model: str, precision: str) -> tuple[ExportedMixture, ExportedMixture]:
    """A drawn model, searched and not."""
    settings = {**(exports.MODELS | texts.MODELS)[model], "num_items": ITEMS, "channels": CHANNELS}
    if with_texts := model in texts.MODELS:
        settings |= {"num_trained": ITEMS - COLD, "text_channels": 8}
    net = randomise(build_model(settings), seed=3, scale=0.3)
    if with_texts:
        vectors = torch.randn(ITEMS, 8, generator=torch.Generator().manual_seed(1))
        vectors[[5, ITEMS - 7]] = 0  # the cold one of them cannot be recommended
        net.set_text(vectors)
    net.set_training(Sessions.from_lists(random_sessions(300, ITEMS - COLD, seed=2, longest=9)))
    encoder = encoder_of(net.eval())
    weights = weights_of(net, torch.ones(ITEMS, dtype=torch.long))
    facts = Facts.of(encoder, weights)
    made = [ExportedMixture(encoder.encode, facts, weights, of) for of in (precision, "float32")]
    return made[0], made[1]


def _sessions() -> list[list[int]]:
    """Sessions of the training, whose followers are known, and some of one item."""
    draw = random.Random(0)
    known = random_sessions(300, ITEMS - COLD, seed=2, longest=9)
    return [*known[:60], *([draw.randrange(ITEMS)] for _ in range(20)), [9] * 4]


def _offsets(kind: str) -> Offsets | None:
    if kind == "none":
        return None
    draw = torch.Generator().manual_seed(0)
    values = torch.rand(ITEMS, generator=draw) - 0.5
    if kind == "raised":
        return Offsets(values)
    barred = torch.rand(ITEMS, generator=draw) < (0.3 if kind == "some left" else 0.999)
    return Offsets(values.clamp(max=0).masked_fill(barred, -torch.inf))


@pytest.mark.parametrize("precision", ["int8", "float16", "bfloat16"])
@pytest.mark.parametrize("model", ["default", "transitions", "repeats", "counts", "neighbours"])
@pytest.mark.parametrize("kind", ["none", "raised", "some left", "few left"])
def test_lists_are_the_same_but_where_neighbours_are_closer_than_the_bound(
    model: str, precision: str, kind: str
) -> None:
    searched, whole = _scorers(model, precision)
    if searched.catalogue.precision == "float32":
        pytest.skip(f"this processor has no exact products in {precision}")
    sessions, offsets = _sessions(), _offsets(kind)
    with torch.inference_mode():
        bounds = searched.catalogue.log_sum_bound(searched._vectors(*searched._flat(sessions)))
    for exclude_seen in (False, True):
        values, items = exports.topk(searched, sessions, K, offsets, exclude_seen)
        exact, wanted = exports.topk(whole, sessions, K + 1, offsets, exclude_seen)
        scores = whole.scores(sessions)
        scores = scores if offsets is None else scores + offsets.values
        for row, bound in enumerate((bounds + 1e-5).tolist()):
            there = values[row].isfinite()
            found = scores[row, items[row]]
            assert torch.all((values[row] - found)[there].abs() <= bound)
            apart = exact[row, :-1] - exact[row, 1:] > bound
            for place in apart.nonzero().flatten().tolist():
                if exact[row, place + 1] != -torch.inf:
                    assert set(items[row, : place + 1].tolist()) == set(
                        wanted[row, : place + 1].tolist()
                    )


def test_most_lists_are_the_same() -> None:
    searched, whole = _scorers("default", "int8")
    sessions = _sessions()
    same = exports.topk(searched, sessions, K)[1] == exports.topk(whole, sessions, K)[1]
    assert searched._is_searched and not whole._is_searched
    assert same.double().mean() > 0.98


def test_scores_and_shares_of_all_items_are_exact() -> None:
    searched, whole = _scorers("default", "int8")
    sessions = _sessions()
    assert torch.allclose(searched.scores(sessions), whole.scores(sessions), atol=1e-5)
    items = exports.topk(whole, sessions, 3)[1]
    for name, part in searched.log_parts(sessions, items).items():
        assert torch.allclose(part, whole.log_parts(sessions, items)[name], atol=1e-5)


def test_several_softmaxes_are_not_searched() -> None:
    for model in ("encoders", "mixture"):  # of one softmax more, and of texts
        searched, whole = _scorers(model, "int8")
        assert not searched._is_searched
        sessions = _sessions()
        assert torch.equal(
            exports.topk(searched, sessions, K)[1], exports.topk(whole, sessions, K)[1]
        )


def test_sessions_of_a_batch_that_want_different_lists() -> None:
    searched, whole = _scorers("default", "int8")
    sessions = _sessions()
    wanted = [
        Wanted(range(0, 20), 3),
        Wanted(range(20, 40), K, _offsets("raised")),
        Wanted([40], 2, _offsets("some left"), exclude_seen=True),
        Wanted(range(41, len(sessions)), K, exclude_seen=True),
    ]
    both = searched.best(sessions, wanted), whole.best(sessions, wanted)
    for found, exact in zip(*both, strict=True):
        assert found[0].shape == exact[0].shape
        assert torch.allclose(found[0], exact[0], atol=0.1)
        assert (found[1] == exact[1]).double().mean() > 0.95


def test_scores_do_not_depend_on_how_many_items_others_of_a_batch_want() -> None:
    searched, _ = _scorers("default", "int8")
    sessions = _sessions()[:2]
    (alone,) = searched.best(sessions, [Wanted([0, 1], K)])
    few, _ = searched.best(sessions, [Wanted([0], K), Wanted([1], 1_000)])
    assert torch.equal(few[0][0], alone[0][0]) and torch.equal(few[1][0], alone[1][0])


def test_rules_take_no_second_pass_over_the_items(monkeypatch: pytest.MonkeyPatch) -> None:
    searched, _ = _scorers("default", "int8")
    monkeypatch.setattr(search, "_FEW", 0)
    monkeypatch.setattr(searched.catalogue, "best", lambda *given: pytest.fail("a second pass"))
    values, _ = exports.topk(searched, _sessions(), K, _offsets("some left"))
    assert values.isfinite().all()


def test_clicked_cold_items_change_no_sum_of_an_index() -> None:
    pytest.importorskip("faiss", reason="faiss is not installed: pip install '.[index]'")
    from pyg_srgnn.inference.index import Index

    settings = {**exports.MODELS["repeats"], "num_items": ITEMS, "channels": CHANNELS}
    settings |= {"num_trained": ITEMS - COLD, "text_channels": 8}
    net = randomise(build_model(settings), seed=3, scale=0.3)
    net.set_text(torch.randn(ITEMS, 8, generator=torch.Generator().manual_seed(1)))
    net.set_training(Sessions.from_lists(random_sessions(300, ITEMS - COLD, seed=2, longest=9)))
    encoder = encoder_of(net.eval())
    facts = Facts.of(encoder, weights := weights_of(net, torch.ones(ITEMS, dtype=torch.long)))
    vectors, _ = exported.searched(facts, weights)
    lists = torch.arange(len(vectors)) % 8
    index = Index(vectors, vectors[:8].clone(), lists, probes=8)  # all: it is exact
    found, whole = (
        ExportedMixture(encoder.encode, facts, weights, index=of) for of in (index, None)
    )
    cold = [*range(ITEMS - COLD, ITEMS)]
    sessions = [cold, [3, 8], cold, [9, 4]]
    values, items = exports.topk(found, sessions, K)
    wanted, same = exports.topk(whole, sessions, K)
    assert found._is_searched and len(vectors) == ITEMS - COLD
    assert torch.equal(items, same) and torch.allclose(values, wanted, atol=1e-4)
