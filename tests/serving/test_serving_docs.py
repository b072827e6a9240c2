"""docs/serving.md: its Python asks a running service, its settings and metrics are there."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from pyg_srgnn import Recommender
from pyg_srgnn.serving.prometheus import Metrics
from pyg_srgnn.serving.settings import Settings
from tests.serving import shop
from tests.serving.running import in_thread

TEXT = (Path(__file__).parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_client(tmp_path):
    model = shop.untrained(tmp_path, [17, 4, 256])
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code, "docs/serving.md", "exec"), names)
    with in_thread(model) as running:
        found = names["recommend"]([17, 4, 17], k=2, url=running.url)
    (wanted,) = Recommender.load(model).recommend([[17, 4, 17]], k=2)
    assert [item for item, _ in found] == [item for item, _ in wanted]
    assert [score for _, score in found] == pytest.approx([score for _, score in wanted], abs=1e-5)


def test_every_setting_is_one():
    known = {setting.name: setting.default for setting in fields(Settings)}
    (limits,) = re.findall(r"## Limits\n(.*?)\n## ", TEXT, re.DOTALL)
    rows = re.findall(r"^\| (`[a-z_`, ]+`) \| ([^|]+) \|", limits, re.MULTILINE)
    assert len(rows) == 10
    for keys, default in rows:
        names, values = re.findall(r"\w+", keys), [int(n) for n in re.findall(r"\d+", default)]
        told = values * (len(names) // len(values)) if values else [None]
        assert told == [known[name] for name in names], keys
    used = set(re.findall(r"`([a-z_]+)=", TEXT)) | set(
        re.findall(r"srgnn-serve .* ([a-z]+)=", TEXT)
    )
    assert len(used) > 8
    assert used - set(known) <= {"format", "index_above"}  # of srgnn-export


def test_every_metric_is_one():
    told = set(re.findall(r"srgnn_[a-z_]+", TEXT))
    metrics = Metrics()
    metrics.watch({}, lambda: 0, lambda: True, lambda: 0)
    text = metrics.text().decode()
    assert {name for name in told if f"# TYPE {name} " not in text} == set()
