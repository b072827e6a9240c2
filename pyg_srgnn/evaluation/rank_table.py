"""The samples of an evaluation as a table: what kind each is, and the rank of its target.

``ranks.parquet`` holds one row per sample:

=============== ============================================================================
``row``         number of the sample in its dataset
``session``     number of its session in its dataset
``prefix``      clicks of the session before the target
``rank``        rank of the target among all items, 1 for the best
``repeat``      whether the target is one of the clicks before it
``seen``        whether a training session holds the target
``clicks``      clicks of the target in the training sessions; no column in earlier versions
``decile``      tenth of the items that holds the target, 1 the most popular; null if unseen
``day``         UTC day of the session's time; null where the dataset keeps no times
``event``       type of the target; no column where the dataset keeps no types
``item.<name>`` value of the target in a column of categories, null if it has none
``rank_<name>`` the rank that a baseline of the same evaluation gives it
=============== ============================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pyg_srgnn.utils.files import written_aside

if TYPE_CHECKING:
    from torch import Tensor

    from pyg_srgnn.data.categories import Categories
    from pyg_srgnn.data.sessions import Sessions
    from pyg_srgnn.datasets.base import SessionDataset

RANK = "rank"
_OF_BASELINE = f"{RANK}_"
OF_ITEM = "item."
_SCHEMA = {
    "row": pl.Int64,
    "session": pl.Int64,
    "prefix": pl.Int32,
    "repeat": pl.Boolean,
    "seen": pl.Boolean,
    "clicks": pl.Int64,
    "decile": pl.Int8,
    "day": pl.Date,
    "event": pl.String,
}
_LATER = {"clicks", "event"}  # columns that files of earlier versions, or some datasets, lack
_MAY_BE_NULL = {"decile", "day"}
_LAST = np.iinfo(np.int32).max  # where a target without a score is kept


def describe_rows(
    dataset: SessionDataset, training: Sessions, categories: Categories | None = None
) -> pl.DataFrame:
    """Which samples a dataset holds, and of what kind they are.

    The items of the training sessions are sorted by their clicks, those with equally many by their
    numbers; the first tenth of the items is decile 1.

    Args:
        dataset: The samples, such as a test set, or some of them (``dataset[…]``).
        training: The sessions that the model was trained on.
        categories: Categories of the dataset's items, each column of which becomes one of the
            table. (default: none)

    Returns:
        The columns of ``ranks.parquet`` but the ranks; one row per sample, in the dataset's order.
    """
    sessions = dataset.sessions
    items, offsets = sessions.items.numpy(), sessions.offsets.numpy()
    lengths = np.diff(offsets)
    of_click = np.repeat(np.arange(len(lengths)), lengths)
    # A click is a repetition unless it is its item's first one in the session.
    _, first = np.unique(of_click * dataset.num_items + items, return_index=True)
    repeat = np.ones(len(items), dtype=bool)
    repeat[first] = False
    # Every click but a session's first is the target of one sample, in their order.
    is_target = np.ones(len(items), dtype=bool)
    is_target[offsets[:-1]] = False
    click = np.flatnonzero(is_target)
    number = np.asarray(dataset.indices(), dtype=np.int64)  # all of them, or those of a subset
    click = click[number]
    session, target = of_click[click], items[click]
    clicks = np.bincount(training.items.numpy(), minlength=dataset.num_items)
    decile = _deciles(clicks)[target]
    frame = pl.DataFrame(
        {
            "row": number,
            "session": session,
            "prefix": click - offsets[session],
            "repeat": repeat[click],
            "seen": decile > 0,
            "clicks": clicks[target],
            "decile": decile,
        }
    ).with_columns(decile=pl.col("decile").replace(0, None))
    if sessions.times is None:
        day = pl.lit(None)
    else:
        day = pl.from_epoch(pl.lit(pl.Series(sessions.times.numpy()[session])), "s").dt.date()
    frame = frame.with_columns(day=day)
    if sessions.events is not None:
        names = pl.Series([*dataset.events], dtype=pl.String)
        frame = frame.with_columns(event=names.gather(sessions.events.numpy()[click]))
    frame = frame.cast({name: _SCHEMA[name] for name in frame.columns})
    if categories is None:
        return frame
    columns = []
    for (name, values), codes in zip(categories.names.items(), categories.codes.T, strict=True):
        code = pl.Series(codes[target])
        of_code = pl.Series([*values, None], dtype=pl.String)  # -1 is the last one
        columns.append(of_code.gather(code % len(of_code)).alias(OF_ITEM + name))
    return frame.with_columns(columns)


def _deciles(clicks: NDArray[np.int64]) -> NDArray[np.int64]:
    """Decile of every item, from 1, by its clicks; 0 of one that was never clicked [V]."""
    seen = int(np.count_nonzero(clicks))
    popular = np.argsort(-clicks, kind="stable")[:seen]
    deciles = np.zeros(len(clicks), dtype=np.int64)
    deciles[popular] = 1 + 10 * np.arange(seen) // max(seen, 1)
    return deciles


def write_ranks(
    path: str | Path,
    rows: pl.DataFrame,
    rank: Tensor,
    baselines: Mapping[str, Tensor] | None = None,
) -> None:
    """Write ``ranks.parquet``, whole or not at all.

    Args:
        path: The file.
        rows: What :func:`describe_rows` says of the samples.
        rank: Rank of each one's target [n], of :func:`pyg_srgnn.evaluation.loop.evaluate_rows`. A
            target without a score, behind all others, gets the greatest number of 32 bits.
        baselines: Ranks of baselines [n] by their names. (default: none)
    """
    every = {RANK: rank, **{_OF_BASELINE + k: ranks for k, ranks in (baselines or {}).items()}}
    columns = {}
    for name, ranks in every.items():
        array = ranks.numpy().clip(max=_LAST)
        # Ranks of ties=median may lie between two whole numbers.
        columns[name] = array.astype(np.int32) if array.dtype.kind == "i" else array
    ranked = rows.with_columns(pl.Series(name, array) for name, array in columns.items())
    order = ["row", "session", "prefix", RANK]
    with written_aside(path) as aside:
        ranked.select(*order, pl.exclude(order)).write_parquet(aside, compression_level=12)


def read_ranks(path: str | Path) -> pl.DataFrame:
    """Read what :func:`write_ranks` wrote, sorted by the rows' numbers.

    Raises:
        ValueError: If the file is another one; says what was expected.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:  # a path would be taken for a pattern where it has a * or [
            table = pl.read_parquet(file)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise ValueError(f"{path} holds no ranks of an evaluation ({error})") from error
    expected = {**_SCHEMA, RANK: None}
    missing = sorted(expected.keys() - _LATER - set(table.columns))
    if missing:
        raise ValueError(
            f"{path} holds no ranks of an evaluation: column {', '.join(missing)} is missing among "
            f"{', '.join(table.columns)}"
        )
    for name in map(OF_ITEM.__add__, categories_of(table)):
        if table.schema[name] != pl.String:
            raise ValueError(f"{path}: column {name} holds {table.schema[name]}, expected String")
    ranks = [RANK, *(_OF_BASELINE + name for name in baselines_of(table))]
    for name in (name for name in (*_SCHEMA, *ranks) if name in table.columns):
        found = table.schema[name]
        wanted = expected.get(name)
        if found != wanted and not (wanted is None and found.is_numeric()):
            expects = "a number" if wanted is None else wanted
            raise ValueError(f"{path}: column {name} holds {found}, expected {expects}")
        if name not in _MAY_BE_NULL and (nulls := table[name].null_count()):
            raise ValueError(f"{path}: column {name} is empty in {nulls:,} rows")
    for name in ranks:
        wrong = table.filter(~(pl.col(name) >= 1))
        if len(wrong):
            raise ValueError(
                f"{path}: column {name} holds {wrong[name][0]} in row {wrong['row'][0]:,}, "
                f"expected a rank from 1"
            )
    if repeated := len(table) - table["row"].n_unique():
        raise ValueError(f"{path}: {repeated:,} rows are there more than once")
    return table.sort("row")


def categories_of(table: pl.DataFrame) -> list[str]:
    """Names of the columns of categories that a table has."""
    return [n.removeprefix(OF_ITEM) for n in table.columns if n.startswith(OF_ITEM)]


def baselines_of(table: pl.DataFrame) -> list[str]:
    """Names of the baselines whose ranks a table has."""
    return [n.removeprefix(_OF_BASELINE) for n in table.columns if n.startswith(_OF_BASELINE)]


def ranks_of(table: pl.DataFrame, baseline: str | None = None) -> pl.Series:
    """Ranks of the model, or of a baseline.

    Raises:
        ValueError: If the table has no such baseline; names those that it has.
    """
    name = RANK if baseline is None else _OF_BASELINE + baseline
    if name not in table.columns:
        known = ", ".join(baselines_of(table)) or "none"
        raise ValueError(f"there are no ranks of a baseline {baseline!r}; there are {known}")
    return table[name]
