"""What only a GPU can tell. Skipped where there is none."""

import pytest
import torch

from pyg_srgnn.checkpoint import Checkpoint
from pyg_srgnn.data import SessionLoader, Sessions
from pyg_srgnn.data.graphs import session_graphs
from pyg_srgnn.datasets import open_dataset
from pyg_srgnn.evaluation.loop import evaluate
from pyg_srgnn.nn import SRGNN, Distillation, GRU4Rec, ModelMixture
from pyg_srgnn.training import train
from pyg_srgnn.training.optimizer import adam
from tests.reference.names import random_sessions
from tests.tiny import tiny_config
from tests.training.interruption import interrupted

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
ITEMS = 5000
SESSIONS = random_sessions(64, ITEMS)


def batch():
    lengths = torch.tensor([len(session) for session in SESSIONS])
    items = torch.tensor([item for session in SESSIONS for item in session])
    return session_graphs(items, lengths, torch.arange(len(SESSIONS)))


OUTPUT = {
    **{"scale": 12.0, "item_bias": True, "popularity": [0.1, 1.0], "temperature": True},
    **{"output_table": "delta"},
}
ENCODERS = {"scale": 12.0, "sequence": "joint", "softmaxes": 2, "readout_levels": 3}


@pytest.mark.parametrize("products", ["full", "bfloat16"])
@pytest.mark.parametrize("output", [{}, OUTPUT, ENCODERS])
def test_a_step_never_makes_the_host_wait(products, output):
    model = SRGNN(ITEMS, 32, products=products, **output)
    model.set_training(Sessions.from_lists(SESSIONS))
    model.cuda()
    optimizer = adam(model, lr=1e-3, weight_decay=1e-5)
    pinned = batch()
    pinned.row = torch.arange(len(SESSIONS))
    pinned = pinned.pin_memory()

    def step():
        optimizer.zero_grad()
        model.loss(pinned.to("cuda", non_blocking=True)).backward()
        optimizer.step()

    step()  # the optimizer's state is made here
    torch.cuda.set_sync_debug_mode("error")
    try:
        step()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("loss", ["cross_entropy", "binary"])
def test_the_same_as_on_a_cpu(loss):
    torch.manual_seed(0)
    model = SRGNN(ITEMS, 32, loss=loss).double()
    value = model.loss(batch())
    value.backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    there = model.cuda()
    again = there.loss(batch().to("cuda"))
    again.backward()
    assert again.item() == pytest.approx(value.item(), rel=1e-10)
    for name, parameter in there.named_parameters():
        torch.testing.assert_close(parameter.grad.cpu(), gradients[name], rtol=1e-8, atol=1e-12)
    best = there.topk(batch().to("cuda"), 20)[0].cpu()
    torch.testing.assert_close(best, there.cpu().topk(batch(), 20)[0])


def test_a_mixture_teaches_as_on_a_cpu():
    torch.manual_seed(0)
    sessions, keys = Sessions.from_lists(SESSIONS), {"repeat": True, "transitions": 9}
    student, *members = (SRGNN(ITEMS, 32, scale=9.0, **keys).double() for _ in range(3))
    student.set_training(sessions)
    teacher = ModelMixture([*members, GRU4Rec(ITEMS, 32).double()]).double()
    distillation, data = Distillation(teacher, sessions), batch()
    expected = distillation.loss(student, data)
    expected.backward()
    gradient = student.embedding.weight.grad.clone()
    student.zero_grad()
    distillation.to(torch.device("cuda"))
    found = distillation.loss(student.cuda(), data.to("cuda"))
    found.backward()
    assert found.item() == pytest.approx(expected.item(), rel=1e-9)
    torch.testing.assert_close(student.embedding.weight.grad.cpu(), gradient, rtol=1e-7, atol=1e-12)


ON_GPU = ("trainer.accelerator=gpu", "baselines=[]")


def weights(run_dir):
    return Checkpoint.load(run_dir).model.state_dict()


@pytest.mark.parametrize(
    "keys",
    [[], ["model.loss=sampled"], ["model=gru4rec"], ["trainer.precision=bf16-mixed"]],
    ids=" ".join,
)
def test_a_deterministic_run_is_the_same_again_bit_for_bit(keys, tmp_path):
    made = []
    for name in ("first", "second"):
        config = tiny_config(tmp_path / "data", *keys, *ON_GPU, "deterministic=true")
        result = train(config, tmp_path / name)
        made.append((result.test, weights(tmp_path / name)))
    (test, first), (again, second) = made
    assert test == again and result.device == torch.cuda.get_device_name()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_an_interrupted_run_goes_on_to_the_same_end(tmp_path, monkeypatch):
    config = tiny_config(
        tmp_path / "data", *ON_GPU, "deterministic=true", "trainer.max_epochs=4", "patience=4"
    )
    train(config, tmp_path / "whole")
    interrupted(config, tmp_path / "broken", monkeypatch)
    train(config, tmp_path / "broken")
    whole, broken = weights(tmp_path / "whole"), weights(tmp_path / "broken")
    assert all(torch.equal(whole[name], broken[name]) for name in whole)


def test_the_metrics_of_a_cpu_and_a_gpu_are_the_same(tmp_path):
    trained = train(tiny_config(tmp_path / "data", *ON_GPU), tmp_path / "run")
    config = tiny_config(tmp_path / "data")
    test = open_dataset(config.dataset, "test")
    model = Checkpoint.load(tmp_path / "run").model
    assert evaluate(model, SessionLoader(test, 64), test.num_items) == pytest.approx(
        trained.test, abs=1e-6
    )
