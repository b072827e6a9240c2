"""Made-up ranks of a test set, as ``ranks.parquet`` holds them."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import torch

from pyg_srgnn.evaluation.rank_table import write_ranks

SESSIONS = (3, 1, 12, 1, 2, 6, 1, 4, 15, 2)  # samples of each


def kinds(sessions: tuple[int, ...] = SESSIONS, days: int = 0) -> pl.DataFrame:
    """What the samples are: the same of every run on this test set."""
    prefix = np.concatenate([np.arange(1, count + 1) for count in sessions])
    number = np.arange(len(prefix))
    session = np.repeat(np.arange(len(sessions)), sessions)
    decile = (number * 5 + prefix) % 11  # 0: unseen
    first = date(2024, 3, 30)
    return pl.DataFrame(
        {
            "row": number,
            "session": session,
            "prefix": prefix.astype(np.int32),
            "repeat": (number * 7 + prefix) % 5 == 0,
            "seen": decile > 0,
            "clicks": np.where(decile > 0, 1 + (number * 13 + prefix) % 60, 0),
            "decile": [int(tenth) or None for tenth in decile],
            "day": [first + timedelta(int(s) % days) if days else None for s in session],
        },
        schema_overrides={"decile": pl.Int8, "day": pl.Date},
    )


def random_ranks(count: int, seed: int, best: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(best, best + 40, (count,), generator=generator)


def random_table(
    seed: int = 0, best: int = 1, sessions: tuple[int, ...] = SESSIONS, days: int = 0
) -> pl.DataFrame:
    """Kinds and ranks of a run of this seed."""
    rows = kinds(sessions, days)
    rank = random_ranks(len(rows), seed, best)
    return rows.with_columns(pl.Series("rank", rank.numpy()).cast(pl.Int32))


def save(table: pl.DataFrame, path: Path) -> None:
    """Write it as a run does."""
    ranks = {n: torch.from_numpy(table[n].to_numpy().copy()) for n in table.columns if "rank" in n}
    rows = table.select(pl.exclude("^rank.*$"))
    rank = ranks.pop("rank")
    write_ranks(path, rows, rank, {n.removeprefix("rank_"): of for n, of in ranks.items()})
