"""A generated click log in the exact format of Yoochoose's ``yoochoose-clicks.dat``.

No header; ``session_id,timestamp,item_id,category`` with times such as
``2014-04-07T10:51:09.277Z``. As in the real file a session's rows are adjacent and in time order,
session ids ascend, and sessions overlap in time, so that neither ids nor rows are in time order;
33,003,944 rows give 9.25 million sessions in 183 days.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

ROWS = 33_003_944  # of the real file
COLUMNS = ("session_id", "timestamp", "item_id", "category")
_CLICKS_A_SESSION = 33_003_944 / 9_249_729
_ITEMS = 52_739
_FIRST_ITEM = 214_500_000
_START = 1_396_321_200_000  # 2014-04-01T03:00Z in ms
_DAY = 86_400_000  # ms
_DAYS = 183
_BLUR = 2 * _DAY  # how far sessions beside one another in the file may begin apart
_PAUSE = 120_000  # mean time between two clicks, ms
_CATEGORIES = ("0", "S", *map(str, range(1, 13)))
_SESSIONS_AT_ONCE = 1 << 18  # bounds the memory: about a million rows


def write(path: str | Path, rows: int = ROWS, seed: int = 0) -> None:
    """Write the file; the same rows and seed give the same bytes.

    Args:
        path: File to write.
        rows: Number of clicks. (default: those of the real file)
        seed: Of the random numbers. (default: 0)
    """
    with open(path, "wb") as file:
        for chunk in _chunks(rows, np.random.default_rng(seed)):
            written = pl.col("timestamp").dt.strftime("%Y-%m-%dT%H:%M:%S%.3fZ")
            chunk.with_columns(written).write_csv(file, include_header=False)


def write_parquet(folder: str | Path, rows: int, seed: int = 0) -> None:
    """Write the same clicks as a folder of Parquet files of about a million rows each.

    Args:
        folder: Folder to write, which is there.
        rows: Number of clicks.
        seed: Of the random numbers. (default: 0)
    """
    for number, chunk in enumerate(_chunks(rows, np.random.default_rng(seed))):
        chunk.write_parquet(Path(folder, f"{number:05}.parquet"))


def as_sessions(rows: int = ROWS, seed: int = 0) -> tuple[Any, int]:
    """The same clicks as sessions in memory, and the number of items; by their ids, without times.

    Args:
        rows: Number of clicks. (default: those of the real file)
        seed: Of the random numbers. (default: 0)
    """
    import torch

    from pyg_srgnn.data.sessions import Sessions

    items, lengths = [], []
    for chunk in _chunks(rows, np.random.default_rng(seed)):
        items.append(chunk["item_id"].to_numpy() - _FIRST_ITEM)
        lengths.append(np.bincount(chunk["session_id"] - chunk["session_id"][0]))
    ends = np.concatenate([[0], *lengths]).cumsum()
    flat = torch.from_numpy(np.concatenate(items))
    return Sessions(flat, torch.from_numpy(ends)), _ITEMS


def _chunks(rows: int, random: np.random.Generator) -> Iterator[pl.DataFrame]:
    # Zipf's law with a flat head (Mandelbrot's): the first item has 0.25 % of the clicks, and at
    # full length the last ones have too few to be kept.
    popularity = np.cumsum(1 / (np.arange(_ITEMS) + 401.0) ** 2)
    items = _FIRST_ITEM + random.permutation(_ITEMS)
    categories = pl.Series(_CATEGORIES)
    done, sessions = 0, 0
    while done < rows:
        count = min(_SESSIONS_AT_ONCE, rows - done)
        lengths = random.geometric(1 / _CLICKS_A_SESSION, count)
        ends = lengths.cumsum()
        if done + ends[-1] > rows:  # the last session that fits ends with the last row
            count = int(np.searchsorted(ends, rows - done)) + 1
            lengths, ends = lengths[:count], ends[:count]
            lengths[-1] -= ends[-1] - (rows - done)
            ends[-1] = rows - done
        size = int(ends[-1])

        begins = _START + (done + ends - lengths) / rows * (_DAYS * _DAY - _BLUR)
        begins += random.random(count) * _BLUR
        pauses = random.exponential(_PAUSE, size)
        elapsed = pauses.cumsum()
        first = ends - lengths
        times = np.repeat(begins - elapsed[first], lengths) + elapsed
        yield pl.DataFrame(
            {
                "session_id": np.repeat(sessions + 1 + np.arange(count), lengths),
                "timestamp": pl.Series(times.astype(np.int64)).cast(pl.Datetime("ms")),
                "item_id": items[np.searchsorted(popularity, random.random(size) * popularity[-1])],
                "category": categories[random.integers(len(_CATEGORIES), size=size)],
            }
        )
        done, sessions = done + size, sessions + count
