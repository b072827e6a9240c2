"""The directory of a run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pyg_srgnn.runs.directory import clear

NAMES = ("metrics.json", "data.json", "epochs.csv", "config.yaml", "checkpoints/last.ckpt")


@pytest.mark.parametrize("stop", range(4))
def test_what_could_be_resumed_goes_before_what_says_on_which_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    """A clearing that is killed leaves no checkpoint of which the data are unknown."""
    (tmp_path / "checkpoints").mkdir()
    for name in NAMES:
        (tmp_path / name).touch()
    left = [stop]

    def killed(remove: object) -> object:
        def or_stop(path: Path, *args: object, **options: object) -> None:
            if path.exists():
                left[0] -= 1
                if left[0] < 0:
                    raise KeyboardInterrupt
            remove(path, *args, **options)  # type: ignore[operator]

        return or_stop

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", killed(Path.unlink))
        patch.setattr(shutil, "rmtree", killed(shutil.rmtree))
        with pytest.raises(KeyboardInterrupt):
            clear(tmp_path)
    assert (tmp_path / "config.yaml").is_file()
    assert (tmp_path / "data.json").is_file() or not (tmp_path / "checkpoints").exists()
    clear(tmp_path)
    assert not list(tmp_path.iterdir())
