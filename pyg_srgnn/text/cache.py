"""Vectors of texts on disk: what was encoded once is never encoded again."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import warnings
from collections.abc import Collection, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from pyg_srgnn.utils.progress import Bar

if TYPE_CHECKING:
    from pyg_srgnn.text.encoder import TextEncoder

_AT_ONCE = 512  # texts between two writes: an interrupted run loses no more
_KEYS = 900  # of one query; SQLite before 3.32 takes 999
_TABLE = "CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL)"


def cached_vectors(
    encoder: TextEncoder, texts: Sequence[str], folder: Path | None, progress: bool = True
) -> NDArray[np.float32]:
    """The vectors of texts; only those that the cache lacks are encoded.

    The cache is an SQLite file for each encoder with its version and settings, in which a vector
    lies by the sha256 of its text. Of several processes, one encodes, and the others wait for it.

    Args:
        encoder: The encoder.
        texts: n texts, of which each stands there once.
        folder: The folder of the cache; made if it is missing. None: nothing is kept.
        progress: Whether to show a bar. (default: True)

    Returns:
        The vectors, float32 [n, F].

    Raises:
        ValueError: If the encoder does not give a finite vector of one length for each text.
        OSError: If the cache cannot be written.
    """
    if folder is None:
        with closing(sqlite3.connect(":memory:")) as database:
            return _vectors(database, encoder, texts, progress)
    folder.mkdir(parents=True, exist_ok=True)
    identity = hashlib.sha256(json.dumps(describe(encoder), sort_keys=True).encode()).hexdigest()
    file = folder / f"{encoder.name}-{identity[:16]}.sqlite"
    with FileLock(file.with_suffix(".lock")):
        for attempt in ("first", "second"):
            try:
                with closing(sqlite3.connect(file)) as database:
                    return _vectors(database, encoder, texts, progress)
            except sqlite3.OperationalError as error:  # such as a full disk
                raise OSError(f"{file}: {error}") from error
            except sqlite3.DatabaseError as error:
                if attempt == "second":
                    raise
                warnings.warn(f"{file} is damaged ({error}); it is made again", stacklevel=2)
                for each in (file, file.with_name(file.name + "-journal")):
                    each.unlink(missing_ok=True)
    raise AssertionError


def describe(encoder: TextEncoder) -> dict[str, Any]:
    """What identifies the vectors of an encoder, as plain values."""
    return {"name": encoder.name, "version": encoder.version} | encoder.settings


def _vectors(
    database: sqlite3.Connection, encoder: TextEncoder, texts: Sequence[str], progress: bool
) -> NDArray[np.float32]:
    database.execute(_TABLE)
    keys = [hashlib.sha256(text.encode(errors="surrogatepass")).digest() for text in texts]
    found: dict[bytes, bytes] = {}
    for start in range(0, len(keys), _KEYS):
        some = keys[start : start + _KEYS]
        marks = ",".join("?" * len(some))
        found.update(
            database.execute(f"SELECT key, vector FROM vectors WHERE key IN ({marks})", some)
        )
    lengths = _checked_lengths(found.values())
    missing = [row for row, key in enumerate(keys) if key not in found]
    with Bar("encoding" if progress else None, len(keys), "texts", len(found)) as bar:
        for start in range(0, len(missing), _AT_ONCE):
            rows = missing[start : start + _AT_ONCE]
            made = _encoded(encoder, [texts[row] for row in rows])
            if len(lengths := lengths | {made[0].nbytes}) > 1:
                dimensions = " and ".join(str(size // 4) for size in sorted(lengths))
                raise ValueError(f"encoder {encoder.name}: vectors of {dimensions} dimensions")
            pairs = [(keys[row], vector.tobytes()) for row, vector in zip(rows, made, strict=True)]
            with database:  # a transaction
                database.executemany("INSERT INTO vectors VALUES (?, ?)", pairs)
            found.update(pairs)
            bar.advance(len(rows))
    joined = np.frombuffer(b"".join(map(found.__getitem__, keys)), dtype="<f4")
    return joined.reshape(len(keys), -1).astype(np.float32, copy=False)


def _checked_lengths(vectors: Collection[Any]) -> set[int]:
    """Bytes of the vectors of a cache: one number, or none without vectors.

    Raises:
        sqlite3.DatabaseError: If what is in the cache cannot be what was written to it.
    """
    if not all(isinstance(vector, bytes) for vector in vectors):
        raise sqlite3.DatabaseError("vectors that are no bytes")
    lengths = set(map(len, vectors))
    if len(lengths) > 1 or any(not length or length % 4 for length in lengths):
        raise sqlite3.DatabaseError(f"vectors of {' and '.join(map(str, sorted(lengths)))} bytes")
    if not all(np.isfinite(np.frombuffer(vector, "<f4")).all() for vector in vectors):
        raise sqlite3.DatabaseError("vectors that are not finite")
    return lengths


def _encoded(encoder: TextEncoder, texts: Sequence[str]) -> NDArray[np.float32]:
    """The vectors of some texts, checked."""
    made = np.asarray(encoder.encode(texts), dtype="<f4")
    if made.ndim != 2 or len(made) != len(texts) or made.shape[1] == 0:
        raise ValueError(
            f"encoder {encoder.name}: expected vectors [{len(texts)}, F] of {len(texts)} texts "
            f"(got {list(made.shape)})"
        )
    finite = np.isfinite(made).all(axis=1)
    if not finite.all():
        text = texts[int(finite.argmin())]
        raise ValueError(f"encoder {encoder.name}: the vector of {text!r} is not finite")
    return made
