"""The release assets: what is called for each dataset, what is packed, and its checksums."""

from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path

import pytest

from study import release_models


def test_models_are_trained_exported_packed_and_summed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls: list[tuple[str, ...]] = []

    def command(name: str, *arguments: str) -> None:
        calls.append((name, *arguments))
        if name == "export":
            folder = Path(arguments[1].removeprefix("output="))
            folder.mkdir(parents=True)
            (folder / "model_card.md").write_text("a card")

    monkeypatch.setattr(release_models, "_command", command)
    monkeypatch.setattr(release_models, "__version__", "1.2.3")
    output = tmp_path / "models"
    release_models.main([f"--output={output}", "--mirror=here", "--", "trainer.max_epochs=1"])
    assert [call[:2] for call in calls] == [
        ("train", "dataset=diginetica"),
        ("export", "checkpoint=runs/release/diginetica"),
        ("train", "dataset=yoochoose1_64"),
        ("export", "checkpoint=runs/release/yoochoose1_64"),
    ]
    assert {"refit=true", "dataset.mirror=here", "trainer.max_epochs=1"} <= set(calls[0])
    lines = (output / "SHA256SUMS").read_text().splitlines()
    assert capsys.readouterr().out.splitlines() == lines
    for line, dataset in zip(lines, ("diginetica", "yoochoose1_64"), strict=True):
        total, name = line.split("  ")
        assert name == f"srgnn-{dataset}-1.2.3.tar.gz"
        assert total == hashlib.sha256((output / name).read_bytes()).hexdigest()
        with tarfile.open(output / name) as packed:
            names = packed.getnames()
        assert f"srgnn-{dataset}-1.2.3/model_card.md" in names
