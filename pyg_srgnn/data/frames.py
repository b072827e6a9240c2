"""Converts sessions from and to data frames with one row per click: Polars, pandas, Parquet."""

from __future__ import annotations

from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import narwhals as nw
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyg_srgnn.data.vocabulary import Vocabulary
from pyg_srgnn.utils.files import is_parquet, written_aside

if TYPE_CHECKING:
    import polars
    from narwhals.typing import IntoDataFrame

TIME = "time"  # a frame may lack the column of this name, but not one that was asked for
_MICROSECONDS = 1_000_000
_TEXT = (nw.String, nw.Categorical, nw.Enum)


class FrameConversions:
    """The methods of :class:`~pyg_srgnn.data.Sessions` that make them from frames, and back."""

    items: Tensor
    offsets: Tensor
    times: Tensor | None

    if TYPE_CHECKING:

        def __init__(self, items: Tensor, offsets: Tensor, times: Tensor | None = None) -> None: ...

    @classmethod
    def from_polars(
        cls,
        frame: polars.DataFrame | polars.LazyFrame,
        session: str = "session",
        item: str = "item",
        time: str | None = "time",
        vocabulary: Vocabulary | None = None,
    ) -> Self:
        """Sessions from a frame with a row for each click.

        The sessions come in the order in which the frame first shows them, the clicks of each in
        the order of its rows, which need not be adjacent. For sessions in time order, sort the
        frame by time.

        Args:
            frame: The clicks.
            session: Column of the session's id, of any type. (default: ``"session"``)
            item: Column of item indices, or of raw ids where ``vocabulary`` is given.
                (default: ``"item"``)
            time: Column of whole seconds since 1970 UTC, or of a Datetime (without a zone: UTC);
                a session's time is that of its last click. Without a column of the default's name
                there are no times. (default: ``"time"``)
            vocabulary: The raw ids' numbering. (default: None)

        Raises:
            ValueError: If a column is missing or of another type, a value is null, an index
                negative or a raw id unknown; names the column and the first such row.
        """
        return cls(*_from_frame(frame, session, item, time, vocabulary))

    @classmethod
    def from_pandas(
        cls,
        frame: IntoDataFrame,
        session: str = "session",
        item: str = "item",
        time: str | None = "time",
        vocabulary: Vocabulary | None = None,
    ) -> Self:
        """Sessions from a pandas frame; see :meth:`from_polars`."""
        return cls(*_from_frame(frame, session, item, time, vocabulary))

    @classmethod
    def from_parquet(
        cls,
        path: str | Path,
        session: str = "session",
        item: str = "item",
        time: str | None = "time",
        vocabulary: Vocabulary | None = None,
    ) -> Self:
        """Sessions from a Parquet file, or from several in the order of their names.

        Args:
            path: A file, a glob, or a folder, of which all Parquet files are read whose name does
                not begin with ``.`` or ``_``.
            session: See :meth:`from_polars`, for this and for what follows.
            item: Column of the items.
            time: Column of the time.
            vocabulary: The raw ids' numbering.

        Raises:
            FileNotFoundError: If there is no file.
            ValueError: As in :meth:`from_polars`; names the path too.
        """
        rows = _scan_parquet(path)
        return cls(*_from_frame(rows, session, item, time, vocabulary, str(path)))

    def to_polars(
        self,
        session: str = "session",
        item: str = "item",
        time: str = "time",
        vocabulary: Vocabulary | None = None,
    ) -> polars.DataFrame:
        """A frame with a row for each click, from which the same sessions are made again.

        Args:
            session: Column for the number of the session, from 0. (default: ``"session"``)
            item: Column for item indices, or raw ids where ``vocabulary`` is given.
                (default: ``"item"``)
            time: Column for the session's time, if there are times. (default: ``"time"``)
            vocabulary: The raw ids' numbering. (default: None)

        Raises:
            IndexError: If an item lies outside the vocabulary.
        """
        frame: polars.DataFrame = self._to_frame("polars", session, item, time, vocabulary)
        return frame

    def to_pandas(
        self,
        session: str = "session",
        item: str = "item",
        time: str = "time",
        vocabulary: Vocabulary | None = None,
    ) -> Any:
        """A pandas frame; see :meth:`to_polars`. pandas must be installed."""
        return self._to_frame("pandas", session, item, time, vocabulary)

    def to_parquet(
        self,
        path: str | Path,
        session: str = "session",
        item: str = "item",
        time: str = "time",
        vocabulary: Vocabulary | None = None,
    ) -> None:
        """Write a Parquet file, whole or not at all; see :meth:`to_polars`."""
        with written_aside(path) as aside:
            self.to_polars(session, item, time, vocabulary).write_parquet(aside)

    def _to_frame(
        self,
        backend: Literal["polars", "pandas"],
        session: str,
        item: str,
        time: str,
        vocabulary: Vocabulary | None,
    ) -> Any:
        lengths, items = self.offsets.diff().numpy(), self.items.numpy()
        columns = {session: np.repeat(np.arange(len(lengths)), lengths), item: items}
        if self.times is not None:
            columns[time] = np.repeat(self.times.numpy(), lengths)
        frame = nw.from_dict(columns, backend=backend)
        if vocabulary is not None:
            if len(items):
                vocabulary.decode([items.min(), items.max()])  # refuses what lies outside
            kind = nw.String if vocabulary.ids and isinstance(vocabulary.ids[0], str) else nw.Int64
            raw = nw.new_series(item, vocabulary.ids, kind, backend=backend)
            frame = frame.with_columns(raw[items])
        return frame.to_native()


def _from_frame(
    native: Any,
    session: str,
    item: str,
    time: str | None,
    vocabulary: Vocabulary | None,
    source: str = "Sessions",
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Items, offsets and times of a frame's sessions; ``source`` names the frame in errors."""
    given = nw.from_native(native)
    there = given.collect_schema().names()
    if time == TIME and TIME not in there:
        time = None
    columns = [name for name in (session, item, time) if name is not None]
    for name in columns:
        if name not in there:
            raise ValueError(
                f"{source}: there is no column {name!r}; there are {', '.join(map(repr, there))}"
            )
    chosen = given.select(*dict.fromkeys(columns))
    frame = chosen.collect() if isinstance(chosen, nw.LazyFrame) else chosen
    for name in columns:
        if frame[name].null_count():
            _refuse(frame[name].is_null().to_numpy(), frame[name], source, "a value")

    # A session is numbered by its first row; a stable sort keeps its clicks in row order.
    first = _first_rows(frame[session])
    order = np.argsort(first, kind="stable")
    starts = np.flatnonzero(np.diff(first[order], prepend=-1))
    offsets = np.append(starts, len(first))
    times = None
    if time is not None:
        times = torch.from_numpy(_seconds(frame[time], source)[order[offsets[1:] - 1]])
    items = _indices(frame[item], vocabulary, source)[order]
    return torch.from_numpy(items), torch.from_numpy(offsets), times


def _scan_parquet(path: str | Path) -> polars.LazyFrame:
    import polars

    path = Path(path)
    if path.is_file():
        files = [path]
    elif path.is_dir():
        seen = (file for file in path.iterdir() if file.is_file() and file.name[0] not in "._")
        files = sorted(file for file in seen if is_parquet(file))
    else:
        files = sorted(map(Path, glob(str(path), recursive=True)))
    if not files:
        raise FileNotFoundError(f"{path}: there is no Parquet file")
    return polars.scan_parquet(files, glob=False)


def _first_rows(values: nw.Series[Any]) -> NDArray[np.int64]:
    """For every row, the first row that holds the same value."""
    row, value = "row", "value"
    frame = values.alias(value).to_frame().with_row_index(row)
    first = frame.select(nw.col(row).min().over(value))[row].to_numpy()
    return np.asarray(first, dtype=np.int64)


def _indices(
    values: nw.Series[Any], vocabulary: Vocabulary | None, source: str
) -> NDArray[np.int64]:
    if vocabulary is None:
        if not values.dtype.is_integer():
            raise ValueError(
                f"{source}: column {values.name!r} holds {values.dtype}, expected item indices "
                f"(whole numbers), or a vocabulary of its raw ids"
            )
        indices = np.asarray(values.to_numpy(), dtype=np.int64)
        _refuse(indices < 0, values, source, "an index of at least 0")
        return indices
    if not (values.dtype.is_integer() or values.dtype in _TEXT):
        raise ValueError(
            f"{source}: column {values.name!r} holds {values.dtype}, expected raw ids: "
            f"whole numbers or text"
        )
    # Only the distinct ids are looked up, each at its first row.
    first = _first_rows(values)
    distinct = np.flatnonzero(first == np.arange(len(first)))
    indices = np.empty(len(first), dtype=np.int64)
    indices[distinct] = vocabulary.encode(values[distinct].to_list())
    indices = indices[first]
    _refuse(indices < 0, values, source, "an id of the vocabulary")
    return indices


def _seconds(values: nw.Series[Any], source: str) -> NDArray[np.int64]:
    if isinstance(values.dtype, nw.Datetime):
        microseconds = np.asarray(values.dt.timestamp("us").to_numpy(), dtype=np.int64)
        return microseconds // _MICROSECONDS
    if not values.dtype.is_integer():
        raise ValueError(
            f"{source}: column {values.name!r} holds {values.dtype}, expected a Datetime, "
            f"or whole seconds since 1970 UTC"
        )
    return np.asarray(values.to_numpy(), dtype=np.int64)


def _refuse(wrong: Any, values: nw.Series[Any], source: str, expected: str) -> None:
    """Raise an error about the first of the rows that are wrong, if any is."""
    if wrong.any():
        row, count = int(wrong.argmax()), int(wrong.sum())
        more = f" (and {count - 1:,} more rows like it)" if count > 1 else ""
        raise ValueError(
            f"{source}: column {values.name!r} holds {nw.to_py_scalar(values[row])!r} in row "
            f"{row:,}, counted from 0, expected {expected}{more}"
        )
