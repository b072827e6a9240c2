"""Folders that are written aside: the old one or the new one, whatever happens in between."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from pyg_srgnn.utils.files import flush, folder_written_aside, target_of

OLD, NEW = ({name: word for name in "abc"} for word in ("old", "new"))


def write(folder: Path, held: dict[str, str] = NEW) -> None:
    with folder_written_aside(folder, folder.with_name(f".{folder.name}.part")) as aside:
        for name, text in held.items():
            (aside / name).write_text(text)


def read(folder: Path) -> dict[str, str] | None:
    """What stands in a folder."""
    if not folder.exists():
        return None
    return {file.name: file.read_text() for file in sorted(folder.iterdir())}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "folder", OLD)
    return tmp_path / "folder"


def alone(folder: Path) -> bool:
    return [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_the_new_one_takes_the_place_of_the_old_one(folder: Path) -> None:
    assert read(folder) == OLD
    write(folder)
    assert read(folder) == NEW and alone(folder)


def test_a_reader_sees_either_whole(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def watched(call: Callable[..., Any]) -> Callable[..., Any]:
        def then_read(*arguments: Any, **options: Any) -> Any:
            result = call(*arguments, **options)
            seen.append(read(folder))
            return result

        return then_read

    monkeypatch.setattr(Path, "rename", watched(Path.rename))
    for name in ("unlink", "rmdir", "mkdir"):
        monkeypatch.setattr(os, name, watched(getattr(os, name)))
    write(folder)
    monkeypatch.undo()
    assert len(seen) > 5  # the old one's files are removed one by one
    assert [found for found, _ in groupby([OLD, *seen])] == [OLD, None, NEW]


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), KeyboardInterrupt()])
def test_a_rename_that_fails_leaves_the_old_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    rename = Path.rename

    def fails(self: Path, target: Path) -> Path:
        if self.name.endswith(".part"):
            assert not folder.exists()
            raise error
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fails)
    with pytest.raises(type(error)):
        write(folder)
    assert read(folder) == OLD and alone(folder)


def killed_between_the_renames(folder: Path) -> Path:
    """What a writer leaves that was killed just then."""
    (folder.parent / ".folder.part").mkdir()
    return folder.rename(folder.with_name(".folder.old"))


def test_the_next_writer_gives_the_old_one_its_name(folder: Path) -> None:
    killed_between_the_renames(folder)
    aside = folder.with_name(".folder.part")
    with pytest.raises(RuntimeError, match="no luck"), folder_written_aside(folder, aside):
        assert read(folder) == OLD
        raise RuntimeError("no luck")
    assert read(folder) == OLD and alone(folder)


def test_the_next_writer_replaces_it(folder: Path) -> None:
    killed_between_the_renames(folder)
    write(folder)
    assert read(folder) == NEW and alone(folder)


def test_an_old_one_beside_a_new_one_is_removed(folder: Path) -> None:
    killed_between_the_renames(folder).joinpath("more").touch()
    folder.mkdir()
    (folder / "a").write_text("newer")
    with folder_written_aside(folder, folder.with_name(".folder.part")):
        assert read(folder) == {"a": "newer"}
        assert not folder.with_name(".folder.old").exists()


def test_a_file_of_that_name_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("mine")
    with pytest.raises(NotADirectoryError):
        write(tmp_path / "folder")
    assert (tmp_path / "folder").read_text() == "mine" and alone(tmp_path / "folder")


def test_a_link_to_a_folder(folder: Path, tmp_path: Path) -> None:
    link, missing = tmp_path / "current", tmp_path / "next"
    link.symlink_to(folder.name)
    missing.symlink_to("v2")
    found = [target_of(path) for path in (link, missing, folder)]
    assert found == [folder, tmp_path / "v2", folder]
    write(target_of(link))
    assert link.is_symlink() and read(link) == read(folder) == NEW


def test_windows_flushes_what_is_open_for_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, modes, opened = tmp_path / "a", [], Path.open
    file.write_text("kept")

    def watched(self: Path, mode: str, **options: Any) -> Any:
        modes.append(mode)
        return opened(self, mode, **options)

    monkeypatch.setattr(Path, "open", watched)
    flush(file)
    with monkeypatch.context() as windows:
        windows.setattr(os, "name", "nt")
        flush(file)
        windows.setattr(os, "access", lambda path, mode: False)  # of what is read-only
        flush(file)
    assert modes == ["rb", "r+b"]
    assert file.read_text() == "kept"
