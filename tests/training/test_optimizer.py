"""Adam row by row: what it equals, what a checkpoint holds of it, and a run that uses it."""

from __future__ import annotations

import copy
import io
import pickle
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyg_srgnn.commands.validate import validate_run
from pyg_srgnn.nn import SRGNN
from pyg_srgnn.training import SessionModule, train
from pyg_srgnn.training.optimizer import RowwiseAdam, adam
from tests.tiny import tiny_config
from tests.training.test_run import interrupted, rows_of, untimed

ROWS, CHANNELS = 9, 3
STEPS = [[0, 4, 4], [2, 7], [4, 2, 0, 4], [7], [4, 0], [1, 2, 2, 7]]  # 3, 5, 6, 8: never
FUSED = pytest.mark.parametrize("fused", [False, True])


class Net(nn.Module):
    """A table and something dense behind it."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.table = nn.Parameter(torch.randn(ROWS, CHANNELS, generator=generator))
        self.dense = nn.Linear(CHANNELS, 2)
        with torch.no_grad():
            for parameter in self.dense.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))

    def loss(self, rows: list[int]) -> Tensor:
        embedded = F.embedding(torch.tensor(rows), self.table, sparse=True)
        return (self.dense(embedded).tanh() ** 2).sum()

    def rowwise(self, weight_decay: float = 0.0, fused: bool = False) -> RowwiseAdam:
        return RowwiseAdam(self.table, self.dense.parameters(), 0.05, weight_decay, fused)

    def step(self, rows: list[int], *optimizers: torch.optim.Optimizer) -> None:
        self.zero_grad()
        self.loss(rows).backward()
        for optimizer in optimizers:
            optimizer.step()


def assert_same(a: nn.Module, b: nn.Module) -> None:
    for (name, ours), theirs in zip(a.named_parameters(), b.parameters(), strict=True):
        assert torch.equal(ours, theirs), name


@FUSED
@pytest.mark.parametrize("loss", ["cross_entropy", "binary"])
def test_dense_losses_have_plain_adam(loss: str, fused: bool) -> None:
    model = SRGNN(ROWS, 4, loss=loss)
    optimizer = adam(model, 0.01, 0.02, fused)
    assert type(optimizer) is torch.optim.Adam
    (group,) = optimizer.param_groups
    assert (group["lr"], group["weight_decay"], group["fused"]) == (0.01, 0.02, fused)
    assert [id(p) for p in group["params"]] == [id(p) for p in model.parameters()]


@FUSED
def test_the_sampled_loss_has_adam_row_by_row(fused: bool) -> None:
    model = SRGNN(ROWS, 4, loss="sampled")
    optimizer = adam(model, 0.01, 0.02, fused)
    assert isinstance(optimizer, RowwiseAdam)
    table, others = optimizer.param_groups
    assert [id(p) for p in table["params"]] == [id(model.embedding.weight)]
    both = {id(p) for group in (table, others) for p in group["params"]}
    assert both == {id(p) for p in model.parameters()}
    assert len(others["params"]) == len(list(model.parameters())) - 1
    for group in (table, others):
        assert (group["lr"], group["weight_decay"]) == (0.01, 0.02)
    assert others["fused"] is fused


@FUSED
def test_it_equals_two_optimizers_step_by_step(fused: bool) -> None:
    ours, theirs = Net(), Net()
    optimizer = ours.rowwise(fused=fused)
    sparse = torch.optim.SparseAdam([theirs.table], lr=0.05)
    dense = torch.optim.Adam(theirs.dense.parameters(), lr=0.05, fused=fused)
    for rows in STEPS:
        before = ours.table.detach().clone()
        ours.step(rows, optimizer)
        theirs.step(rows, sparse, dense)
        assert_same(ours, theirs)
        assert not torch.equal(before[rows], ours.table[rows])
    for moment in ("exp_avg", "exp_avg_sq"):
        assert torch.equal(optimizer.state[ours.table][moment], sparse.state[theirs.table][moment])


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_rows_without_a_gradient_stay_as_they_are(weight_decay: float) -> None:
    net = Net()
    optimizer = net.rowwise(weight_decay)
    net.step(list(range(ROWS)), optimizer)  # every row has moments that could push it on
    for rows in STEPS:
        state = optimizer.state[net.table]
        kept = (net.table, state["exp_avg"], state["exp_avg_sq"])
        before = [tensor.detach().clone() for tensor in kept]
        net.step(rows, optimizer)
        others = sorted(set(range(ROWS)) - set(rows))
        for old, new in zip(before, kept, strict=True):
            assert torch.equal(old[others], new[others])
            assert not torch.equal(old[rows], new[rows])


@FUSED
def test_weight_decay_adds_to_the_gradient_of_the_steps_rows_once(fused: bool) -> None:
    decay = 0.3
    ours, theirs = Net(), Net()
    optimizer = ours.rowwise(decay, fused)
    sparse = torch.optim.SparseAdam([theirs.table], lr=0.05)
    dense = torch.optim.Adam(theirs.dense.parameters(), lr=0.05, weight_decay=decay, fused=fused)
    for rows in STEPS:
        ours.step(rows, optimizer)
        theirs.zero_grad()
        theirs.loss(rows).backward()
        assert theirs.table.grad is not None
        unique = torch.tensor(sorted(set(rows)))
        values = theirs.table.grad.to_dense()[unique] + decay * theirs.table.detach()[unique]
        theirs.table.grad = torch.sparse_coo_tensor(
            unique[None], values, (ROWS, CHANNELS), check_invariants=True
        )
        sparse.step()  # type: ignore[no-untyped-call]
        dense.step()
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-6)


def test_a_row_that_occurs_several_times_decays_once() -> None:
    decay, net = 0.3, Net()
    optimizer, table = net.rowwise(decay), net.table.detach().clone()
    # A loss without slope: what moves is the decay alone.
    (0 * F.embedding(torch.tensor([4, 4, 4, 1]), net.table, sparse=True)).sum().backward()
    optimizer.step()
    first = optimizer.state[net.table]["exp_avg"]
    torch.testing.assert_close(first[[1, 4]], 0.1 * decay * table[[1, 4]])
    assert not first[[0, 2, 3, 5, 6, 7, 8]].any()


@FUSED
def test_a_fresh_optimizer_resumes_from_a_checkpoint(fused: bool) -> None:
    whole = Net()
    optimizer = whole.rowwise(0.1, fused)
    for rows in STEPS[:3]:
        whole.step(rows, optimizer)
    file = io.BytesIO()
    torch.save({"net": whole.state_dict(), "optimizer": optimizer.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)

    resumed = Net()
    fresh = RowwiseAdam(resumed.table, resumed.dense.parameters(), 0.7, 0.7, fused)
    resumed.load_state_dict(saved["net"])
    fresh.load_state_dict(saved["optimizer"])
    for rows in STEPS[3:]:
        whole.step(rows, optimizer)
        resumed.step(rows, fresh)
        assert_same(resumed, whole)
    assert [group["lr"] for group in fresh.param_groups] == [0.05, 0.05]


@FUSED
def test_a_schedule_reaches_both_parts(fused: bool) -> None:
    ours, theirs = Net(), Net()
    optimizer = ours.rowwise(fused=fused)
    sparse = torch.optim.SparseAdam([theirs.table], lr=0.05)
    dense = torch.optim.Adam(theirs.dense.parameters(), lr=0.05, fused=fused)
    schedules = [torch.optim.lr_scheduler.StepLR(o, 2, 0.1) for o in (optimizer, sparse, dense)]
    for number, rows in enumerate(STEPS):
        rates = [group["lr"] for group in optimizer.param_groups]
        assert rates == pytest.approx([0.05 * 0.1 ** (number // 2)] * 2)
        ours.step(rows, optimizer)
        theirs.step(rows, sparse, dense)
        assert_same(ours, theirs)
        for schedule in schedules:
            schedule.step()


def test_a_schedule_is_resumed_from_a_checkpoint() -> None:
    net = Net()
    optimizer = net.rowwise()
    optimizer.load_state_dict(Net().rowwise().state_dict())
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.0)
    net.step([1, 2], optimizer)
    schedule.step()
    before = [p.detach().clone() for p in net.parameters()]
    net.step([1, 2], optimizer)  # at a rate of zero
    for old, new in zip(before, net.parameters(), strict=True):
        assert torch.equal(old, new)


def test_a_closure_is_called_once_and_its_loss_returned() -> None:
    ours, theirs = Net(), Net()
    optimizer, calls = ours.rowwise(), []

    def closure() -> Tensor:
        calls.append(1)
        optimizer.zero_grad()
        loss = ours.loss([1, 2])
        loss.backward()
        return loss

    expected = theirs.loss([1, 2]).item()
    assert optimizer.step(closure).item() == expected
    assert len(calls) == 1
    theirs.step([1, 2], theirs.rowwise())
    assert_same(ours, theirs)


def test_a_table_without_a_gradient_is_left_alone() -> None:
    net = Net()
    optimizer, before = net.rowwise(0.1), net.table.detach().clone()
    net.dense(torch.ones(CHANNELS)).sum().backward()
    optimizer.step()
    assert torch.equal(net.table, before)


SAMPLED = ("model.loss=sampled", "model.negatives=16")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("datasets")


@pytest.fixture(scope="module")
def three_epochs(root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    run_dir = tmp_path_factory.mktemp("runs") / "three"
    return run_dir, train(tiny_config(root, "trainer.max_epochs=3", *SAMPLED), run_dir)


def assert_same_run(run_dir: Path, result: Any, whole: tuple[Path, Any]) -> None:
    assert rows_of(run_dir / "epochs.csv") == rows_of(whole[0] / "epochs.csv")
    assert len(rows_of(run_dir / "epochs.csv")) == 3
    for name in ("best.ckpt", "last.ckpt"):
        ours, theirs = (
            torch.load(folder / "checkpoints" / name, weights_only=True)
            for folder in (run_dir, whole[0])
        )
        assert ours["state_dict"].keys() == theirs["state_dict"].keys()
        for key, tensor in theirs["state_dict"].items():
            assert torch.equal(ours["state_dict"][key], tensor), f"{name}: {key}"
        (a,), (b,) = ours["optimizer_states"], theirs["optimizer_states"]
        assert a["param_groups"] == b["param_groups"]
        assert len(a["param_groups"]) == 2
        for number, state in b["state"].items():
            for key, value in state.items():
                assert torch.equal(
                    torch.as_tensor(a["state"][number][key]), torch.as_tensor(value)
                ), f"{name}: {key} of parameter {number}"
    assert untimed(result) == untimed(whole[1])


@pytest.mark.slow
def test_resuming_after_two_epochs_equals_three_in_one_go(
    root: Path, tmp_path: Path, three_epochs: tuple[Path, Any]
) -> None:
    train(tiny_config(root, "trainer.max_epochs=2", *SAMPLED), tmp_path / "two")
    checkpoint = f"checkpoint={tmp_path / 'two'}"
    config = tiny_config(root, "trainer.max_epochs=3", checkpoint, *SAMPLED)
    result = train(config, tmp_path / "resumed")
    assert_same_run(tmp_path / "resumed", result, three_epochs)


@pytest.mark.slow
def test_a_run_interrupted_after_two_epochs_equals_three_in_one_go(
    root: Path, tmp_path: Path, three_epochs: tuple[Path, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config(root, "trainer.max_epochs=3", *SAMPLED)
    interrupted(config, tmp_path, monkeypatch)
    assert len(rows_of(tmp_path / "epochs.csv")) == 2
    assert_same_run(tmp_path, train(config, tmp_path), three_epochs)


def test_clipping_is_refused_by_name(root: Path, tmp_path: Path) -> None:
    clipped = ("trainer.gradient_clip_val=1.0", "trainer.max_epochs=1")
    config = tiny_config(root, *SAMPLED, *clipped)
    for refused in (lambda: validate_run(config), lambda: train(config, tmp_path / "run")):
        with pytest.raises(ValueError, match=r"gradient_clip_val.*sampled.*sparse"):
            refused()
    assert not (tmp_path / "run").exists() or not list((tmp_path / "run").rglob("*.ckpt"))
    validate_run(tiny_config(root, *clipped))  # a dense loss can be clipped


def test_a_module_refuses_clipping_by_name() -> None:
    module = SessionModule(SRGNN(ROWS, 4, loss="sampled"))
    module.trainer = lightning.Trainer(accelerator="cpu", logger=False, gradient_clip_val=1.0)
    with pytest.raises(ValueError, match=r"gradient_clip_val.*sampled.*sparse"):
        module.configure_optimizers()


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_copies_and_further_groups(clone):
    table, other = (torch.nn.Parameter(torch.ones(3, 2)) for _ in range(2))
    optimizer = clone(RowwiseAdam(table, [other], lr=0.5, weight_decay=0))
    (table,), (other,) = (group["params"] for group in optimizer.param_groups)
    table.grad = torch.sparse_coo_tensor([[1]], [[1.0, 1.0]], (3, 2), check_invariants=True)
    other.grad = torch.ones(3, 2)
    optimizer.step()
    assert table[:, 0].tolist() == pytest.approx([1, 0.5, 1])
    assert other[:, 0].tolist() == pytest.approx([0.5, 0.5, 0.5])
    with pytest.raises(ValueError, match="groups cannot be added"):
        optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(1))]})


@pytest.mark.parametrize("fused", [False, True])
def test_decoupled_decay_spares_biases(fused: bool) -> None:
    """Without a gradient, only the decay moves a parameter: by lr times decay of itself."""
    model = SRGNN(ROWS, CHANNELS)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = adam(model, lr=0.1, weight_decay=0.5, fused=fused, decoupled=True)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, parameter in model.named_parameters():
        factor = 0.95 if parameter.dim() > 1 else 1.0
        torch.testing.assert_close(parameter.detach(), factor * before[name])


def test_decoupled_decay_is_refused_with_sparse_gradients() -> None:
    model = SRGNN(ROWS, CHANNELS, loss="sampled")
    with pytest.raises(ValueError, match="decoupled"):
        adam(model, 0.1, 0.5, decoupled=True)
