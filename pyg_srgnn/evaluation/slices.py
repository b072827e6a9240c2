"""HR@20 and MRR@20 of parts of a test set: where a model is better than another one.

The samples are divided in seven ways: by the clicks of the prefix, by whether the target is one of
them, by the target's type, by its clicks in training and by the decile of these, by the day of the
test, and by the target's value in each column of categories.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyg_srgnn.evaluation.rank_table import OF_ITEM, categories_of
from pyg_srgnn.evaluation.samples import Samples

LENGTHS = ((1, 1), (2, 2), (3, 3), (4, 4), (5, 9), (10, None))  # clicks of a prefix: from, to
UNSEEN = "unseen"
LARGEST = 20
"""Values of a column of categories that are slices of their own."""
REST, WITHOUT = "(the rest)", "(none)"


class Slice(NamedTuple):
    """Some of the samples; all figures in percent."""

    kind: str
    """``"prefix"``, ``"target"``, ``"event"``, ``"clicks"``, ``"decile"`` or ``"day"``, or
    ``"item."`` and a column of categories."""
    name: str
    """Such as ``"5–9"``, ``"repeated"``, ``"cold"``, ``"1"``, ``"2014-09-30"`` or ``"shoes"``."""
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
        and targets unseen in training; each day of the test, none where the dataset keeps no
        times; and of each column of categories the :data:`LARGEST` values, the largest first, the
        rest of them and the targets without one, where there are such.
    """
    found = []
    for kind, name, mask in _parts(samples):
        metrics = {
            metric: 100 * float(values[mask].mean()) if mask.any() else float("nan")
            for metric, values in samples.values.items()
        }
        found.append(Slice(kind, name, int(mask.sum()), 100 * float(mask.mean()), metrics))
    return found


def by_category(samples: Samples) -> dict[str, dict[str, dict[str, float]]]:
    """The slices by categories, as fractions.

    Returns:
        By the column and the value, the number of ``samples`` and the metrics.
    """
    found: dict[str, dict[str, dict[str, float]]] = {}
    for part in slices(samples):
        if part.kind.startswith(OF_ITEM):
            of_column = found.setdefault(part.kind.removeprefix(OF_ITEM), {})
            metrics = {name: value / 100 for name, value in part.metrics.items()}
            of_column[part.name] = {"samples": part.samples} | metrics
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
    for column in categories_of(rows):
        kind = OF_ITEM + column
        values = rows[kind]
        counts = values.drop_nulls().value_counts(name="samples")
        order = counts.sort(["samples", kind], descending=[True, False])[kind]
        for value in order[:LARGEST]:
            yield kind, value, (values == value).fill_null(False).to_numpy()
        if len(order) > LARGEST:
            yield kind, REST, values.is_in(order[LARGEST:].to_list()).fill_null(False).to_numpy()
        if values.null_count():
            yield kind, WITHOUT, values.is_null().to_numpy()
