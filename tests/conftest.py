"""What all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)  # the tests' tensors are small, and results do not depend on the machine


@pytest.fixture(scope="session")
def benchmark_data() -> Path:
    """Where the real benchmark files are: PYG_SRGNN_DATA, or shared/data beside the checkout."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("PYG_SRGNN_DATA", beside))
    if not (folder / "diginetica" / "all_train_seq.txt").is_file():
        pytest.skip(f"no benchmark files in {folder}; PYG_SRGNN_DATA names another folder")
    return folder
