"""Distillation against plain loops, its gradients, and its teacher."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Batch

from pyg_srgnn.data import Sessions
from pyg_srgnn.nn import SRGNN, Distillation, GRU4Rec, ModelMixture
from pyg_srgnn.nn import distillation as module
from pyg_srgnn.nn.distillation import divergence
from tests.nn import catalogue
from tests.nn.test_srgnn import CHANNELS, ITEMS, SESSIONS, TARGETS, batch_of, exact_weights
from tests.reference import ensemble as reference
from tests.reference.names import random_sessions, randomise

TRAINING = Sessions.from_lists(random_sessions(20, ITEMS, seed=4))
STUDENTS = {
    "mixture": {"scale": 3.0, "repeat": True, "neighbours": 3, "transitions": 4},
    "transitions": {"transitions": 4},
    "plain": {},
}


def make(seed: int, **options: object) -> SRGNN:
    model = randomise(SRGNN(ITEMS, CHANNELS, **options).double(), seed, 0.5)
    model.set_training(TRAINING)
    return model


@pytest.mark.parametrize("kept", [1, 4, ITEMS, 200])
def test_the_divergence_is_that_of_plain_loops(kept: int) -> None:
    draw = torch.Generator().manual_seed(3)
    q, p = (
        torch.randn(20, ITEMS, generator=draw, dtype=torch.float64).log_softmax(1) for _ in "qp"
    )
    items = q.topk(min(kept, ITEMS)).indices
    found = divergence(q.gather(1, items), p.gather(1, items))
    for row in range(len(q)):
        expected = reference.divergence(q[row].exp().tolist(), p[row].exp().tolist(), kept)
        assert found[row].item() == pytest.approx(expected, abs=1e-9)
    assert divergence(q, q).abs().max() < 1e-12


def test_items_that_a_model_excludes_do_no_harm() -> None:
    q = torch.randn(3, ITEMS).log_softmax(1)
    without = q.clone()
    without[:, -1] = -torch.inf
    for teacher, student in ((without, q), (q, without), (without, without)):
        student = student.clone().requires_grad_()
        loss = divergence(teacher, student).sum()
        loss.backward()
        assert loss.isfinite() and student.grad is not None and student.grad.isfinite().all()


@pytest.mark.parametrize("name", STUDENTS)
def test_the_loss_is_the_weighted_sum_and_so_are_its_gradients(name: str) -> None:
    student, teacher = make(0, **STUDENTS[name]), make(1, repeat=True, transitions=4)
    batch = exact_weights(batch_of(SESSIONS, TARGETS), SESSIONS)
    found = Distillation(teacher, TRAINING, weight=0.3, kept=4).loss(student, batch)
    found.backward()
    gradients = {n: p.grad.clone() for n, p in student.named_parameters() if p.grad is not None}
    assert gradients["embedding.weight"].abs().sum() > 0
    assert all(parameter.grad is None for parameter in teacher.parameters())

    student.zero_grad()
    with torch.no_grad():
        q = teacher.eval().log_distribution(batch, counted=True).exp()
    p = student.log_distribution(batch, counted=True).exp()
    total = q.new_zeros(())
    for row in range(len(q)):
        best = q[row].argsort(descending=True)[:4].tolist()
        pairs = [(q[row, i], p[row, i]) for i in best]
        rest = 1 - torch.stack([torch.stack(pair) for pair in pairs]).sum(dim=0)
        pairs.append(tuple(rest.clamp(min=1e-4)))
        total = total + sum(a * (a.log() - b.log()) for a, b in pairs)
    expected = 0.7 * student.loss(batch) + 0.3 * total / len(q)
    assert found.item() == pytest.approx(expected.item(), abs=1e-9)
    expected.backward()
    for n, parameter in student.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(gradients[n], parameter.grad, rtol=0, atol=1e-9)


@pytest.mark.parametrize("options", [{}, {"transitions": 4}])
def test_what_the_student_never_sees_is_part_of_the_rest(options: dict[str, object]) -> None:
    cold = catalogue.TRAINED
    student = catalogue.make(item_table="id", **options)
    teacher = randomise(SRGNN(catalogue.ITEMS, CHANNELS).double(), 1, 0.5)
    batch = exact_weights(batch_of(catalogue.SESSIONS, catalogue.TARGETS), catalogue.SESSIONS)
    loss = Distillation(teacher, TRAINING, weight=1.0, kept=200).loss(student.train(), batch)
    q = teacher.log_distribution(batch)[:, :cold]
    p = student.log_distribution(batch, counted=True)[:, :cold].double()
    assert loss.item() == pytest.approx(divergence(q, p).mean().item(), abs=1e-6)


def test_a_student_with_texts_learns_from_one_with_texts() -> None:
    options = {"item_table": "id", "text_expert": True, "text_neighbours": 3, "repeat": True}
    student, teacher = (catalogue.make(seed=seed, scale=3.0, **options) for seed in (0, 1))
    sessions = Sessions.from_lists([[i % catalogue.TRAINED for i in s] for s in catalogue.TRAINING])
    batch = batch_of(catalogue.SESSIONS, catalogue.TARGETS)
    exact_weights(batch, catalogue.SESSIONS)
    batch.row = torch.arange(len(catalogue.SESSIONS)) % sessions.num_samples
    loss = Distillation(teacher, sessions, weight=1.0).loss(student.train(), batch)
    loss.backward()
    gradients = {n: p.grad for n, p in student.named_parameters() if p.grad is not None}
    assert loss.isfinite() and all(bool(grad.isfinite().all()) for grad in gradients.values())
    assert gradients["text_expert.gate.weight"].abs().sum() > 0


def test_sessions_that_are_held_out_teach_the_gates_alone() -> None:
    student = catalogue.make(item_table="id", text_expert=True, repeat=True, scale=3.0).train()
    student.set_training(Sessions.from_lists(random_sessions(60, catalogue.TRAINED)))
    batch = exact_weights(batch_of(catalogue.SESSIONS, catalogue.TARGETS), catalogue.SESSIONS)
    assert student._samples is not None
    row = torch.arange(student._samples.count)
    row = row[student._samples.held_out(row).argsort(descending=True, stable=True)]
    batch.row = torch.cat([row[:3], row[3 - len(catalogue.SESSIONS) :]])
    held_out = student._held_out(batch)
    assert held_out is not None and held_out[:3].all() and not held_out[3:].any()
    items = torch.arange(catalogue.TRAINED).expand(len(held_out), -1)
    for of, learned in ((held_out, False), (~held_out, True)):
        student.zero_grad()
        logs = student.loss_and_logs(batch, items)[1]
        assert logs is not None
        logs[of].square().sum().backward()
        assert student.text_expert.gate.weight.grad.abs().sum() > 0
        grad = student.embedding.weight.grad
        assert bool(grad is not None and grad.abs().sum() > 0) == learned


def test_a_sampled_student_is_refused() -> None:
    student = SRGNN(ITEMS, CHANNELS, loss="sampled", negatives=4, sampling="uniform").double()
    batch = exact_weights(batch_of(SESSIONS, TARGETS), SESSIONS)
    with pytest.raises(ValueError, match="loss='sampled' has no probabilities"):
        Distillation(make(1), TRAINING).loss(student, batch)


def test_a_mixture_of_models_teaches() -> None:
    student = GRU4Rec(ITEMS, CHANNELS).double()
    teacher = ModelMixture([make(1, repeat=True), make(2)]).double()
    batch = exact_weights(batch_of(SESSIONS, TARGETS), SESSIONS)
    distillation = Distillation(teacher, TRAINING, weight=1.0)
    optimizer = torch.optim.Adam(student.parameters(), lr=0.05)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = distillation.loss(student, batch)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_the_teacher_leaves_out_what_it_counted_of_the_sample() -> None:
    teacher = make(0, transitions=4).eval()
    sessions = Sessions.from_lists([[0, 1], [2, 3], [2, 3], [2, 3]])
    distillation = Distillation(teacher, sessions, weight=1.0)
    student = copy.deepcopy(teacher).train()
    batch = exact_weights(batch_of([[0]], [1]), [[0]])
    hidden = teacher.log_distribution(batch, counted=True)
    assert divergence(teacher.log_distribution(batch), hidden).item() > 1e-4  # tells the answer
    assert distillation.loss(student, batch).item() == pytest.approx(0)


@pytest.mark.parametrize("repeat", [False, True])
@pytest.mark.parametrize(
    "keys", [{"popularity": [0.5]}, {"neighbours": 3, "neighbours_leave_out": True}]
)
def test_the_teacher_leaves_the_sample_out_of_all_counts(
    keys: dict[str, object], repeat: bool
) -> None:
    teacher = make(0, repeat=repeat, **keys)
    sessions = Sessions.from_lists([[0, 1], [2, 3], [2, 3], [2, 3], [0, 4]])
    distillation = Distillation(teacher, sessions, weight=1.0)
    student = copy.deepcopy(teacher).train()
    batch = exact_weights(batch_of([[0]], [1]), [[0]])
    batch.row = torch.tensor([0])
    hidden = teacher.log_distribution(batch, counted=True)
    assert divergence(teacher.log_distribution(batch), hidden).item() > 1e-5  # tells the answer
    assert distillation.loss(student, batch).item() == pytest.approx(0)
    loss = teacher.train().loss(batch).item()
    assert -hidden[0, 1].item() == pytest.approx(loss, abs=1e-6)


def test_a_teacher_is_asked_once_for_each_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(row: Tensor) -> Batch:
        sessions, cuts = TRAINING.samples(row)
        clicks = [TRAINING[int(s)].tolist() for s in sessions]
        prefixes = [each[: int(cut)] for each, cut in zip(clicks, cuts, strict=True)]
        targets = [each[int(cut)] for each, cut in zip(clicks, cuts, strict=True)]
        batch = exact_weights(batch_of(prefixes, targets), prefixes)
        batch.row = row
        return batch

    teacher, student = make(1, repeat=True, transitions=4), make(0, repeat=True).train()
    asked: list[list[int]] = []
    scored = teacher.log_distribution

    def log_distribution(data: Batch, counted: bool = False) -> Tensor:
        asked.append(data.row.tolist())
        return scored(data, counted)

    monkeypatch.setattr(teacher, "log_distribution", log_distribution)
    monkeypatch.setattr(module, "_AT_ONCE", 2 * ITEMS)
    always, once = (
        Distillation(teacher, TRAINING, 1.0, kept=4, build=each) for each in (None, build)
    )
    rows = [[3, 0, 3, 9], [9, 1, 0], [1, 3]]
    for row in rows:
        batch = build(torch.tensor(row))
        found, expected = once.loss(student, batch), always.loss(student, batch)
        assert found.item() == pytest.approx(expected.item(), abs=2e-3)  # half precision
    assert asked == [[0, 3], [9], rows[0], [1], rows[1], rows[2]]  # two at once

    monkeypatch.setattr(module, "_MEMORY", 1)
    asked.clear()
    large = Distillation(teacher, TRAINING, 1.0, build=build)
    for _ in range(2):
        large.loss(student, build(torch.tensor(rows[0])))
    assert asked == [rows[0], rows[0]]


def test_wrong_weights_are_refused() -> None:
    for weight in (0, 1.5, None):
        with pytest.raises(ValueError, match="'weight' must be a number > 0 and <= 1"):
            Distillation(make(0), TRAINING, weight=weight)
