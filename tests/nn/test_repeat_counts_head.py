"""The repeat head by counts: where it starts, and what training must not know of its sessions."""

from __future__ import annotations

import math

import pytest
import torch

from pyg_srgnn.baselines import SessionPopularity
from pyg_srgnn.data import Sessions
from pyg_srgnn.data.graphs import graphs_of
from pyg_srgnn.functional.lookups import followers_of, own_items_followed
from pyg_srgnn.nn import SRGNN
from pyg_srgnn.nn.encoders import encoder_of, weights_of
from tests.nn.test_ingredients import CHANNELS, ITEMS, SESSIONS, TRAINING, exact_counts, make
from tests.nn.test_srgnn import batch_of, exact_weights
from tests.reference import ingredients as reference
from tests.reference import repeat_counts
from tests.reference.names import random_sessions

COUNTS = {"transitions": ITEMS, "leave_out": "session"}


def test_it_starts_as_session_popularity() -> None:
    sessions = [*SESSIONS, *random_sessions(40, 5, seed=3, longest=40), [0] * 40 + [1] * 41]
    model = SRGNN(ITEMS, CHANNELS, repeat="counts", **COUNTS)
    model.set_training(Sessions.from_lists(TRAINING))
    batch = batch_of(sessions)
    popular = SessionPopularity.fit(Sessions.from_lists(TRAINING), ITEMS).scores(batch)
    with torch.no_grad():
        found = model.eval().scores(batch)
    for session, row, wanted in zip(sessions, found, popular, strict=True):
        own = torch.tensor(sorted(set(session)))
        assert torch.equal(row[own].argsort(), wanted[own].argsort()), session


@pytest.mark.parametrize("half_life", [None, 0.3])
@pytest.mark.parametrize("repeat", [False, True, "counts"])
def test_training_leaves_the_whole_session_out(repeat: bool | str, half_life: float | None) -> None:
    """What a session does later would give its target away as well."""
    model = make(repeat=repeat, counts_half_life=half_life, **COUNTS).train()
    exact_counts(model, half_life)
    weights = reference.weights_of(TRAINING, half_life)
    transitions = reference.transitions_of(TRAINING, ITEMS, half_life)
    samples = [(n, cut) for n, s in enumerate(TRAINING) for cut in range(1, len(s))]
    chosen = [k for k, (n, cut) in enumerate(samples) if len(set(TRAINING[n][:cut])) < ITEMS - 2]
    chosen.reverse()
    wanted, sessions, targets = 0.0, [], []
    for number, cut in (samples[k] for k in chosen):
        whole = TRAINING[number]
        sessions.append(whole[:cut])
        targets.append(whole[cut])
        row = reference.log_probabilities(
            *(model, whole[:cut]),
            repeat=repeat,
            transitions=transitions,
            own=whole[cut],
            others=repeat_counts.without_session(transitions, whole, weights[number]),
        )
        wanted -= float(row[whole[cut]].detach()) / len(chosen)
    batch = exact_weights(batch_of(sessions, targets), sessions)
    batch.row = torch.tensor(chosen)
    assert model.loss(batch).item() == pytest.approx(wanted, abs=1e-9)
    assert model.eval().loss(batch).item() != pytest.approx(wanted, abs=1e-3)


def test_samples_whose_sessions_are_left_out_are_numbered() -> None:
    model = make(**COUNTS).train()
    with pytest.raises(ValueError, match=r"'leave_out'.* data\.row, .*\(got none\)"):
        model.loss(batch_of(SESSIONS, [0] * len(SESSIONS)))


def test_an_export_holds_the_counts_once() -> None:
    model = make(repeat="counts", **COUNTS)
    transitions, repeat = encoder_of(model.float()).components
    assert repeat.tables.items() <= transitions.tables.items()
    weights = weights_of(model, torch.ones(ITEMS, dtype=torch.long))
    assert not any(name.startswith("repeat.") for name in weights)


def test_only_followers_that_are_kept_are_taken_from_the_sum() -> None:
    sessions = Sessions.from_lists([[0, 1], [0, 1], [0, 2, 3, 4, 5, 6]])
    model = SRGNN(ITEMS, CHANNELS, transitions=2, leave_out="session", repeat="counts").train()
    model.set_training(sessions)
    assert model.transitions is not None and model.repeat is not None
    batch = batch_of([[0]], [2])
    batch.row = torch.tensor([2])
    graphs, hidden = graphs_of(batch), model._hidden(batch)
    followed = followers_of(batch.x, graphs, None, hidden, **model.transitions.tables())
    assert followed.known is not None and followed.known.tolist() == pytest.approx([math.log(3)])
    own = own_items_followed(batch.x, graphs, None, hidden, **model.repeat.tables())
    assert own.known is not None and own.known.tolist() == [[[0, 2]] * 3]
