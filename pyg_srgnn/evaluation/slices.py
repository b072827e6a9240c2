"""HR@20 and MRR@20 of parts of a test set: where a model is better than another one.

The samples are divided in six ways: by the clicks of the prefix, by whether the target is one of
them, by the target's type, by its clicks in training and by the decile of these, and by the day of
the test.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyg_srgnn.evaluation.samples import Samples

LENGTHS = ((1, 1), (2, 2), (3, 3), (4, 4), (5, 9), (10, None))  # clicks of a prefix: from, to
UNSEEN = "unseen"


class Slice(NamedTuple):
    """Some of the samples; all figures in percent."""

    kind: str
    """``"prefix"``, ``"target"``, ``"event"``, ``"clicks"``, ``"decile"`` or ``"day"``."""
    name: str
    """Such as ``"5–9"``, ``"repeated"``, ``"cold"``, ``"1"`` or ``"2014-09-30"``."""
    samples: int
    share: float
    """Of all samples."""
    metrics: dict[str, float]
    """``"hr@20"`` and ``"mrr@20"``; NaN where there is no sample."""


def slices(samples: Samples) -> list[Slice]:
    """HR@20 and MRR@20 of every part, those without samples among them.

    Returns:
        Six lengths of the prefix; repeated and new targets; each type of targets, none where the
        dataset keeps no types; warm, rare and cold targets
        (:data:`~pyg_srgnn.functional.targets.GROUPS`), none where an earlier version wrote the
        ranks; ten deciles of the target's popularity, 1 for the most popular tenth of the items,
        and targets unseen in training; and each day of the test, none where the dataset keeps no
        times.
    """
    found = []
    for kind, name, mask in _parts(samples):
        metrics = {
            metric: 100 * float(values[mask].mean()) if mask.any() else float("nan")
            for metric, values in samples.values.items()
        }
        found.append(Slice(kind, name, int(mask.sum()), 100 * float(mask.mean()), metrics))
    return found


def _parts(samples: Samples) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    """Kind and name of every slice, and which samples are in it."""
    rows = samples.rows
    prefix, repeat = rows["prefix"].to_numpy(), rows["repeat"].to_numpy()
    for least, most in LENGTHS:
        name = f"{least}+" if most is None else f"{least}–{most}" if most > least else f"{least}"
        yield "prefix", name, (prefix >= least) & (prefix <= (most or np.inf))
    yield "target", "repeated", repeat
    yield "target", "new", ~repeat
    if "event" in rows.columns:
        for event in rows["event"].unique().sort():
            yield "event", event, (rows["event"] == event).to_numpy()
    for name, mask in samples.groups().items():
        yield "clicks", name, mask
    decile = rows["decile"].fill_null(0).to_numpy()
    for tenth in range(1, 11):
        yield "decile", str(tenth), decile == tenth
    yield "decile", UNSEEN, decile == 0
    days = rows["day"]
    for day in days.drop_nulls().unique().sort():
        yield "day", day.isoformat(), (days == day).fill_null(False).to_numpy()
