"""A mixture of models against plain loops, and what it is made of."""

from __future__ import annotations

import math

import pytest
import torch

from pyg_srgnn.data import Sessions
from pyg_srgnn.functional.mixture_weights import TEMPERATURES, best_temperatures, mixture_weights
from pyg_srgnn.functional.model_mixture import split
from pyg_srgnn.nn import SRGNN, GRU4Rec, ModelMixture, rebuild_model
from tests.nn.test_srgnn import CHANNELS, ITEMS, SESSIONS, batch_of, exact_weights
from tests.reference import ensemble as reference
from tests.reference.names import random_sessions, randomise

FITTED = {
    "new_weight": [0.2, 0.5, 0.3],
    "own_weight": [0.6, 0.4, 0.0],
    "gate_weight": [0.7, 0.1, 0.2],
    "temperature": [0.8, 1.0, 1.3],
}


def members() -> list[SRGNN | GRU4Rec]:
    """A mixture with components, a plain softmax, and another kind of model, in float64."""
    models = [
        SRGNN(ITEMS, CHANNELS, scale=3.0, repeat=True, neighbours=3, transitions=4),
        SRGNN(ITEMS, CHANNELS),
        GRU4Rec(ITEMS, CHANNELS, scale=2.0),
    ]
    for seed, model in enumerate(models):
        randomise(model.double(), seed, 0.5)
        model.set_training(Sessions.from_lists(random_sessions(20, ITEMS, seed=4)))
    return models


def mixed() -> ModelMixture:
    mixture = ModelMixture(members()).double()
    for name, values in FITTED.items():
        getattr(mixture, name).copy_(torch.tensor(values, dtype=torch.float64))
    return mixture


def test_the_probabilities_are_those_of_plain_loops() -> None:
    mixture = mixed()
    some = [each for each in SESSIONS if len(set(each)) < ITEMS]
    batch = exact_weights(batch_of(some), some)
    found = mixture.scores(batch)
    of_members = [member.log_distribution(batch).exp().tolist() for member in mixture.members]
    for row, session in enumerate(some):
        given = [probabilities[row] for probabilities in of_members]
        assert all(math.isclose(sum(p), 1, abs_tol=1e-9) for p in given)
        weights = [getattr(mixture, name).tolist() for name in FITTED]
        expected = reference.mixture(given, session, *weights)
        assert found[row].exp().tolist() == pytest.approx(expected, abs=1e-9)
        assert sum(expected) == pytest.approx(1, abs=1e-9)


def test_a_session_of_the_whole_catalogue_has_no_new_items() -> None:
    mixture = mixed()
    everything = list(range(ITEMS))
    found = mixture.scores(exact_weights(batch_of([everything, [0]]), [everything, [0]])).exp()
    assert not found.isnan().any()
    assert found[1].sum().item() == pytest.approx(1, abs=1e-9)


def test_the_parts_of_the_members_add_up() -> None:
    mixture = mixed()
    batch = exact_weights(batch_of(SESSIONS[:8]), SESSIONS[:8])
    items = torch.arange(8).unsqueeze(1) % ITEMS + torch.tensor([[0, 1, 0]])
    parts = mixture.log_parts(batch, items)
    assert list(parts) == ["member_1", "member_2", "member_3"]
    total = torch.stack(list(parts.values())).logsumexp(dim=0)
    torch.testing.assert_close(total, mixture.scores(batch).gather(1, items), rtol=0, atol=1e-9)


def test_the_best_items_are_those_of_the_scores() -> None:
    mixture = mixed()
    batch = exact_weights(batch_of(SESSIONS), SESSIONS)
    scores, items = mixture.topk(batch, 4)
    torch.testing.assert_close(scores, mixture.scores(batch).topk(4).values)
    torch.testing.assert_close(mixture.scores(batch).gather(1, items), scores)
    assert mixture.topk(batch, 99)[0].shape == (len(SESSIONS), ITEMS)


def test_one_member_alone_is_that_member() -> None:
    member = members()[0]
    batch = exact_weights(batch_of(SESSIONS), SESSIONS)
    found = ModelMixture([member]).double().scores(batch)
    torch.testing.assert_close(found, member.scores(batch), rtol=0, atol=1e-9)


def test_a_mixture_is_made_again_from_its_settings() -> None:
    settings = [
        {"name": "srgnn", "num_items": ITEMS, "channels": CHANNELS, "repeat": True},
        {"name": "gru4rec", "num_items": ITEMS, "channels": CHANNELS},
    ]
    inner = {"name": "mixture", "members": settings}
    first, second = (
        rebuild_model({"name": "mixture", "members": [inner, *settings]}) for _ in "12"
    )
    second.load_state_dict(first.state_dict())
    batch = batch_of(SESSIONS)
    torch.testing.assert_close(first.scores(batch), second.scores(batch))
    assert not any(parameter.requires_grad for parameter in first.parameters())


def test_members_of_other_catalogues_are_refused() -> None:
    expected = r"'members' must be models with the same items \(got \[5, 9\]\)"
    with pytest.raises(ValueError, match=expected):
        ModelMixture([SRGNN(9, 4), SRGNN(5, 4)])


def test_mixtures_are_nested_once() -> None:
    twice = ModelMixture([ModelMixture([SRGNN(9, 4)]), SRGNN(9, 4)])
    expected = r"'members' must be .* at most 2 mixtures in each other \(got 3\)"
    with pytest.raises(ValueError, match=expected):
        ModelMixture([SRGNN(9, 4), twice])


def test_the_own_transition_of_a_sample_is_left_out() -> None:
    model = members()[0].eval()
    training = Sessions.from_lists([[0, 1], [0, 2], [0, 2], [3, 4]])
    model.set_training(training)
    batch = exact_weights(batch_of([[0], [3]], [1, 4]), [[0], [3]])
    target = batch.y.unsqueeze(1)
    seen, hidden = model.log_distribution(batch), model.log_distribution(batch, counted=True)
    assert (hidden.gather(1, target) < seen.gather(1, target)).all()
    mixture = ModelMixture([model]).double()
    found = mixture.log_distribution(batch, counted=True)
    torch.testing.assert_close(found, hidden, rtol=0, atol=1e-9)


def test_weights_are_the_likeliest() -> None:
    draw = torch.Generator().manual_seed(0)
    logs = torch.randn(400, 3, generator=draw, dtype=torch.float64)
    logs[:, 1] += 0.5
    weight, likelihood = mixture_weights(logs, steps=3000)
    assert weight.sum().item() == pytest.approx(1)
    assert likelihood.item() == pytest.approx((logs.exp() @ weight).log().sum().item(), abs=1e-6)
    # No other weights on a grid are better.
    for a in torch.linspace(0, 1, 21).tolist():
        for b in torch.linspace(0, 1 - a, 21).tolist():
            other = torch.tensor([a, b, max(0.0, 1 - a - b)], dtype=torch.float64)
            assert (logs.exp() @ other).log().sum() <= likelihood + 1e-6


def test_weights_without_a_sample_are_alike() -> None:
    nothing = torch.full((2, 4), -torch.inf)
    for logs in (nothing[:0], nothing):
        assert mixture_weights(logs)[0].tolist() == [0.25] * 4


def test_the_temperature_that_made_the_targets_is_found() -> None:
    draw = torch.Generator().manual_seed(1)
    scores = 3 * torch.randn(4000, 6, generator=draw)
    target = torch.multinomial((scores / 0.7).softmax(1), 1, generator=draw)
    tried = [(scores / t).log_softmax(1).gather(1, target) for t in TEMPERATURES]
    logs = torch.stack(tried, dim=2)
    assert TEMPERATURES[best_temperatures(logs, logs[:0])[0]] == 0.7
    assert TEMPERATURES[best_temperatures(logs[:0], logs[:0])[0]] == 1.0


def test_a_split_that_is_put_together_is_the_whole() -> None:
    batch = batch_of(SESSIONS[:6])
    log_p = torch.randn(6, ITEMS, dtype=torch.float64).log_softmax(1)
    new, own, gate = split(log_p, batch.batch, batch.x)
    whole = new + torch.log1p(-gate.exp()).unsqueeze(1)
    whole[batch.batch, batch.x] = own + gate[batch.batch]
    torch.testing.assert_close(whole, log_p, rtol=0, atol=1e-9)


def test_members_take_as_many_earlier_clicks() -> None:
    def model(number: int) -> SRGNN:
        return SRGNN(ITEMS, CHANNELS, earlier=True, num_earlier=number)

    ModelMixture([model(3), SRGNN(ITEMS, CHANNELS), model(3)])  # one that knows no users
    with pytest.raises(ValueError, match=r"same dataset\.user_clicks \(got \[3, 10\]\)"):
        ModelMixture([model(3), ModelMixture([model(10)])])
