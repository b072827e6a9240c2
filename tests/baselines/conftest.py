"""The real training sessions and a sample of the test prefixes, read once."""

from __future__ import annotations

import pytest

from pyg_srgnn.datasets import Diginetica


@pytest.fixture(scope="package")
def diginetica(benchmark_data, tmp_path_factory):
    """Training part, and every twentieth test prefix: 3,043 from all over the test sessions."""
    root = tmp_path_factory.mktemp("datasets")
    training, test = (
        Diginetica(root, split, mirror=benchmark_data) for split in ("trainval", "test")
    )
    return training, test[list(range(0, len(test), 20))]
