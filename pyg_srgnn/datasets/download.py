"""Downloads files: mirrors in order, resumed, locked, verified by checksum."""

from __future__ import annotations

import http.client
import logging
import os
import re
import shutil
import time
import urllib.error
import urllib.request
import warnings
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from filelock import FileLock, Timeout

from pyg_srgnn.utils.files import flush, sha256_of
from pyg_srgnn.utils.progress import Bar

log = logging.getLogger(__name__)

TIMEOUT = 30.0
"""Seconds without a byte after which a connection is given up."""
ATTEMPTS = 3
"""Connections to one URL that may fail one after another, each bringing less than 64 KiB."""
BACKOFF = 0.5
"""Seconds before the second attempt; doubled before each further one."""

_CHUNK = 1 << 16
_HTTP = re.compile(r"https?://", re.IGNORECASE)


class DownloadError(OSError):
    """No source gave the file; the message lists what was tried and where to put it by hand."""


@dataclass(frozen=True)
class Source:
    """A raw file and where it comes from.

    Args:
        name: File name.
        sha256: Checksum of the content, in hexadecimal; empty where none is known, and then
            any file of that name is taken. (default: ``""``)
        urls: http or https addresses, the first to try first. (default: none)
        origin: Where a person finds the file, for the message that asks for it. (default: ``""``)
    """

    name: str
    sha256: str = ""
    urls: tuple[str, ...] = ()
    origin: str = ""


class _SourceError(Exception):
    """One source failed; the next one may not."""


class _Interrupted(Exception):
    """A connection failed in a way that may pass."""


def fetch(
    source: Source, folder: str | Path, mirror: str | Path | None = None, subfolder: str = ""
) -> Path:
    """Make sure that a file is in a folder, whole and with the right content.

    A file that is there with the right checksum is left alone. One with a wrong checksum is never
    used: it is moved aside to ``<name>.wrong``, with a warning. The mirror is tried first, then
    the source's URLs in order. Bytes are written to ``<name>.part``, where an interrupted download
    resumes; the file gets its name only after its checksum was found right. A file that none is
    known for is fetched in one piece, and used with a warning. Processes that want the same folder
    wait for one another.

    Args:
        source: The file.
        folder: Where it shall be; made if missing.
        mirror: A folder or an http(s) URL with the file at ``<mirror>/<subfolder>/<name>``.
            (default: None)
        subfolder: The folder below the mirror. (default: ``""``)

    Returns:
        The path of the file.

    Raises:
        DownloadError: If no source gives the file.
        ValueError: If the mirror is a URL that is neither http nor https.
        OSError: If the file cannot be written.
    """
    places = ([] if mirror is None else [_below(mirror, subfolder, source.name)]) + [*source.urls]
    path = Path(folder, source.name)
    if _is_right(path, source):
        return _reported(path, source)
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.parent):
        if _is_right(path, source):  # another process was faster
            return _reported(path, source)
        _move_aside(path, source)
        part = path.with_name(path.name + ".part")
        failures: list[str] = []
        for place in places:
            try:
                _get(place, part, source)
            except _SourceError as error:
                failures.append(f"{place}: {error}")
            else:
                _put_in_place(part, path)
                return _reported(path, source)
    raise DownloadError(_explain(source, path, failures))


def _is_right(path: Path, source: Source) -> bool:
    return path.is_file() and source.sha256 in ("", sha256_of(path))


def _reported(path: Path, source: Source) -> Path:
    """Warn of a file that is used without a known checksum."""
    if not source.sha256:
        found = sha256_of(path)
        warnings.warn(f"{path} is used unchecked; its sha256 is {found}", stacklevel=3)
    return path


def _below(mirror: str | Path, subfolder: str, name: str) -> str | Path:
    """Return where a mirror has a file."""
    address = str(mirror)
    if _HTTP.match(address):
        return "/".join([address.rstrip("/"), *(quote(part) for part in (subfolder, name) if part)])
    if "://" in address:
        raise ValueError(f"a mirror is a folder or an http(s) URL (got {address!r})")
    return Path(mirror).expanduser() / subfolder / name


def locked(folder: Path) -> AbstractContextManager[object]:
    """Hold the folder's lock in a ``with``; a killed process gives it up by dying."""
    lock = FileLock(folder / ".download.lock")
    try:
        return lock.acquire(timeout=3)
    except Timeout:
        log.warning("waiting for another process that downloads to %s", folder)
        return lock.acquire()


def _move_aside(path: Path, source: Source) -> None:
    if path.is_file():
        aside = path.with_name(path.name + ".wrong")
        found = sha256_of(path)
        path.replace(aside)
        warnings.warn(
            f"{path} has sha256 {found}, expected {source.sha256}; "
            f"it was moved to {aside.name} and is fetched again",
            stacklevel=3,
        )


def _get(place: str | Path, part: Path, source: Source) -> None:
    """Fill the part file from one place, from zero once more where resuming gave a wrong file."""
    if source.sha256 and _is_right(part, source):
        return  # whole already: the process before this one died just before it gave it its name
    pieces = _copy(place, part) if isinstance(place, Path) else _download(place, part, source)
    if pieces > 1 and not _is_right(part, source):
        part.unlink()
        pieces = _download(str(place), part, source)
    if not _is_right(part, source):
        found = sha256_of(part)
        part.unlink()
        raise _SourceError(f"wrong content: sha256 {found}")


def _copy(origin: Path, part: Path) -> int:
    """Copy a file of a local mirror."""
    try:
        file = origin.open("rb")
    except OSError as error:
        raise _SourceError(error.strerror or str(error)) from None
    with file, part.open("wb") as out:
        shutil.copyfileobj(file, out)
    return 1


def _download(url: str, part: Path, source: Source) -> int:
    """Download to the part file, resuming where it ends; return the number of pieces.

    Without a checksum nothing could tell whether the pieces are of one file: the part of another
    place, of an earlier call or of a broken connection is removed, and all is fetched anew.
    """
    pieces = 1 if part.is_file() and part.stat().st_size else 0
    failed = longest = 0
    while True:
        if not source.sha256:
            part.unlink(missing_ok=True)
        try:
            _read(url, part)
            return pieces + 1
        except _Interrupted as error:
            size = part.stat().st_size if part.is_file() else 0
            failed = 1 if size >= longest + _CHUNK else failed + 1
            longest = max(size, longest)
            if failed >= ATTEMPTS:
                raise _SourceError(f"{error} ({failed} attempts)") from None
            pieces += 1
            time.sleep(BACKOFF * 2 ** (failed - 1))


def _read(url: str, part: Path) -> None:
    """Read one response to its end into the part file."""
    if not _HTTP.match(url):
        raise _SourceError("not an http(s) address")
    have = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "pyg-srgnn"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    with _opened(request, part) as response:
        if response.status != 206:
            have = 0  # the server sends the whole file
        elif not str(response.headers.get("Content-Range")).startswith(f"bytes {have}-"):
            part.unlink()
            raise _Interrupted("the server sent another range than the one asked for")
        length = response.headers.get("Content-Length")
        total = have + int(length) if length and length.isdigit() else None
        with (
            part.open("ab" if have else "wb") as out,
            Bar(part.stem, total, "MB", done=have) as bar,
        ):
            while chunk := _chunk(response):
                out.write(chunk)
                have += len(chunk)
                bar.advance(len(chunk))
    if total is not None and have < total:
        raise _Interrupted(f"the connection ended after {have:,} of {total:,} bytes")


def _opened(request: urllib.request.Request, part: Path) -> http.client.HTTPResponse:
    """Open a URL; sort what goes wrong into what may pass and what will not."""
    try:
        response: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        reason = f"HTTP {error.code} {error.reason}"
        if error.code == 416:  # the part file is no beginning of what the server has
            part.unlink()
            raise _Interrupted(reason) from None
        if error.code >= 500 or error.code in (408, 429):
            raise _Interrupted(reason) from None
        raise _SourceError(reason) from None
    except urllib.error.URLError as error:
        raise _Interrupted(str(error.reason)) from None
    except (OSError, http.client.HTTPException) as error:
        raise _Interrupted(str(error) or type(error).__name__) from None
    if not _HTTP.match(response.url):  # it can redirect to ftp
        response.close()
        raise _SourceError(f"not an http(s) address: {response.url}")
    if response.headers.get_content_type() == "text/html":  # of a login or of a file that is gone
        response.close()
        raise _SourceError("a web page came in the file's place")
    return response


def _chunk(response: http.client.HTTPResponse) -> bytes:
    """Read some bytes; none at the end."""
    try:
        return response.read1(_CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise _Interrupted(str(error) or type(error).__name__) from None


def _put_in_place(part: Path, path: Path) -> None:
    """Give the part file its name once its bytes are on the disk."""
    flush(part)
    part.replace(path)
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _explain(source: Source, path: Path, failures: list[str]) -> str:
    tried = "\n".join(f"  - {failure}" for failure in failures) or "  - no source is known"
    checksum = f"its sha256 must be {source.sha256}" if source.sha256 else "no checksum is known"
    return (
        f"{source.name} could not be fetched. Tried:\n{tried}\n"
        f"Put the file by hand at {path.resolve()} ({checksum})."
        + (f"\nIt comes from {source.origin}." if source.origin else "")
    )
