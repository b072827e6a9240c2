"""Extracts one file of a 7z archive."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, cast

from pyg_srgnn.datasets.download import DownloadError, locked
from pyg_srgnn.utils.extras import pip_install
from pyg_srgnn.utils.files import flush
from pyg_srgnn.utils.progress import Bar

if TYPE_CHECKING:
    from py7zr.io import WriterFactory


def unpack(archive: Path, path: Path) -> Path:
    """Take the member with a file's name out of a 7z archive.

    Only that member is written, and only to ``path``: its folder in the archive is ignored. Its
    bytes go to ``<name>.part``, chunk by chunk, and get their name once they are whole and their
    checksum in the archive was found right; a process that is killed leaves a part file that the
    next one writes anew. Processes that want the same folder wait for one another.

    Args:
        archive: The archive. Reading it takes the package ``py7zr``, the extra ``7z``.
        path: Where the member shall be; nothing is done if a file is there.

    Returns:
        ``path``.

    Raises:
        DownloadError: If ``py7zr`` is missing, the archive is damaged, or it lacks the member.
        OSError: If the file cannot be written.
    """
    with locked(path.parent):
        if not path.is_file():
            part = path.with_name(path.name + ".part")
            try:
                _write(archive, path.name, part)
                flush(part)
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)
    return path


class _PartFile:
    """A file in the shape that py7zr writes to, and the factory that it asks for one.

    The names, folders and attributes of the archive never reach the disk: the bytes of the member
    are appended here. py7zr's base classes are not needed for that, so the module can be imported
    without it.
    """

    def __init__(self, file: BinaryIO, bar: Bar) -> None:
        self.file, self.bar = file, bar

    def create(self, filename: str) -> _PartFile:
        return self

    def write(self, chunk: bytes | bytearray) -> int:
        self.bar.advance(len(chunk))
        return self.file.write(chunk)

    def read(self, size: int | None = None) -> bytes:
        return b""

    def seek(self, offset: int, whence: int = 0) -> int:
        return 0

    def flush(self) -> None:
        self.file.flush()

    def size(self) -> int:
        return self.file.tell()

    def close(self) -> None:
        self.flush()


def _write(archive: Path, name: str, part: Path) -> None:
    """Write the member of that name to the part file."""
    try:
        import py7zr
    except ImportError as error:
        raise DownloadError(
            f"{archive} cannot be unpacked: {error}. Either run {pip_install('7z')}, or "
            f"unpack it by hand and put {name} into {part.parent.resolve()}."
        ) from None
    try:
        with py7zr.SevenZipFile(archive, "r") as opened:
            sizes = {entry.filename: entry.uncompressed for entry in opened.list()}
            members = [member for member in sizes if PurePosixPath(member).name == name]
            if len(members) != 1:
                raise DownloadError(
                    f"{archive} holds {', '.join(sorted(sizes)[:8]) or 'no file'}, "
                    f"expected one file {name}"
                )
            size = sizes[members[0]]
            with part.open("wb") as file, Bar(f"unpacking {name}", size, "MB") as bar:
                opened.extract(targets=members, factory=cast("WriterFactory", _PartFile(file, bar)))
                written = file.tell()
            if written != size:
                raise EOFError(f"{written:,} of {size:,} bytes")
    except OSError:
        raise  # of the disk, or one of ours: not the archive's fault
    except Exception as error:  # the many ways in which a parser stumbles over damaged bytes
        raise DownloadError(
            f"{archive} is damaged ({type(error).__name__}: {error}). "
            f"Delete it, and the next start fetches it again."
        ) from error
