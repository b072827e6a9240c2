"""Datasets made from click logs: the raw files of a benchmark, or a log of your own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from torch_geometric.data import Data

from pyg_srgnn.clicklog.files import find_files
from pyg_srgnn.clicklog.prepare import ENGINES, prepare
from pyg_srgnn.clicklog.prepared import FILES, REPORT, Prepared, is_prepared
from pyg_srgnn.clicklog.spec import Preparation
from pyg_srgnn.data.sessions import Sessions
from pyg_srgnn.data.vocabulary import Vocabulary
from pyg_srgnn.datasets.base import SessionDataset
from pyg_srgnn.datasets.checksums import remembered_sha256
from pyg_srgnn.datasets.two_file import Counts
from pyg_srgnn.utils.arguments import checking

# Rules that look at no more than one session, and keep all of them.
_UNCOUNTED: dict[str, Any] = {
    "min_support": 1,
    "drop_longer": None,
    "until_stable": False,
    "recent": 1,
    "cold": "keep",
    "test": 0.5,
    "strict": False,
}


class RawDataset(SessionDataset):
    """A benchmark made from its raw click log.

    A subclass gives ``name``, ``sources``, :attr:`preparation` and, if they are known,
    :attr:`counts`. ``dataset.report`` lists what was read and dropped, and why.

    Args:
        root: Folder of all datasets. (default: ``"datasets"``)
        split: ``"train"``, ``"valid"``, ``"trainval"`` or ``"test"``. (default: ``"train"``)
        valid: What part of the training sessions validates. (default: 0.1)
        mirror: Folder or URL looked at before the built-in sources. (default: None)
        transform: Applied to every ``Data`` on access. (default: None)
        engine: What runs the preparation: ``"polars"`` or ``"spark"``. (default: ``"polars"``)

    Raises:
        ValueError: If the files do not hold what they should; names file and line.
        DownloadError: If no source gives a file.
    """

    preparation: Preparation = Preparation(max_length=None)
    """The columns and rules."""

    counts: Counts | None = None
    """Published counts; ``srgnn-prepare verify=true`` compares them."""

    uncounted = False
    """Whether the rules that count over the whole log are left to those who cut it in time."""

    def __init__(
        self,
        root: str | Path = "datasets",
        split: str = "train",
        valid: float | str = 0.1,
        mirror: str | Path | None = None,
        transform: Callable[[Data], Data] | None = None,
        *,
        engine: str = "polars",
    ) -> None:
        with checking(self) as check:
            check.one_of("engine", engine, ENGINES)
        self.engine = engine
        self.rules = self.preparation
        if self.uncounted:
            self.preparation = replace(self.preparation, **_UNCOUNTED)
        super().__init__(root, split, valid, mirror, transform)

    @property
    def scratch(self) -> Path:
        """Folder of the files that the preparation needs; removed when it ends."""
        return Path(self.processed_dir).with_suffix(".clicks")

    def click_files(self) -> Sequence[Path]:
        """The files of the log."""
        return [Path(path) for path in self.raw_paths]

    def known(self) -> Vocabulary | None:
        """Items that keep their index; none here."""
        return None

    def parameters(self) -> dict[str, Any]:
        """The preparation, and the checksums of files that none is known for beforehand.

        The engine is not among them: every engine gives the same sessions.
        """
        unknown = {source.name for source in self.sources if not source.sha256}
        files = [Path(self.raw_dir, name) for name in sorted(unknown)]
        return _rules(self.preparation) | {
            "files": {file.name: self._checksum(file) for file in files if file.is_file()}
        }

    def _checksum(self, file: Path) -> str:
        state = file.stat()
        key = file, state.st_size, state.st_mtime_ns
        known: dict[Any, str] = self.__dict__.setdefault("_checksums", {})
        if key not in known:  # a fresh file's is not remembered elsewhere yet
            known[key] = remembered_sha256(file, Path(self.root, self.name, "checksums.json"))
        return known[key]

    def read(self) -> tuple[Sessions, Sessions, Vocabulary]:
        """Prepare the log."""
        # Under the lock of this cache: files that a killed preparation left there are unused.
        scratch = self.scratch
        shutil.rmtree(scratch, ignore_errors=True)
        try:
            prepared = prepare(
                self.click_files(), self.preparation, self.engine, self.known(), scratch
            )
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        self.report, self.texts = prepared.report, prepared.texts
        return prepared.training, prepared.test, prepared.vocabulary


class ClickLog(RawDataset):
    """Your own click log: CSV (any delimiter, quoted, gzip or zstd) or Parquet, one file or many.

    The result is kept below ``root/click_log/processed``, one folder for each content of the
    files and each set of rules.

    Args:
        root: Folder of all datasets. (default: ``"datasets"``)
        split: ``"train"``, ``"valid"``, ``"trainval"`` or ``"test"``. (default: ``"train"``)
        valid: What part of the training sessions validates. (default: 0.1)
        mirror: Taken for the sake of the other datasets' signature; not used. (default: None)
        transform: Applied to every ``Data`` on access. (default: None)
        path: A file, a glob, a folder, or a list of them; or a folder that
            :meth:`~pyg_srgnn.clicklog.prepared.Prepared.save` wrote, perhaps on a cluster, whose
            sessions are taken as they are.
        engine: What runs the preparation: ``"polars"`` or ``"spark"``. (default: ``"polars"``)
        vocabulary: A ``vocabulary.json``, or a folder with one, as a run's directory is: its items
            keep their index, new ones are numbered after them. (default: None)
        **rules: The columns and rules of :class:`~pyg_srgnn.clicklog.spec.Preparation`.

    Raises:
        ValueError: If the log cannot be read as it is declared, or a row is bad; names file and
            line. If rules are given for what was prepared before.
        FileNotFoundError: If there is no such file.
    """

    name = "click_log"

    def __init__(
        self,
        root: str | Path = "datasets",
        split: str = "train",
        valid: float | str = 0.1,
        mirror: str | Path | None = None,
        transform: Callable[[Data], Data] | None = None,
        *,
        path: str | Path | Sequence[str | Path],
        engine: str = "polars",
        vocabulary: str | Path | None = None,
        **rules: Any,
    ) -> None:
        self.preparation = Preparation(**rules)
        self.prepared = None
        if isinstance(path, str | Path) and is_prepared(Path(path).expanduser()):
            self.prepared = Path(path).expanduser()
            _refuse_rules(self.prepared, self.preparation, vocabulary)
            self.preparation = _preparation_of(self.prepared / REPORT)
            self.files = tuple(self.prepared / name for name in FILES)
        else:
            self.files = find_files(path)
        self.known_items = None if vocabulary is None else _vocabulary_file(Path(vocabulary))
        super().__init__(root, split, valid, mirror, transform, engine=engine)

    def click_files(self) -> Sequence[Path]:
        """The files of the log."""
        return self.files

    def inputs(self) -> list[Path]:
        """The files of the log, and that of the known items."""
        return [*self.files, *([] if self.known_items is None else [self.known_items])]

    def known(self) -> Vocabulary | None:
        """Items that keep their index."""
        return None if self.known_items is None else Vocabulary.load(self.known_items)

    def parameters(self) -> dict[str, Any]:
        """The preparation and the content of the files."""
        known = self.known_items
        return _rules(self.preparation) | {
            "files": [self._checksum(file) for file in self.files],
            "vocabulary": None if known is None else self._checksum(known),
        }

    def read(self) -> tuple[Sessions, Sessions, Vocabulary]:
        """Prepare the log, or open what was prepared."""
        if self.prepared is None:
            return super().read()
        found = Prepared.load(self.prepared)
        self.report, self.texts = found.report, found.texts
        return found.training, found.test, found.vocabulary


def _rules(preparation: Preparation) -> dict[str, Any]:
    """The rules as a part of a cache's key; those that came later leave older caches valid."""
    later = {"cold": "drop", "text": None, "event": None, "events": None, "pauses": None}
    rules = asdict(preparation)
    # Which samples count, what they weigh, and what goes with them, is known to the dataset alone.
    del rules["targets"], rules["user_clicks"]
    if preparation.of_users and preparation.earlier_clicks:
        rules["users"] = "known"
    if preparation.text is not None:
        rules["blanks"] = "single"  # within a text, as those of files have them
    if preparation.events is not None:
        rules["events"] = list(preparation.events)
    return {
        name: value for name, value in rules.items() if name not in later or value != later[name]
    }


def _preparation_of(report: Path) -> Preparation:
    try:
        stored = json.loads(report.read_text(encoding="utf-8")).get("preparation", {})
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{report} is no report of a preparation: {error}") from error
    return Preparation.from_dict(stored, str(report))


def _refuse_rules(folder: Path, preparation: Preparation, vocabulary: str | Path | None) -> None:
    default = Preparation()
    given = [
        one.name
        for one in fields(Preparation)
        if getattr(preparation, one.name) != getattr(default, one.name)
    ]
    given += [] if vocabulary is None else ["vocabulary"]
    if given:
        names = ", ".join(f"dataset.{name}" for name in given)
        raise ValueError(
            f"dataset.path={folder} holds sessions whose rules were applied when they were made "
            f"(its report.json says which); leave out {names}"
        )


def _vocabulary_file(path: Path) -> Path:
    file = path / "vocabulary.json" if path.is_dir() else path
    if not file.is_file():
        raise FileNotFoundError(f"dataset.vocabulary={path}: there is no file {file}")
    return file
