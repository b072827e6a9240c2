"""A training step launches few kernels: it is what a step on a GPU waits for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import yaml

from benchmarks.launches import Launches, aten_calls, launches
from pyg_srgnn.commands.application import CONF
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


def training_step(model: SessionModel, dataset: SessionDataset) -> Callable[[], None]:
    """All of a step, from the numbers of its samples to the updated weights."""
    optimizer = adam(model, 4e-3, 1e-5)

    def step() -> None:
        optimizer.zero_grad()
        model.loss(dataset.batch(range(8))).backward()
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


@pytest.mark.parametrize(("name", "most"), [("srgnn", 600), ("srgnn_plain", 265)])
def test_a_step_launches_few_kernels(name: str, most: int, dataset: SessionDataset) -> None:
    step = training_step(configured(name, dataset), dataset)
    counted = launches(step)
    assert counted.total <= most, counted.calls.most_common(20)
    assert aten_calls(step) > counted.total
