"""Recommender: raw ids in, raw ids out; and what it does with files that are no checkpoints."""

from __future__ import annotations

import copy
import json
import math
import os
import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

import pyg_srgnn
from pyg_srgnn import Recommender
from pyg_srgnn.checkpoint import Checkpoint, ModelScorer, describe_training
from pyg_srgnn.data import Vocabulary
from pyg_srgnn.data.attributes import ItemAttributes
from pyg_srgnn.data.graphs import session_graph
from pyg_srgnn.inference.answer import unknown_messages
from pyg_srgnn.inference.recommender import UnknownItemWarning
from pyg_srgnn.inference.rules import Rules
from pyg_srgnn.nn import build_model
from pyg_srgnn.reports.explanation import draw_explanation, plot_explanation
from tests.reference import metrics as reference
from tests.reference.graphs import session_graph as naive_graph
from tests.reference.names import random_sessions, randomise
from tests.results import run_result

IDS = {
    "int": [100 + 7 * i for i in range(30)],
    "str": [f"item {i}" for i in range(30)],
}
CLICKS = torch.tensor([(7 * i) % 30 for i in range(30)])  # item 17 has the most: 29 of 435


def entries(ids, seed=0, **changed):
    """What a checkpoint holds."""
    settings = {"name": "srgnn", "num_items": len(ids), "channels": 6}
    model = randomise(build_model(settings), seed, scale=0.2)  # scores around 1
    weights = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    dataset = {"name": "synthetic"}
    training = describe_training(settings, Vocabulary(ids), CLICKS, dataset, "train", "honest")
    return {"epoch": 1, "state_dict": weights, **training, **changed}


@pytest.fixture(params=IDS)
def ids(request):
    return IDS[request.param]


COPIES = {"pickled": lambda given: pickle.loads(pickle.dumps(given)), "copied": copy.deepcopy}


@pytest.mark.parametrize("way", COPIES)
def test_a_copy_recommends_the_same(file, ids, way):
    given = Recommender.load(file)
    sessions = [[ids[3], ids[4]], [ids[17]], []]
    wanted = given.answer(sessions, 5, [Rules(deny=ids[:5])])
    made = COPIES[way](given)
    assert made.answer(sessions, 5, [Rules(deny=ids[:5])]) == wanted
    made.set_attributes(ItemAttributes(ids, {"shop": ["a", "b"] * 15}))
    assert given.attributes is None and made.recommend(sessions, 5, where={"shop": "a"})


@pytest.fixture
def file(tmp_path, ids):
    torch.save(entries(ids), tmp_path / "model.ckpt")
    return tmp_path / "model.ckpt"


@pytest.fixture
def recommender(file):
    return Recommender.load(file)


def expected(ids, session, k):
    """The k best items of a session, by loops over the scores of its own graph."""
    stored = entries(ids)
    model = build_model(stored["model"])
    model.load_state_dict({n.removeprefix("model."): t for n, t in stored["state_dict"].items()})
    clicks = torch.tensor([ids.index(raw) for raw in session])
    with torch.no_grad():
        (scores,) = model.eval().scores(session_graph(clicks)).tolist()
    return [(ids[i], scores[i]) for i in reference.top(scores, k)]


def raw_sessions(ids, count=12):
    return [[ids[i] for i in s] for s in random_sessions(count, len(ids), seed=4, longest=15)]


def same(found, wanted, tolerance=1e-6):
    assert [raw for raw, _ in found] == [raw for raw, _ in wanted]
    assert [score for _, score in found] == pytest.approx(
        [score for _, score in wanted], abs=tolerance
    )


def quietly(recommender, sessions, k=20, **filters):
    """Recommend where there is nothing to warn of."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return recommender.recommend(sessions, k, **filters)


def test_ragged_sessions_of_raw_ids(recommender, ids):
    sessions = raw_sessions(ids)
    assert len({len(s) for s in sessions}) > 3
    found = quietly(recommender, sessions, 10)
    assert len(found) == len(sessions)
    for session, best in zip(sessions, found, strict=True):
        same(best, expected(ids, session, 10))
        assert all(type(raw) is type(ids[0]) and type(score) is float for raw, score in best)


def test_the_same_alone_or_in_a_batch(recommender, ids):
    sessions = raw_sessions(ids)
    together = quietly(recommender, sessions)
    for session, best in zip(sessions, together, strict=True):
        same(quietly(recommender, [session])[0], best)
    for best, turned in zip(quietly(recommender, sessions[::-1])[::-1], together, strict=True):
        same(best, turned)


def test_more_sessions_than_are_scored_at_once(recommender, ids):
    sessions = raw_sessions(ids, 7) * 100
    found = quietly(recommender, sessions, 3)
    for i, best in enumerate(found):
        same(best, found[i % 7])


def test_no_sessions(recommender):
    assert quietly(recommender, []) == []


def test_k_is_20_by_default_and_capped_at_the_catalogue(recommender, ids):
    session = ids[3:5]
    (best,) = quietly(recommender, [session])
    assert len(best) == 20
    (everything,) = quietly(recommender, [session], 1000)
    assert sorted(raw for raw, _ in everything) == sorted(ids)
    same(everything[:20], best)
    scores = [score for _, score in everything]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("k", [0, -1, 2.5, True, "5", None])
def test_a_k_that_is_no_number_of_items(recommender, ids, k):
    with pytest.raises(ValueError, match=rf"k must be a whole number >= 1 \(got {k!r}\)"):
        recommender.recommend([ids[:2]], k)


def test_unknown_ids_are_left_out_and_named(recommender, ids):
    unknown = -5 if isinstance(ids[0], int) else "nothing we sell"
    session = [ids[4], unknown, ids[2], unknown]
    with pytest.warns(UnknownItemWarning) as caught:
        (best,) = recommender.recommend([session], 5)
    same(best, expected(ids, [ids[4], ids[2]], 5))
    assert len(caught) == 1
    assert str(caught[0].message).count(repr(unknown)) == 1


def test_an_id_of_the_other_type_is_unknown(recommender, ids):
    other = str(ids[0]) if isinstance(ids[0], int) else 0
    with pytest.warns(UnknownItemWarning, match=repr(other)):
        recommender.recommend([[ids[1], other]])


def test_the_warning_points_at_the_caller(recommender, ids):
    with pytest.warns(UnknownItemWarning) as caught:
        recommender.recommend([[ids[1], "who?"]])
    assert caught[0].filename == __file__


def test_many_unknown_ids_make_a_short_warning(recommender, ids):
    with pytest.warns(UnknownItemWarning) as caught:
        recommender.recommend([[ids[1], *(f"x{i}" for i in range(5000))]])
    message = str(caught[0].message)
    assert "'x0'" in message and "4990 more" in message and len(message) < 300


@pytest.mark.parametrize("session", [[], ["who?"], ["who?", "what?", "who?"]])
def test_a_session_without_a_known_id_gets_the_most_popular(recommender, ids, session):
    clicks = CLICKS.tolist()
    order = sorted(range(30), key=lambda i: (-clicks[i], i))
    with pytest.warns(UnknownItemWarning) as caught:
        found = recommender.recommend([ids[:2], session], 4)
    same(found[1], [(ids[i], clicks[i] / 435) for i in order[:4]])
    same(found[0], expected(ids, ids[:2], 4))
    assert "1 of 2 sessions (number 1): the most popular items" in str(caught[-1].message)
    assert len(caught) == (2 if session else 1)  # an empty session has no unknown id


def test_every_session_unknown(recommender):
    with pytest.warns(UnknownItemWarning):
        found = recommender.recommend([["a"], [], ["b"]], 3)
    assert found[0] == found[1] == found[2]
    found[0].clear()
    assert len(found[1]) == 3, "the rows share one list"


# What the answers hold.


@pytest.mark.parametrize("mixes", [False, True])
def test_answers_hold_what_recommend_returns_and_warns_of(ids, mixes):
    """``answer`` itself does not warn; it names the clicks that a loop finds unknown."""
    settings = {"num_items": len(ids), "channels": 6, "repeat": mixes}
    model = randomise(build_model({"name": "srgnn", **settings}), 0, scale=0.2)
    recommender = Recommender(ModelScorer(model), Vocabulary(ids), CLICKS)
    sessions = [ids[:3], [ids[1], "who?", ids[1], None, "who?"], ["who?"], [], [ids[5]]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        answers = recommender.answer(sessions, 4, [Rules(deny=ids[7:9])])
    for session, answer in zip(sessions, answers, strict=True):
        known = [raw for raw in session if raw in ids]
        assert answer.unknown == [raw for raw in session if raw not in ids]
        assert answer.popular is (known == [])
        assert answer.log_probabilities is (mixes and known != [])
        assert answer.log_probabilities in (False, all(score <= 0 for _, score in answer.items))
    with pytest.warns(UnknownItemWarning) as caught:
        assert recommender.recommend(sessions, 4, deny=ids[7:9]) == [one.items for one in answers]
    assert [str(one.message) for one in caught] == list(unknown_messages(answers))


def test_only_recommend_warns_of_unknown_items_and_nothing_silences_it():
    """The service, the commands and the trial of a new model read the answers."""
    package = Path(pyg_srgnn.__file__).parent
    naming = [path for path in package.rglob("*.py") if "UnknownItemWarning" in path.read_text()]
    assert naming == [package / "inference" / "recommender.py"]


# What may be recommended.


@pytest.mark.slow
@pytest.mark.parametrize("exclude_seen", [False, True])
@pytest.mark.parametrize(
    "allow, deny", [(None, ()), (range(3, 25), ()), (None, range(9)), (range(20), range(7))]
)
def test_filters_against_a_loop(recommender, ids, exclude_seen, allow, deny):
    allowed = None if allow is None else {ids[i] for i in allow}
    denied = {ids[i] for i in deny}
    sessions = raw_sessions(ids)
    found = recommender.recommend(sessions, 6, exclude_seen, allowed, denied)
    for session, best in zip(sessions, found, strict=True):
        wanted = [
            (raw, score)
            for raw, score in expected(ids, session, 30)
            if raw not in denied
            and (allowed is None or raw in allowed)
            and not (exclude_seen and raw in session)
        ]
        same(best, wanted[:6])


def test_fewer_than_k_may_be_left(recommender, ids):
    (best,) = quietly(recommender, [ids[:2]], 5, exclude_seen=True, allow=ids[:4])
    assert {raw for raw, _ in best} == set(ids[2:4])
    assert quietly(recommender, [ids[:2]], allow=[]) == [[]]
    assert quietly(recommender, [ids[:2]], allow=None, deny=None) == quietly(recommender, [ids[:2]])


def test_the_most_popular_obey_the_filters(recommender, ids):
    with pytest.warns(UnknownItemWarning):
        (best,) = recommender.recommend([[]], 2, deny=[ids[17], "who?"])  # 29 clicks
    assert [raw for raw, _ in best] == [ids[4], ids[21]]  # 28 and 27


def test_the_same_from_many_threads(recommender, ids):
    sessions = raw_sessions(ids)
    wanted = [quietly(recommender, [session])[0] for session in sessions]
    recommender.scorer.model.train().eval()  # the vectors of all items are made anew
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda session: recommender.recommend([session])[0], sessions * 20))
    for best, right in zip(found, wanted * 20, strict=True):
        same(best, right)


COLLECTIONS = {
    "list": list,
    "tuple": tuple,
    "set": set,
    "keys": lambda ids: dict.fromkeys(ids).keys(),
    "generator": iter,
    "array": np.array,
    "objects": lambda ids: np.array(ids, dtype=object),
    "scalars": lambda ids: list(np.array(ids)),
    "series": pl.Series,
}
TENSORS = {"tensor": torch.tensor, "tensors": lambda ids: list(torch.tensor(ids))}


@pytest.mark.parametrize("count", [0, 1, 3])
def test_any_collection_of_ids_will_do(recommender, ids, count):
    (best,) = recommender.recommend([ids[:3]])
    some = [raw for raw, _ in best[:count]]
    kinds = COLLECTIONS if ids is IDS["str"] else COLLECTIONS | TENSORS  # of text there is none
    for kind, make in kinds.items():
        assert recommender.recommend([ids[:3]], allow=make(some)) == [best[:count]], kind
        (without,) = recommender.recommend([ids[:3]], 20 - count, deny=make(some))
        assert without == best[count:], kind
        if count and kind not in ("set", "keys"):
            clicks = ids[:count]
            assert recommender.recommend([make(clicks)]) == recommender.recommend([clicks]), kind
            assert recommender.explain(make(clicks)) == recommender.explain(clicks), kind


def test_the_rows_of_an_array_are_sessions(recommender, ids):
    wanted = recommender.recommend([ids[:2], ids[2:4]])
    assert recommender.recommend(np.array([ids[:2], ids[2:4]])) == wanted
    assert recommender.recommend(iter([ids[:2], ids[2:4]])) == wanted
    if ids is IDS["int"]:
        assert recommender.recommend(torch.tensor([ids[:2], ids[2:4]])) == wanted


def test_whole_numbers_may_be_filtered_by_their_texts(recommender, ids):
    texts = list(map(str, ids[3:9]))
    for name in ("deny", "allow"):
        (best,) = recommender.recommend([ids[:2]], 30, **{name: texts})
        assert [best] == recommender.recommend([ids[:2]], 30, **{name: ids[3:9]})
        assert {item in ids[3:9] for item, _ in best} == {name == "allow"}


def test_a_session_is_a_list_and_so_are_sessions(recommender, ids):
    """A text is one id, not a list of letters."""
    for flat in (ids[:3], np.array(ids[:3]), ids[0]):
        with pytest.raises(TypeError, match=r"recommend: .* must be a list of"):
            recommender.recommend(flat)
    with pytest.raises(TypeError, match=r"a session must be .*, as in \[\[17, 4, 17\]\] \(got "):
        recommender.recommend(ids[:3])
    with pytest.raises(TypeError, match=r"a session must be .* \(got \[.*\] in it\)"):
        recommender.recommend([[ids[:3]]])
    for nested in ([ids[:3]], np.array([ids[:3]]), ids[0]):
        with pytest.raises(
            TypeError, match=r"explain: the session must be .*, as in \[17, 4, 17\]"
        ):
            recommender.explain(nested)
    for name in ("deny", "allow"):
        for wrong in (ids[0], np.ones(30, dtype=bool), [ids[:2]], torch.tensor(7)):
            with pytest.raises(TypeError, match=f"recommend: '{name}' must be a list of raw ids"):
                recommender.recommend([ids[:2]], **{name: wrong})


# Why it is recommended.


def test_explain_against_scores_without_each_click(recommender, ids):
    session = [ids[i] for i in (3, 7, 3, 9, 7, 3)]
    found = recommender.explain(session)
    ((item, score),) = expected(ids, session, 1)
    assert (found.item, found.clicks, found.nodes) == (item, session, [ids[3], ids[7], ids[9]])
    assert found.score == pytest.approx(score, abs=1e-6)
    left_out = [session[:t] + session[t + 1 :] for t in range(6)]
    scores = [dict(expected(ids, rest, 30))[item] for rest in left_out]
    assert found.added == pytest.approx([score - one for one in scores], abs=1e-5)
    graph = naive_graph([0, 1, 0, 2, 1, 0])
    assert set(found.edges) == set(graph.counts)
    for (i, j), weight, back in zip(found.edges, found.weights, found.weights_in, strict=True):
        assert weight == pytest.approx(graph.out_weight(i, j))
        assert back == pytest.approx(graph.in_weight(i, j))
    model = recommender.scorer.model
    whole = session_graph(torch.tensor([3, 7, 3, 9, 7, 3]))
    alpha = model.attention(whole)
    assert found.attention == pytest.approx(alpha.tolist(), abs=1e-6)


def test_explain_another_item_a_single_click_and_nothing(recommender, ids):
    found = recommender.explain(["who?", ids[4]], item=ids[8])
    assert (found.item, found.clicks, found.added, found.edges) == (ids[8], [ids[4]], None, [])
    assert found.score == pytest.approx(dict(expected(ids, [ids[4]], 30))[ids[8]], abs=1e-6)
    with pytest.raises(ValueError, match="no item that the model knows"):
        recommender.explain(["who?"])
    with pytest.raises(ValueError, match="does not know the item 'who"):
        recommender.explain([ids[4]], item="who?")


@pytest.mark.parametrize("session", [[4], [3, 7, 3, 3, 9, 7]])
@pytest.mark.usefixtures("pictures")
def test_an_explanation_is_drawn(recommender, ids, session, tmp_path):
    found = recommender.explain([ids[i] for i in session])
    path = plot_explanation(found, tmp_path / "new" / "why.png")
    assert path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 10_000


def test_a_drawn_explanation_says_what_its_numbers_are(recommender, ids):
    found = recommender.explain([ids[i] for i in (3, 7, 3)])
    assert not found.log_probabilities  # of the plain model

    def texts(explanation):
        figure = draw_explanation(explanation)
        figure.draw_without_rendering()
        *_, added = figure.axes
        ticks = [text.get_text() for text in added.get_xticklabels()]
        return figure.get_suptitle(), figure.get_supxlabel(), added.get_title(), ticks

    dollars = replace(found, clicks=["$_", "_$", "$"], nodes=["$_$", "$"], item="$_$")
    assert texts(dollars)[0].startswith("why $_$: ")  # no formulas

    title, caption, adds, ticks = texts(found)
    assert title == f"why {found.item}: score {found.score:.3f}" and adds == "adds to the score"
    assert "a negative one subtracts it" in caption and "×" not in "".join(ticks)

    share = replace(found, score=math.log(0.25), added=[math.log(2), math.log(3), -1.0])
    title, caption, adds, ticks = texts(replace(share, log_probabilities=True, attention=None))
    assert title == f"why {found.item}: probability 25.00%" and adds == "factor on the probability"
    assert caption == "" and "×1" in ticks


def test_it_recommends_in_evaluation_mode_and_without_gradients(recommender, ids):
    assert not recommender.scorer.model.training
    state = recommender.scorer.model.state_dict()
    before = {name: tensor.clone() for name, tensor in state.items()}
    quietly(recommender, raw_sessions(ids))
    for name, tensor in state.items():
        assert torch.equal(tensor, before[name])


# Where checkpoints are found.


def make_run(folder: Path, chosen: str | None = None) -> None:
    """A run directory whose checkpoints are told apart by their weights."""
    (folder / "checkpoints").mkdir(parents=True)
    for seed, name in enumerate(("best", "last", "refit")):
        torch.save(entries(IDS["int"], seed), folder / "checkpoints" / f"{name}.ckpt")
    if chosen is not None:
        run_result(checkpoint=chosen).write(folder)


def weights(path: Path) -> torch.Tensor:
    return torch.load(path, weights_only=True)["state_dict"]["model.embedding.weight"]


@pytest.mark.parametrize(
    ("chosen", "name"),
    [("checkpoints/refit.ckpt", "refit"), ("checkpoints/best.ckpt", "best"), (None, "best")],
    ids=["refit", "best", "unfinished"],
)
@pytest.mark.parametrize("kind", [str, Path])
def test_a_run_directory_gives_its_final_checkpoint(tmp_path, chosen, name, kind):
    make_run(tmp_path, chosen)
    loaded = Recommender.load(kind(tmp_path)).scorer.model.embedding.weight
    assert torch.equal(loaded, weights(tmp_path / "checkpoints" / f"{name}.ckpt"))


def test_a_file_of_a_run(tmp_path):
    make_run(tmp_path, "checkpoints/refit.ckpt")
    loaded = Recommender.load(tmp_path / "checkpoints" / "last.ckpt").scorer.model.embedding.weight
    assert torch.equal(loaded, weights(tmp_path / "checkpoints" / "last.ckpt"))


def test_what_a_checkpoint_holds(file, ids):
    checkpoint = Checkpoint.load(file)
    assert checkpoint.vocabulary == Vocabulary(ids)
    assert torch.equal(checkpoint.clicks, CLICKS)
    assert checkpoint.dataset == {"name": "synthetic"}
    assert (checkpoint.split, checkpoint.protocol) == ("train", "honest")
    assert checkpoint.path == file
    assert not checkpoint.model.training


def test_nothing_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no such run directory or file"):
        Recommender.load(tmp_path / "nowhere")


def test_a_directory_that_holds_no_run(tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        Recommender.load(tmp_path)
    assert str(tmp_path) in str(error.value) and "no finished run" in str(error.value)


def test_a_run_whose_checkpoint_is_gone(tmp_path):
    make_run(tmp_path, "checkpoints/refit.ckpt")
    (tmp_path / "checkpoints" / "refit.ckpt").unlink()
    with pytest.raises(FileNotFoundError, match=r"refit\.ckpt"):
        Recommender.load(tmp_path)


def test_a_directory_with_metrics_of_something_else(tmp_path):
    (tmp_path / "metrics.json").write_text(json.dumps({"accuracy": 1}))
    with pytest.raises((FileNotFoundError, ValueError), match=str(tmp_path)):
        Recommender.load(tmp_path)


# Files that are no checkpoints of ours: one clear ValueError that names the file.


def refused(path: Path) -> str:
    with pytest.raises(ValueError) as error:
        Recommender.load(path)
    message = str(error.value)
    assert str(path) in message, f"does not name the file: {message}"
    assert "\n" not in message
    return message


class Payload:
    def __init__(self, sentinel: Path) -> None:
        self.sentinel = sentinel

    def __reduce__(self):
        return os.system, (f"touch '{self.sentinel}'",)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("place", ["state_dict", "model", "vocabulary", "clicks", "anything"])
@pytest.mark.parametrize("form", ["zip", "pickle"])
def test_trap_plain_pickle_load_of_a_checkpoint(tmp_path, place, form):
    sentinel, file = tmp_path / "executed", tmp_path / "evil.ckpt"
    stored = entries(IDS["int"], **{place: Payload(sentinel)})
    if form == "zip":
        torch.save(stored, file)
    else:
        file.write_bytes(pickle.dumps(stored))
    message = refused(file)
    assert not sentinel.exists()
    assert "not a checkpoint that srgnn-train wrote" in message


def test_a_refusal_does_not_advise_to_switch_the_safety_off(tmp_path):
    file = tmp_path / "evil.ckpt"
    torch.save({"model": Payload(tmp_path / "executed")}, file)
    assert "weights_only" not in refused(file)


def test_truncated_files(tmp_path):
    torch.save(entries(IDS["int"]), tmp_path / "whole.ckpt")
    whole, file = (tmp_path / "whole.ckpt").read_bytes(), tmp_path / "cut.ckpt"
    for size in (0, 1, 100, len(whole) // 2, len(whole) - 100, len(whole) - 1):
        file.write_bytes(whole[:size])
        refused(file)


@pytest.mark.parametrize("content", [b"hello\n" * 50, b"\x89PNG\r\n\x1a\n" * 9, b'{"a": 1}', b"P"])
def test_another_kind_of_file(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    refused(tmp_path / "file")


OTHERS = {
    "a tensor": torch.zeros(3),
    "a list": [1, 2],
    "a number": 3,
    "nothing": None,
    "a state dict": {"embedding.weight": torch.zeros(3, 2)},
}


@pytest.mark.filterwarnings("ignore:Using a non-tuple sequence")
@pytest.mark.parametrize("what", OTHERS)
def test_a_checkpoint_of_another_kind(tmp_path, what):
    torch.save(OTHERS[what], tmp_path / "other.ckpt")
    assert "not a checkpoint that srgnn-train wrote" in refused(tmp_path / "other.ckpt")


CHANGES = {
    "unknown model": {"model": {"name": "gru4rec", "num_items": 30}},
    "unknown argument": {"model": {"name": "srgnn", "num_items": 30, "layers": 2}},
    "wrong argument": {"model": {"name": "srgnn", "num_items": 30, "channels": "six"}},
    "other shapes": {"model": {"name": "srgnn", "num_items": 30, "channels": 7}},
    "settings are no mapping": {"model": "srgnn"},
    "weights are no mapping": {"state_dict": [1]},
    "weights are missing": {"state_dict": {}},
    "an id stands twice": {"vocabulary": [1] * 30},
    "vocabulary is a number": {"vocabulary": 30},
    "vocabulary is too short": {"vocabulary": [1, 2, 3]},
    "clicks are too short": {"clicks": torch.zeros(3)},
    "clicks are a list": {"clicks": [1, 2]},
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_checkpoint_that_does_not_hold_together(tmp_path, what):
    torch.save(entries(IDS["int"], **CHANGES[what]), tmp_path / "odd.ckpt")
    refused(tmp_path / "odd.ckpt")
