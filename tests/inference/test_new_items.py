"""Items that are added to a trained model by their texts."""

from __future__ import annotations

import copy
import math
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
import torch
from torch import Tensor

from pyg_srgnn import Recommender
from pyg_srgnn.checkpoint import ModelScorer
from pyg_srgnn.data import Vocabulary
from pyg_srgnn.functional import lookups
from pyg_srgnn.functional.lookups import LOOKUPS
from pyg_srgnn.inference import new_texts
from pyg_srgnn.inference.exported import ExportedModel
from pyg_srgnn.inference.exported_components import exported_class
from pyg_srgnn.inference.manifest import Facts
from pyg_srgnn.nn import build_model
from pyg_srgnn.nn.text_expert import TextExpert
from pyg_srgnn.text.files import joined
from tests.export.exports import checkpoint as without_texts
from tests.export.exports import topk
from tests.export.texts import COLD, IDS, MODELS, TEXTS, TRAINED, checkpoint, sessions, text_vectors

BEFORE = COLD - 5  # cold items that the smaller catalogue has
KNOWN = TRAINED + BEFORE


def largest(found: Tensor, wanted: Tensor) -> float:
    assert torch.equal(found.isinf(), wanted.isinf()) and not found.isnan().any()
    return float((found - wanted).nan_to_num(0).abs().max())


def in_memory(name: str, cold: int) -> ExportedModel:
    """The two parts of a model, as an export has them."""
    trained = checkpoint(name, cold)
    encoder, weights = trained.scorer.exported(trained.clicks)
    facts = Facts.of(encoder, weights)
    return exported_class(facts)(encoder.encode, facts, weights)


@pytest.mark.parametrize("asked", ["auto", "bfloat16"])
def test_the_precision_is_the_one_that_was_asked_for(asked: str) -> None:
    trained = checkpoint("neighbours", BEFORE)
    encoder, weights = trained.scorer.exported(trained.clicks)
    facts = Facts.of(encoder, weights)
    found = exported_class(facts)(encoder.encode, facts, weights, asked)
    more = found.with_items(text_vectors()[KNOWN:]).choices["items"]
    assert more.asked == found.choices["items"].asked == asked
    assert more.items > found.choices["items"].items


def test_copies_have_the_added_items() -> None:
    given = Recommender.of(checkpoint("mixture", BEFORE))
    given.add_items(IDS[KNOWN:], text_vectors()[KNOWN:])
    clicked = [[IDS[1], IDS[-1]], [IDS[-1]]]
    for made in (pickle.loads(pickle.dumps(given)), copy.deepcopy(given)):
        assert made.answer(clicked, 10) == given.answer(clicked, 10)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("parts", [[5], [1, 3, 1]])
def test_as_if_the_catalogue_had_them_from_the_start(name: str, parts: list[int]) -> None:
    wanted, found = in_memory(name, COLD), in_memory(name, BEFORE)
    for some in torch.split(text_vectors()[KNOWN:], parts):
        found = found.with_items(some)
    assert found.facts == wanted.facts and found.weights.keys() == wanted.weights.keys()
    for table in wanted.weights.keys() - {"text_neighbours.neighbours"}:
        torch.testing.assert_close(found.weights[table], wanted.weights[table], atol=1e-5, rtol=0)
    scores = checkpoint(name).scorer.scores(sessions())
    assert largest(found.scores(sessions()), scores) < 1e-5
    values, items = topk(found, sessions(), TRAINED)
    assert largest(values, topk(checkpoint(name).scorer, sessions(), TRAINED)[0]) < 1e-5
    there = values > -torch.inf
    assert torch.allclose(scores.gather(1, items)[there], values[there], atol=1e-5)
    # Without ids alone, and in a mixture with texts, new items are among the best of some.
    assert bool((items[there] >= KNOWN).any()) == (name != "ids")


def test_the_nearest_texts_as_if_found_from_the_start() -> None:
    """Up to those of an item without a text, which has none, and ties."""
    wanted = in_memory("neighbours", COLD).weights
    found = in_memory("neighbours", BEFORE).with_items(text_vectors()[KNOWN:]).weights
    text = wanted["text_vectors"]
    before = in_memory("neighbours", BEFORE).weights["text_neighbours.neighbours"]
    assert not torch.equal(found["text_neighbours.neighbours"][:KNOWN], before)
    near = found["text_neighbours.neighbours"].long()
    cosine = (text[near] * text.unsqueeze(1)).sum(dim=2)
    there = wanted["text_neighbours.cosine"] > -1
    wanted_cosine = wanted["text_neighbours.cosine"][there]
    torch.testing.assert_close(cosine[there], wanted_cosine, atol=1e-5, rtol=0)
    assert all(len(set(row)) == len(row) for row in near[there.all(dim=1)].tolist())


def test_what_is_there_stays_as_it_was() -> None:
    model = in_memory("mixture", BEFORE)
    before = {name: table.clone() for name, table in model.weights.items()}
    model.with_items(text_vectors()[KNOWN:])
    for name, table in before.items():
        assert torch.equal(model.weights[name], table), name


def test_edges_by_text_of_vectors_that_are_made_of_texts() -> None:
    trained = checkpoint(cold=BEFORE)
    sizes = {"num_items": 9, "text_channels": 16, "neighbours": 2, "text_edges": True}
    model = build_model({"name": "srgnn", **sizes, "item_table": "sum"}).eval()
    recommender = Recommender(ModelScorer(model), Vocabulary(IDS[:9]), torch.ones(9), trained.text)
    with pytest.raises(ValueError, match=r"add_items: items cannot be added.*text_edges=true"):
        recommender.add_items(["a"], ["oak"])


def test_a_component_without_a_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    odd = LOOKUPS["followers"]._replace(extended=None)
    monkeypatch.setitem(lookups.LOOKUPS, "followers", odd)
    with pytest.raises(ValueError, match="'followers' has no rule for the rows of new items"):
        in_memory("mixture", BEFORE).with_items(text_vectors()[KNOWN:])


def test_an_expert_without_a_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TextExpert, "of_new_items", lambda expert: None)
    model = in_memory("mixture", BEFORE)
    assert not model.facts.extensible
    with pytest.raises(ValueError, match="the expert 'text_expert', which has no rule for the vec"):
        model.with_items(text_vectors()[KNOWN:])


EXPERTS: dict[str, tuple[dict[str, Any], str]] = {
    "without a bias": ({"bias": None}, "must have both from_text and bias, or neither"),
    "without a map": ({"from_text": None}, "must have both from_text and bias, or neither"),
    "without a rule": ({"bias": None, "from_text": None}, "as scorer.extensible is true"),
}


@pytest.mark.parametrize("what", EXPERTS)
def test_facts_of_an_expert_that_do_not_fit(what: str) -> None:
    changed, message = EXPERTS[what]
    found = asdict(in_memory("mixture", BEFORE).facts)
    found["experts"][0] |= changed
    with pytest.raises(ValueError, match=message):
        Facts.from_json(found)


def test_facts_of_an_expert_that_scores_by_the_models_vectors() -> None:
    found = asdict(in_memory("encoders", BEFORE).facts)
    assert [each["rows"] for each in found["experts"]][:2] == ["item_vectors"] * 2
    assert Facts.from_json(found).extensible
    found["experts"][0]["clicked"] = "known_0"
    with pytest.raises(ValueError, match="sequence must have clicked 'embedded', and neither"):
        Facts.from_json(found)


@pytest.mark.parametrize("part", ["name", "rows", "clicked", "query", "gate"])
def test_experts_that_share_a_part(part: str) -> None:
    found = asdict(in_memory("mixture", BEFORE).facts)
    (expert,) = found["experts"]
    other = {**{key: f"{value} 2" for key, value in expert.items()}, part: expert[part]}
    found["experts"] += [other] * 20_000
    with pytest.raises(ValueError, match="each must have its own name"):
        Facts.from_json(found)
    found["experts"] = [expert, other]
    with pytest.raises(ValueError, match=f"each must have its own {part} .got .* 2 times"):
        Facts.from_json(found)


# Recommender.


@pytest.mark.parametrize("how", ["vectors", "lists", "texts", "columns", "an array"])
def test_texts_and_vectors(how: str) -> None:
    vectors = text_vectors()[KNOWN:]
    given: dict[str, Any] = {
        "vectors": vectors,
        "lists": vectors.tolist(),
        "texts": [f"  {text.replace(' ', '  ')}" for text in TEXTS[KNOWN:]],
        "columns": {"price": ["7"] * 5, "title": TEXTS[KNOWN:]},
        "an array": vectors.numpy(),
    }
    found, wanted = Recommender.of(checkpoint(cold=BEFORE)), Recommender.of(checkpoint())
    found.add_items(IDS[KNOWN:], given[how])
    assert found.vocabulary == wanted.vocabulary
    assert torch.equal(found.popularity, wanted.popularity)
    assert found.cold == wanted.cold == frozenset(IDS[TRAINED:])
    asked = [[IDS[i] for i in session] for session in sessions()]
    for one, other in zip(found.answer(asked, 10), wanted.answer(asked, 10), strict=True):
        assert [score for _, score in one.items] == pytest.approx(
            [score for _, score in other.items], abs=1e-5
        )
        assert one.cold == {item for item, _ in one.items} & wanted.cold


WRONG: dict[str, tuple[list[Any], Any, str]] = {
    "known ids": ([*IDS[:7], "a"], torch.ones(8, 16), "catalogue already: 'item 0', .* and 2 more"),
    "an id twice": (["a", "b", "a"], torch.ones(3, 16), "more than once: 'a'"),
    "ids of another type": (["a", 7], torch.ones(2, 16), "of the type str, .* \\(got 7\\)"),
    "other dimensions": (["a"], torch.ones(1, 15), r"expected vectors \[1, 16\] .*got \[1, 15\]"),
    "fewer vectors": (["a", "b"], torch.ones(1, 16), r"expected vectors \[2, 16\]"),
    "no number": (["a", "b"], [[1.0] * 15 + [float("nan")], [1.0] * 16], "NaN or infinity: 'a'"),
    "zeros": (["a", "b"], [[1.0] * 16, [0.0] * 16], "a vector of zeros.*: 'b'"),
    "vectors of two lengths": (["a", "b"], [[1.0], [1.0, 2.0]], "vectors of numbers of one length"),
    "an empty text": (["a", "b"], ["oak", " "], "without a text.*: 'b'"),
    "no text": (["a", "b"], ["oak", None], "without a text.*: 'b'"),
    "a text without words": (["a", "b"], ["oak", "?!"], "a vector of zeros.*: 'b'"),
    "fewer texts": (["a", "b"], ["oak"], "expected 2 texts, one an item .got 1"),
    "a number for a text": (["a", "b"], ["oak", 7], "the text of 'b' must be a string .got 7"),
    "other columns": (
        ["a"],
        {"name": ["oak"]},
        "columns 'title'; 'title' is not given .got 'name'",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_all_or_nothing(what: str) -> None:
    ids, given, message = WRONG[what]
    recommender = Recommender.of(checkpoint(cold=BEFORE))
    before = recommender._catalogue
    with pytest.raises(ValueError, match=f"add_items: .*{message}"):
        recommender.add_items(ids, given)
    assert recommender._catalogue is before


def test_no_items_are_no_change() -> None:
    recommender = Recommender.of(checkpoint(cold=BEFORE))
    recommender.add_items([], [])
    assert len(recommender.vocabulary) == KNOWN


def test_a_model_without_texts() -> None:
    recommender = Recommender.of(without_texts())
    with pytest.raises(ValueError, match=r"trained without texts.*srgnn-train text=FILE"):
        recommender.add_items(["a"], ["oak"])


def test_a_model_that_is_neither_an_export_nor_a_checkpoint() -> None:
    trained = checkpoint(cold=BEFORE)
    odd: Any = SimpleNamespace(mixes_models=False)
    recommender = Recommender(odd, trained.vocabulary, trained.clicks, trained.text)
    with pytest.raises(ValueError, match="items cannot be added to a SimpleNamespace"):
        recommender.add_items(["a"], ["oak"])


def test_a_model_of_another_precision_stays_as_it_is() -> None:
    trained = checkpoint(cold=BEFORE)
    model = copy.deepcopy(trained.model).double()
    recommender = Recommender.of(replace(trained, model=model))
    recommender.add_items(IDS[KNOWN:], text_vectors()[KNOWN:])
    assert next(model.parameters()).dtype == torch.float64
    wanted = checkpoint().scorer.scores(sessions())
    assert largest(recommender.scorer.scores(sessions()), wanted) < 1e-5


def test_what_an_encoder_needs_only_when_it_encodes(monkeypatch: pytest.MonkeyPatch) -> None:
    def encode(*_: object) -> None:
        raise ImportError("needs more")

    monkeypatch.setattr("pyg_srgnn.text.encoders.hashed.HashedEncoder.encode", encode)
    recommender = Recommender.of(checkpoint(cold=BEFORE))
    with pytest.raises(ValueError, match="add_items: needs more; or give ready-made vectors"):
        recommender.add_items(["a"], ["oak"])


ENCODERS: dict[str, tuple[dict[str, Any] | None, str]] = {
    "not installed": (
        {"name": "wordllama", "version": "0"},
        r"needs wordllama, which is not installed: .*\[text\].*vectors.*Recommending needs no",
    ),
    "unknown": ({"name": "odd", "version": "1"}, "encoder.name must be one of .*got 'odd'"),
    "another version": (
        {"name": "hashed", "version": "0", "dimensions": 16},
        "encoded by hashed 0; here it is 1",
    ),
    "on another machine": (
        {"name": "http", "version": "1", "url": "https://thief.example/v1", "model": "m"},
        r"not sent to where the file of a model says; give ready-made vectors",
    ),
    "downloaded": (
        {"name": "sentence_transformers", "version": "1", "model": "thief/model", "download": True},
        r"does not decide what is downloaded; give ready-made vectors",
    ),
    "none": (None, "trained with ready-made vectors"),
}


@pytest.mark.parametrize("what", ENCODERS)
def test_an_encoder_that_cannot_be_used(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from pyg_srgnn.utils import extras

    def missing(package: str) -> str:
        raise extras.PackageNotFoundError(package)

    monkeypatch.setattr(extras, "version", missing)
    encoder, message = ENCODERS[what]
    trained = checkpoint(cold=BEFORE)
    recommender = Recommender.of(
        replace(trained, text={**(trained.text or {}), "encoder": encoder})
    )
    with pytest.raises(ValueError, match=message):
        recommender.add_items(["a"], ["oak"])
    recommender.recommend([[IDS[0]]])
    recommender.add_items(["a"], text_vectors()[:1])
    assert "a" in recommender.vocabulary


def test_a_new_item_is_found_by_its_text() -> None:
    recommender = Recommender.of(checkpoint("neighbours", BEFORE))
    recommender.add_items(["a twin"], [TEXTS[0]])
    near = recommender.recommend([[IDS[0]]], k=KNOWN)[0]
    assert "a twin" in [item for item, _ in near]
    assert recommender.recommend([["a twin"]])[0]


@pytest.mark.parametrize("name", ["mixture", "sum"])
def test_a_vector_of_large_numbers(name: str) -> None:
    """Lengths do not matter, and no score is NaN."""
    recommender = Recommender.of(checkpoint(name, BEFORE))
    recommender.add_items(["a", "b"], torch.tensor([[1e19], [3e38]]) * text_vectors()[:1].sign())
    texts = recommender.scorer.texts
    assert texts is not None
    torch.testing.assert_close(texts[-2:].norm(dim=1), torch.ones(2))
    for answer in recommender.answer([["a"], ["b"], [IDS[0]]], k=KNOWN):
        assert answer.items and not any(math.isnan(score) for _, score in answer.items)


@pytest.mark.parametrize(
    "row", [["oak", "Acme"], [" new\u00a0 oak\n", None], [None, ""], ["\x1f \x1c a", " \u2003"]]
)
def test_texts_are_joined_as_those_of_files(row: list[str | None]) -> None:
    table = pl.DataFrame({"a": row[:1], "b": row[1:]}, {"a": pl.String, "b": pl.String})
    assert [new_texts._joined(row)] == joined(table)


def test_while_others_ask() -> None:
    """Whoever asks sees the catalogue before or after, and never one between."""
    recommender = Recommender.of(checkpoint("sum", BEFORE))
    asked = [[IDS[i] for i in session] for session in sessions(KNOWN)[:20]]

    def ask(_: int) -> int:
        (row, *_rest) = recommender.recommend(asked, k=1000, deny=["nothing", IDS[4]])
        return len(row)

    def add(number: int) -> None:
        vectors = text_vectors()[[number % 3, KNOWN]].roll(number, 1)
        recommender.add_items([f"new {number}", f"new {number} too"], vectors + 0.1)

    with ThreadPoolExecutor(4) as pool:
        added = pool.map(add, range(10))
        counts = set(pool.map(ask, range(40)))
        list(added)
    # All but the one denied, and the one without a text.
    assert counts <= {KNOWN + 2 * number - 2 for number in range(11)}
    assert ask(0) == KNOWN + 18
