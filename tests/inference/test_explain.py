"""Why an item is recommended: the shares of a mixture's parts, and the similarity of texts."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from pyg_srgnn import Recommender
from pyg_srgnn.checkpoint import ModelScorer
from pyg_srgnn.data import Sessions, Vocabulary
from pyg_srgnn.export.write import export
from pyg_srgnn.nn import SRGNN
from pyg_srgnn.reports.explanation import draw_explanation
from tests.export import texts
from tests.export.exports import IDS, checkpoint
from tests.reference.names import random_sessions, randomise

TRAINED, ITEMS, WITHOUT = 12, 15, (5, 14)  # items from 12 are cold; two have no text
NAMES = [f"item {i}" for i in range(ITEMS)]
SESSION = [3, 7, 3, 5, 9]


def make(**options: object) -> SRGNN:
    """A model of random weights that mixes all there is."""
    settings: dict[str, object] = {"repeat": True, "transitions": 4, "text_neighbours": 6}
    settings["text_expert"] = True
    settings |= {"text_channels": 4, "num_trained": TRAINED, "scale": 6.0, **options}
    model = randomise(SRGNN(ITEMS, 6, **settings), seed=1, scale=0.4)
    vectors = torch.randn(ITEMS, 4, generator=torch.Generator().manual_seed(2))
    vectors[list(WITHOUT)] = 0
    model.set_text(vectors)
    model.set_training(Sessions.from_lists(random_sessions(40, TRAINED, seed=3)))
    return model.eval()


@pytest.fixture(scope="module")
def recommender() -> Recommender:
    return Recommender(ModelScorer(make()), Vocabulary(NAMES), torch.arange(ITEMS))


def test_shares_add_up_to_the_probability(recommender: Recommender) -> None:
    ids = [NAMES[i] for i in SESSION]
    best = dict(recommender.recommend([ids], ITEMS)[0])
    why = recommender.explain(ids, others=list(best))
    assert [origin.item for origin in why.origins] == [why.item, *best]
    assert why.origins[0] == why.origins[1]  # the best one, asked for twice
    scorer = recommender.scorer
    parts = scorer.log_parts([SESSION], torch.arange(TRAINED).unsqueeze(0))
    assert list(parts) == ["model", "text_expert", "text_neighbours", "transitions", "repeat"]
    whole = torch.stack([*parts.values()]).exp().sum(dim=0)
    torch.testing.assert_close(whole, scorer.scores([SESSION])[:, :TRAINED].exp())
    for origin in why.origins:
        assert origin.shares is not None and sum(origin.shares.values()) == pytest.approx(1)
        i = NAMES.index(origin.item)
        if i in SESSION:  # repeated items come from one part alone
            assert origin.shares["repeat"] == pytest.approx(1)
        elif i < TRAINED:
            assert origin.shares["repeat"] == 0 < origin.shares["model"]
            for name, share in origin.shares.items():
                given = float(parts[name][0, i].exp()) / math.exp(best[origin.item])
                assert share == pytest.approx(given, abs=1e-5)
        else:  # a cold item has no vector of its own
            assert origin.shares["model"] == 0 < origin.shares["text_neighbours"]


def test_similarity_of_texts(recommender: Recommender) -> None:
    asked = [NAMES[i] for i in range(TRAINED)]
    ids = [NAMES[i] for i in SESSION]
    why = recommender.explain([*ids, "who?"], asked[0], asked[1:])
    vectors = recommender.scorer.texts
    for i, origin in enumerate(why.origins):
        assert origin.item == NAMES[i] and len(origin.similarity) == len(SESSION)
        for click, found in zip(SESSION, origin.similarity, strict=True):
            if i in WITHOUT or click in WITHOUT:
                assert found is None
            else:
                cosine = float(torch.cosine_similarity(vectors[i], vectors[click], dim=0))
                assert found == pytest.approx(cosine, abs=1e-6)


def test_a_click_without_which_an_item_would_not_be_recommended() -> None:
    """The text neighbours of one click alone reach this cold item."""
    options = {"transitions": 0, "repeat": False, "text_expert": False}
    scorer = ModelScorer(make(text_neighbours=1, **options))
    recommender = Recommender(scorer, Vocabulary(NAMES), torch.arange(ITEMS))
    near = scorer.model.text_neighbours.neighbours[:, 0].tolist()
    click, cold = next((i, near[i]) for i in range(TRAINED) if near[i] >= TRAINED)
    other = next(i for i in range(TRAINED) if near[i] != cold)
    why = recommender.explain([NAMES[other], NAMES[click]], NAMES[cold])
    assert why.added[1] is None and math.isfinite(why.added[0])
    figure = draw_explanation(why)
    figure.draw_without_rendering()
    with pytest.raises(ValueError, match=f"the item {NAMES[cold]!r} has no probability in this"):
        recommender.explain([NAMES[other]], NAMES[cold])
    with pytest.raises(ValueError, match="does not know the item 'who"):
        recommender.explain([NAMES[other]], others=["who?"])
    with pytest.raises(TypeError, match="'others' must be a list of raw ids"):
        recommender.explain([NAMES[other]], others="who?")


def test_it_is_drawn(recommender: Recommender) -> None:
    why = recommender.explain([NAMES[i] for i in SESSION])
    figure = draw_explanation(why)
    figure.draw_without_rendering()
    assert [axes.get_title() for axes in figure.axes][1:3] == ["attention", "similarity of texts"]
    for name, share in why.origins[0].shares.items():
        assert f"{name} {share:.0%}" in figure.get_suptitle()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["onnx", "torch_export"])
@pytest.mark.parametrize("name", ["default", "plain", "gru4rec"])
def test_an_export_as_its_checkpoint(tmp_path: Path, kind: str, name: str) -> None:
    found = Recommender.load(export(checkpoint(name), tmp_path / "export", kind))
    session = [IDS[i] for i in SESSION]
    wanted = Recommender.of(checkpoint(name)).explain(session, others=IDS)
    for one, other in zip(wanted.origins, found.explain(session, others=IDS).origins, strict=True):
        assert one.item == other.item and one.similarity == other.similarity
        assert (one.shares is None) == (name != "default")
        assert other.shares == pytest.approx(one.shares, abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mixture", "mixture of sums", "sum", "text"])
def test_an_export_with_texts_and_with_items_that_are_added(tmp_path: Path, name: str) -> None:
    """They are explained as by a model that knew the items from the start."""
    folder = export(texts.checkpoint(name, cold=3), tmp_path / "export")
    known = texts.TRAINED + 3
    found, wanted = Recommender.load(folder), Recommender.of(texts.checkpoint(name))
    found.add_items(texts.IDS[known:], texts.text_vectors()[known:])
    session = [texts.IDS[i] for i in (*SESSION, texts.TRAINED, len(texts.IDS) - 1)]
    best = [raw for raw, _ in wanted.recommend([session], len(texts.IDS))[0]]
    assert set(best) & set(texts.IDS[known:])
    one, other = (each.explain(session, best[0], best[1:]) for each in (wanted, found))
    for origin, exported in zip(one.origins, other.origins, strict=True):
        assert origin.item == exported.item
        assert exported.shares == pytest.approx(origin.shares, abs=1e-4)
        for cosine, again in zip(origin.similarity, exported.similarity, strict=True):
            assert again == (None if cosine is None else pytest.approx(cosine, abs=1e-5))
    assert any(None in origin.similarity for origin in one.origins)
