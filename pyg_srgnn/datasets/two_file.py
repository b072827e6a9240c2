"""Benchmarks in the two-file form of SR-GNN's preparation script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pyg_srgnn.data.sessions import Sessions, Vocabulary
from pyg_srgnn.datasets.base import SessionDataset
from pyg_srgnn.datasets.download import Source
from pyg_srgnn.datasets.unpickling import load_lists


@dataclass(frozen=True)
class Counts:
    """Published counts of a benchmark; None where one is not known.

    Args:
        sessions: Training sessions. (default: None)
        clicks: Training clicks. (default: None)
        samples: Training samples: a session of n clicks gives n - 1. (default: None)
        items: Items of the catalogue. (default: None)
        test_sessions: Test sessions. (default: None)
        test_samples: Test samples. (default: None)
    """

    sessions: int | None = None
    clicks: int | None = None
    samples: int | None = None
    items: int | None = None
    test_sessions: int | None = None
    test_samples: int | None = None

    @classmethod
    def of(cls, training: Sessions, test: Sessions, vocabulary: Vocabulary) -> Counts:
        """Count what a prepared benchmark holds."""
        return cls(
            len(training),
            training.num_clicks,
            training.num_samples,
            len(vocabulary),
            len(test),
            test.num_samples,
        )

    def known(self) -> dict[str, int]:
        """The counts that are known, by their names."""
        return {name: count for name, count in asdict(self).items() if count is not None}


class TwoFileBenchmark(SessionDataset):
    """A benchmark in two pickled files, as SR-GNN's preparation script writes them.

    ``all_train_seq.txt`` is the list of training sessions in time order. ``test.txt`` is a pair:
    the list of test prefixes and the list of their targets, where each test session of n clicks
    has n - 1 rows, the longest prefix first. The rows are joined into sessions again, so a
    test session is one session here too, with the same n - 1 samples. Items are numbered 1 … V in
    the files; those are the raw ids of the vocabulary.

    A subclass gives ``name``, ``sources``, :attr:`catalogue` and, if they are known,
    :attr:`counts`. Arguments are those of :class:`SessionDataset`.

    Raises:
        UnsafePickleError: If a file holds anything but lists, tuples and integers.
        ValueError: If a file does not hold what it should; names the file and the row.
    """

    catalogue: int
    """V, the number of items."""

    counts: Counts | None = None
    """Published counts, which the files are compared with."""

    def read(self) -> tuple[Sessions, Sessions, Vocabulary]:
        """Training sessions, test sessions (both in time order) and the vocabulary 1 … V."""
        training_path, test_path = (Path(path) for path in self.raw_paths)
        training = _sessions(load_lists(training_path), training_path, self.catalogue)
        test = _sessions(_join(load_lists(test_path), test_path), test_path, self.catalogue)
        vocabulary = Vocabulary(range(1, self.catalogue + 1))
        expected = {} if self.counts is None else self.counts.known()
        counted = Counts.of(training, test, vocabulary).known()
        found = {name: counted[name] for name in expected}
        if found != expected:
            raise ValueError(
                f"{type(self).__name__}: the files in {training_path.parent} hold {found}, "
                f"expected {expected}"
            )
        return training, test, vocabulary


def two_files(url: str, training: str, test: str) -> tuple[Source, ...]:
    """The files of such a benchmark below a URL.

    Args:
        url: The folder, with a slash at its end.
        training: sha256 of ``all_train_seq.txt``.
        test: sha256 of ``test.txt``.
    """
    files = {"all_train_seq.txt": training, "test.txt": test}
    return tuple(Source(name, sha256, (url + name,)) for name, sha256 in files.items())


def _join(value: Any, path: Path) -> list[list[int]]:
    """Join the rows of a test file, each a prefix and its target, into sessions again."""
    if not (isinstance(value, list | tuple) and len(value) == 2):
        raise ValueError(f"{path}: found {_describe(value)}, expected a pair (prefixes, targets)")
    prefixes, targets = value
    if not (isinstance(prefixes, list | tuple) and isinstance(targets, list | tuple)):
        raise ValueError(
            f"{path}: found a pair of {_describe(prefixes)} and {_describe(targets)}, "
            f"expected two lists"
        )
    if len(prefixes) != len(targets):
        raise ValueError(
            f"{path}: found {len(prefixes):,} prefixes and {len(targets):,} targets, "
            f"expected as many of the one as of the other"
        )
    sessions: list[list[int]] = []
    before: Sequence[int] = ()
    for row, (prefix, target) in enumerate(zip(prefixes, targets, strict=True), 1):
        if not isinstance(prefix, list | tuple) or not prefix or not isinstance(target, int):
            raise ValueError(
                f"{path}: row {row:,} is {_describe(prefix)} with target {_describe(target)}, "
                f"expected a list of item ids and an item id"
            )
        if len(before) < 2:  # the row before ended a session, so this is the next one's longest
            sessions.append([*prefix, target])
        elif prefix != before[:-1] or target != before[-1]:
            raise ValueError(
                f"{path}: row {row:,} is {_describe(prefix)} with target {target}, expected "
                f"{_describe(before[:-1])} with target {before[-1]}: the row before it without "
                f"its last click (a session's prefixes stand together, the longest first)"
            )
        before = prefix
    if len(before) > 1:
        raise ValueError(
            f"{path}: the last row is {_describe(before)}, expected the first click alone: "
            f"the last session's shorter prefixes are missing"
        )
    return sessions


def _sessions(rows: Any, path: Path, catalogue: int) -> Sessions:
    """Check sessions of ids 1 … V and number their items 0 … V - 1."""
    if not isinstance(rows, list | tuple) or not rows:
        raise ValueError(f"{path}: found {_describe(rows)}, expected a list of sessions")
    for number, row in enumerate(rows, 1):
        if not isinstance(row, list | tuple) or len(row) < 2 or set(map(type, row)) != {int}:
            raise ValueError(
                f"{path}: session {number:,} is {_describe(row)}, "
                f"expected a list of at least 2 item ids"
            )
        if min(row) < 1 or max(row) > catalogue:
            wrong = next(item for item in row if not 1 <= item <= catalogue)
            raise ValueError(
                f"{path}: session {number:,} holds item {wrong}, expected ids 1 to {catalogue:,}"
            )
    offsets = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum(np.fromiter(map(len, rows), np.int64, len(rows)), out=offsets[1:])
    items = np.fromiter(chain.from_iterable(rows), np.int64, int(offsets[-1]))
    return Sessions(torch.from_numpy(items - 1), torch.from_numpy(offsets))


def _describe(value: Any) -> str:
    """Name a value in few words."""
    if isinstance(value, list | tuple) and (len(value) > 8 or set(map(type, value)) - {int}):
        return f"a {type(value).__name__} of {len(value):,}"
    return repr(value)
