"""Base class of the datasets: files, caches, splits, and samples as graphs."""

from __future__ import annotations

import copy
import hashlib
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from filelock import FileLock
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch_geometric.data import Batch, Data, Dataset

from pyg_srgnn.data.earlier import EarlierClicks
from pyg_srgnn.data.fingerprint import fingerprint
from pyg_srgnn.data.graphs import session_graph, session_graphs
from pyg_srgnn.data.sessions import PART, Sessions, is_part
from pyg_srgnn.data.vocabulary import Vocabulary
from pyg_srgnn.datasets.augmentation import Augmentation
from pyg_srgnn.datasets.download import Source, fetch
from pyg_srgnn.functional.marks import ClickMarks
from pyg_srgnn.functional.metrics import RecallWeights
from pyg_srgnn.utils.arguments import checking
from pyg_srgnn.utils.files import folder_written_aside

if TYPE_CHECKING:
    from pyg_srgnn.clicklog.spec import Preparation

SPLITS = ("train", "valid", "trainval", "test")
_FORMAT = 1  # of the processed files; another number makes every cache anew
_REPORT = "report.json"
_TEXTS = "texts.json"
_OPTIONAL = "events", "pauses", "visits"  # of sessions


class SessionDataset(Dataset):
    """Sessions of clicks; item ``i`` is the graph of sample ``i`` with the next item as target.

    A subclass declares where its files come from (``name``, ``sources``) and how they are read
    (:meth:`read`); downloading, caching, splitting and building graphs are done here. Raw
    files lie in ``root/name/raw``, caches in ``root/name/processed``, one folder for each
    combination of sources and parameters.

    Args:
        root: Folder of all datasets. (default: ``"datasets"``)
        split: ``"train"``, ``"valid"`` (the last training sessions in time), ``"trainval"`` (both
            together) or ``"test"``. (default: ``"train"``)
        valid: What part of the training sessions validates: a fraction, or days as ``"7d"`` where
            the sessions have times. (default: 0.1)
        mirror: Folder or URL looked at before the built-in sources, laid out as
            ``<name>/<file>``. (default: None)
        transform: Applied to every ``Data`` on access; it keeps ``row``, by which an evaluation
            finds the sample. (default: None)

    Raises:
        ValueError: If the split is unknown or a part of it would be empty.
        DownloadError: If no source gives a file.
    """

    name: str = ""
    sources: tuple[Source, ...] = ()

    preparation: Preparation | None = None
    """The columns and rules that made the sessions; None where they were not made of a log."""

    report: Mapping[str, Any] = {}
    """Report of the preparation, set by :meth:`read`; kept beside the sessions as JSON."""

    texts: list[str | None] | None = None
    """Text of every item of the vocabulary, set by :meth:`read` and kept as :attr:`report` is.

    None where the dataset has no text; an entry is None where one item has none.
    """

    _indices: Any  # numbers of the samples in use, a list or an array; None: all

    recall: RecallWeights | None = None
    """The weighted recall that evaluations report as well; None: none."""

    text_encoder: str = "wordllama"
    """Name of the encoder of the texts, where none is chosen."""

    def __init__(
        self,
        root: str | Path = "datasets",
        split: str = "train",
        valid: float | str = 0.1,
        mirror: str | Path | None = None,
        transform: Callable[[Data], Data] | None = None,
    ) -> None:
        with checking(self) as check:
            check.path("root", root)
            check.one_of("split", split, SPLITS)
            check.that(is_part(valid), "valid", PART, valid)
            check.path("mirror", mirror, optional=True)
        self.split = split
        self.mirror = mirror
        super().__init__(str(root), transform)
        try:
            training, test = self._load()
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            warnings.warn(
                f"the prepared files in {self.processed_dir} are damaged ({error}); "
                f"they are made again",
                stacklevel=2,
            )
            self.download()
            with self._lock():
                self.process()
            training, test = self._load()
        self._parts = training, test
        if split == "test":
            self.sessions = test
        elif split == "trainval":
            self.sessions = training
        else:
            try:
                parts = training.split_last(valid)
            except ValueError as error:
                raise ValueError(f"{type(self).__name__}: valid={valid!r}: {error}") from error
            self.sessions = parts[0] if split == "train" else parts[1]
        self._weights: Tensor | None = None
        if self.events:
            self._choose_targets()

    def parameters(self) -> dict[str, Any]:
        """Parameters of the processed files; part of the cache's key."""
        return {}

    def read(self) -> tuple[Sessions, Sessions, Vocabulary]:
        """Training sessions, test sessions (both in time order) and the vocabulary.

        It may set :attr:`report` and :attr:`texts`.
        """
        raise NotImplementedError

    @property
    def parts(self) -> tuple[Sessions, Sessions]:
        """All training sessions, those that validate among them, and the test sessions."""
        return self._parts

    def last_clicks(self) -> SessionDataset:
        """The samples whose target is the last click of its session, one a session."""
        last = torch.zeros(self.sessions.num_samples, dtype=torch.bool)
        offsets = self.sessions.offsets
        number = offsets[1:] - torch.arange(len(self.sessions)) - 2
        last[number[self.sessions.lengths > 1]] = True
        chosen = self[last[torch.from_numpy(np.asarray(self.indices(), dtype=np.int64))]]
        assert isinstance(chosen, SessionDataset)
        return chosen

    @property
    def num_items(self) -> int:
        """Number of items in the catalogue."""
        return len(self.vocabulary)

    @property
    def num_classes(self) -> int:
        """Number of items, each of which can be the next one, in every part of a dataset."""
        return self.num_items

    @property
    def events(self) -> dict[str, float]:
        """The types of clicks with the weights of targets in the loss; empty without types."""
        return {} if self.preparation is None else dict(self.preparation.events or {})

    @property
    def earlier_clicks(self) -> int:
        """How many clicks of its user's earlier sessions a sample has at most; 0: none."""
        if self.preparation is None or self.sessions.visits is None:
            return 0
        return self.preparation.earlier_clicks

    @cached_property
    def _earlier(self) -> tuple[EarlierClicks, int] | None:
        """What finds earlier clicks, and its number of this split's first session.

        Of a test session, those of the training sessions and of earlier test sessions.
        """
        if not self.earlier_clicks:
            return None
        training, test = self._parts
        if self.split == "test":
            return EarlierClicks([training, test], self.earlier_clicks), len(training)
        first = len(training) - len(self.sessions) if self.split == "valid" else 0
        return EarlierClicks([training], self.earlier_clicks), first

    def _choose_targets(self) -> None:
        """Leave out samples whose targets are of other types than asked, and weigh the others."""
        assert self.preparation is not None and self.sessions.events is not None
        names, wanted = list(self.events), self.preparation.target_types
        of_target = self.sessions.events[self.sessions.is_target]
        chosen = torch.tensor([name in wanted for name in names])
        counts = torch.bincount(of_target, minlength=len(names)) * chosen
        if not counts.any():
            raise ValueError(
                f"dataset.targets={wanted}: the {self.split} part has no click of these types "
                f"behind another one of its session"
            )
        if len(wanted) < len(names):
            self._indices = chosen[of_target.long()].nonzero().squeeze(1).numpy()
        weights = torch.tensor([float(self.events[name]) for name in names])
        differ = len({self.events[name] for name in wanted}) > 1
        if self.split in ("train", "trainval") and differ:
            mean = (weights * counts).sum() / counts.sum()
            if not mean:
                raise ValueError(
                    f"dataset.events: the {self.split} part has no target of a weight > 0"
                )
            self._weights = weights / mean

    @property
    def has_cold_items(self) -> bool:
        """Whether the catalogue ends with items that are kept though no training session has them.

        Those of an earlier vocabulary are not: they start from the weights that know them.
        """
        drops = self.preparation is not None and self.preparation.cold == "drop"
        return not drops and int(self._parts[0].items.max()) + 1 < self.num_items

    @cached_property
    def fingerprint(self) -> dict[str, Any]:
        """Fingerprint of the sessions of all splits and of the catalogue."""
        return fingerprint(*self._parts, self.vocabulary)

    @property
    def raw_dir(self) -> str:
        """Folder of the raw files."""
        return str(Path(self.root, self.name, "raw"))

    @property
    def processed_dir(self) -> str:
        """Folder of the processed files, named by a hash of all that they depend on."""
        key = {
            "format": _FORMAT,
            "sources": [(source.name, source.sha256) for source in self.sources],
            "parameters": self.parameters(),
        }
        digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
        return str(Path(self.root, self.name, "processed", digest))

    @property
    def raw_file_names(self) -> list[str]:
        """Names of the raw files."""
        return [source.name for source in self.sources]

    @property
    def processed_file_names(self) -> list[str]:
        """Names of the processed files."""
        return ["sessions.safetensors", "vocabulary.json"]

    def download(self) -> None:
        """Fetch the raw files that are missing."""
        for source in self.sources:
            fetch(source, Path(self.raw_dir), self.mirror, self.name)

    def inputs(self) -> list[Path]:
        """The local files that the processed ones are made of."""
        return [Path(path) for path in self.raw_paths]

    def process(self) -> None:
        """Read the raw files and store the sessions.

        Raises:
            ValueError: If a file changed while it was read; names it.
        """
        self.report, self.texts = {}, None
        # The folder is that of the content as reading begins: more may be appended meanwhile.
        folder, before = Path(self.processed_dir), _states(self.inputs())
        training, test, vocabulary = self.read()
        if Path(self.processed_dir) != folder:
            raise ValueError(
                f"{_changes(before, _states(self.inputs())) or self.raw_dir}: changed while it was "
                "being read, so nothing was kept; try again once nothing is writing to it, or use "
                "a copy"
            )
        _check_texts(self.texts, vocabulary)
        # An older folder is there only if it was found damaged; the lock keeps others off both.
        with folder_written_aside(folder, folder.with_name(folder.name + ".part")) as aside:
            tensors = _tensors_of(training=training, test=test)
            save_file(tensors, aside / self.processed_file_names[0])
            vocabulary.save(aside / self.processed_file_names[1])
            if self.report:
                report = json.dumps(self.report, indent=1)
                (aside / _REPORT).write_text(report, encoding="utf-8")
            if self.texts is not None:
                texts = json.dumps(self.texts, ensure_ascii=False)
                (aside / _TEXTS).write_text(texts, encoding="utf-8")

    def _load(self) -> tuple[Sessions, Sessions]:
        sessions, vocabulary = self.processed_paths
        self.vocabulary = Vocabulary.load(vocabulary)
        report = Path(self.processed_dir, _REPORT)
        self.report = json.loads(report.read_text(encoding="utf-8")) if report.is_file() else {}
        texts = Path(self.processed_dir, _TEXTS)
        self.texts = json.loads(texts.read_text(encoding="utf-8")) if texts.is_file() else None
        _check_texts(self.texts, self.vocabulary)
        stored = load_file(sessions)  # maps the file: all who open it share the pages
        return _sessions_from(stored, "training"), _sessions_from(stored, "test")

    # PyG calls these two when the object is made. Its own versions neither lock nor rename.

    def _download(self) -> None:
        if not self._processed():
            self.download()

    def _process(self) -> None:
        if self._processed():
            return
        with self._lock():
            if not self._processed():
                self.process()

    def _lock(self) -> FileLock:
        folder = Path(self.processed_dir)
        folder.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(folder.with_name(folder.name + ".lock"))

    def _processed(self) -> bool:
        return all(Path(path).is_file() for path in self.processed_paths)

    def len(self) -> int:
        """Number of samples of the split, those that :attr:`indices` leaves out among them."""
        return self.sessions.num_samples

    def get(self, idx: int) -> Data:
        """The graph of one sample, with its number as ``row``."""
        row = torch.tensor([idx])
        (session,), (cut,) = (part.tolist() for part in self.sessions.samples(row))
        clicks = self.sessions[session]
        start = int(self.sessions.offsets[session])
        marks = self._marks_of(torch.arange(start, start + cut), torch.tensor([session]))
        data = session_graph(clicks[:cut], int(clicks[cut]), marks)
        data.row = row
        if (weight := self._weight_of(torch.tensor([start + cut]))) is not None:
            data.target_weight = weight
        return data

    def unfiltered(self) -> SessionDataset:
        """The same data with all samples, as ``batch.row`` numbers them, those not in use, too."""
        every = copy.copy(self)
        every._indices = None
        return every

    def batch(
        self, index: Sequence[int] | Tensor, augmentation: Augmentation | None = None
    ) -> Batch:
        """The graphs of many samples in one batch, numbered as ``dataset[i]`` numbers them.

        ``batch.row`` [B] holds the sample numbers, also of a subset (``dataset[…]``).

        Args:
            index: Sample numbers [B].
            augmentation: Leaves clicks out of the samples; ``batch.steps`` [L] are then the steps
                from each click to the next item, those left out counted. (default: None)

        Returns:
            Without an augmentation, what ``Batch.from_data_list`` makes of ``dataset[i]``.
        """
        if self.transform is not None:
            return Batch.from_data_list([self[int(i)] for i in index])
        number = torch.as_tensor(index)
        if number.dtype == torch.bool:  # a mask, as dataset[mask] takes it
            number = number.nonzero().flatten()
        number = number.long()
        if number.numel() and not -len(self) <= int(number.min()) <= int(number.max()) < len(self):
            raise IndexError(
                f"{type(self).__name__}: sample numbers must lie in {-len(self)} … {len(self) - 1} "
                f"(got {int(number.min())} … {int(number.max())})"
            )
        number = torch.where(number < 0, number + len(self), number)
        if isinstance(self._indices, np.ndarray):
            number = torch.from_numpy(self._indices)[number]
        elif self._indices is not None:
            number = torch.tensor([self._indices[i] for i in number.tolist()], dtype=torch.long)
        session, cut = self.sessions.samples(number)
        start = self.sessions.offsets[session]
        # Clicks start … start + cut - 1 of every sample, one sample after another.
        skipped = start - (cut.cumsum(0) - cut)
        click = torch.arange(int(cut.sum())) + skipped.repeat_interleave(cut)
        items = self.sessions.items
        target, steps = start + cut, None
        if augmentation is not None:
            kept = augmentation.kept(items[click], cut, number)
            of_click = torch.arange(len(cut)).repeat_interleave(cut)[kept]
            click = click[kept]
            steps = target[of_click] - click
            cut = torch.bincount(of_click, minlength=len(cut))
        weights, marks = self._weight_of(target), self._marks_of(click, session)
        pauses = self.sessions.pauses
        if augmentation is not None and marks is not None and pauses is not None:
            # A pause goes back to the click before that is left; a session's first one has none.
            clock = pauses.long().cumsum(0)[click]
            marks = marks._replace(pause=clock.diff(prepend=clock[:1]))
        return session_graphs(items[click], cut, items[target], number, marks, weights, steps)

    def _marks_of(self, click: Tensor, session: Tensor) -> ClickMarks | None:
        """The marks of some clicks, and the earlier clicks of their sessions; None without any."""
        sessions, earlier = self.sessions, self._earlier
        if sessions.events is None and sessions.pauses is None and earlier is None:
            return None
        marks = ClickMarks(sessions.events, len(self.events), sessions.pauses).of(click)
        if earlier is None:
            return marks
        finder, first = earlier
        return marks._replace(earlier=finder.of(first + session))

    def _weight_of(self, click: Tensor) -> Tensor | None:
        """Weights of some clicks as targets; None where all weigh alike."""
        if self._weights is None or self.sessions.events is None:
            return None
        return self._weights[self.sessions.events[click].long()]

    def __repr__(self) -> str:
        """Name, split and counts."""
        return (
            f"{type(self).__name__}({len(self)}, split={self.split}, "
            f"sessions={len(self.sessions)}, items={self.num_items})"
        )


def _states(files: Sequence[Path]) -> dict[Path, tuple[int, int]]:
    """Size and time of change of those files that are there."""
    states = {file: file.stat() for file in files if file.is_file()}
    return {file: (state.st_size, state.st_mtime_ns) for file, state in states.items()}


def _changes(then: Mapping[Path, tuple[int, int]], now: Mapping[Path, tuple[int, int]]) -> str:
    """The files that are not as they were, with their sizes."""
    return ", ".join(
        f"{file} ({then[file][0]:,} bytes then, {now.get(file, (0, 0))[0]:,} now)"
        for file in then
        if now.get(file) != then[file]
    )


def _check_texts(texts: list[str | None] | None, vocabulary: Vocabulary) -> None:
    if texts is not None and len(texts) != len(vocabulary):
        raise ValueError(f"{len(texts):,} texts for {len(vocabulary):,} items")


def _tensors_of(**parts: Sessions) -> dict[str, Tensor]:
    """The tensors as they are stored, copied only where the format refuses them.

    It refuses two that share memory, as two runs of the same sessions do, and strided ones.
    """
    tensors: dict[str, Tensor] = {}
    storages: set[int] = set()
    for part, sessions in parts.items():
        for name in ("items", "offsets", "times", *_OPTIONAL):
            tensor: Tensor | None = getattr(sessions, name)
            if tensor is None:
                continue
            storage = tensor.untyped_storage().data_ptr()
            if storage in storages or not tensor.is_contiguous():
                tensor = tensor.clone(memory_format=torch.contiguous_format)
            storages.add(storage)
            tensors[f"{part}.{name}"] = tensor
    return tensors


def _sessions_from(tensors: dict[str, Tensor], name: str) -> Sessions:
    clicks = tensors[f"{name}.items"], tensors[f"{name}.offsets"]
    return Sessions(*clicks, *(tensors.get(f"{name}.{of}") for of in ("times", *_OPTIONAL)))
