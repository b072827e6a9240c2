"""A training step launches few kernels: it is what a step on a GPU waits for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import yaml

from benchmarks.launches import Launches, aten_calls, launches
from pyg_srgnn.commands.application import CONF
from pyg_srgnn.data.fixed import FixedBatches
from pyg_srgnn.datasets import SessionDataset, Synthetic
from pyg_srgnn.nn import SessionModel, build_model
from pyg_srgnn.training.optimizer import adam


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> SessionDataset:
    return Synthetic(str(tmp_path_factory.mktemp("datasets")), num_sessions=200)


def configured(name: str, dataset: SessionDataset, **settings: Any) -> SessionModel:
    """A model as ``srgnn-train`` makes it, in training, with two channels."""
    values = yaml.safe_load((CONF / "model" / f"{name}.yaml").read_text(encoding="utf-8"))
    sizes = {"num_items": dataset.num_items, "channels": 2}
    model = build_model(values | sizes | settings)
    model.set_training(dataset.sessions)
    return model.train()


def training_step(
    model: SessionModel, dataset: SessionDataset, on_device: bool, built: bool = False
) -> Callable[[], None]:
    """A step, from the numbers of its samples, or from its batch, to the updated weights."""
    optimizer = adam(model, 4e-3, 1e-5)
    fixed = FixedBatches(dataset.sessions, dataset.num_items, 8)
    build = fixed if on_device else dataset.batch
    ready = build(list(range(8)))

    def step() -> None:
        optimizer.zero_grad()
        model.loss(ready if built else build(list(range(8)))).backward()
        optimizer.step()

    return step


def test_views_and_memory_are_no_launches() -> None:
    x, y = torch.ones(2, 3, requires_grad=True), torch.ones(2, 3)
    with Launches() as counted:
        product = (x.T @ y.view(2, 3)).relu_()  # 2
        torch.empty_like(product)
        product.sum().backward()  # sum, ones for its gradient, mask of relu, product
    assert counted.total == 6, counted.calls
    assert not counted.waits
    with Launches() as counted:
        float(y.sum())
    assert counted.waits.total() == 1


@pytest.mark.parametrize(
    ("name", "on_device", "most", "of_batch"),
    [
        ("srgnn", True, 700, 70),
        ("srgnn", False, 700, 110),
        ("srgnn_plain", True, 155, 70),
        ("srgnn_plain", False, 155, 110),
    ],
)
def test_a_step_launches_few_kernels(
    name: str, on_device: bool, most: int, of_batch: int, dataset: SessionDataset
) -> None:
    """Forward, backward and optimizer; then with the batch that is built for them."""
    model = configured(name, dataset)
    counted = launches(training_step(model, dataset, on_device, built=True))
    assert counted.total <= most, counted.calls.most_common(20)
    step = training_step(model, dataset, on_device)
    counted = launches(step)
    assert counted.total <= most + of_batch, counted.calls.most_common(20)
    assert aten_calls(step) > counted.total


@pytest.mark.parametrize("name", ["srgnn", "srgnn_plain"])
def test_the_host_of_a_step_waits_for_nothing(name: str, dataset: SessionDataset) -> None:
    model = configured(name, dataset)
    batch = FixedBatches(dataset.sessions, dataset.num_items, 8)(list(range(8)))
    counted = launches(lambda: model.loss(batch).backward())
    # On a CPU, the loss looks whether its exponentials have left their range; no other has it do.
    assert counted.waits == {"aten._local_scalar_dense.default": 1}
