"""Fingerprints of datasets, to detect data that has changed since training."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from zlib import crc32

if TYPE_CHECKING:
    from pyg_srgnn.data.sessions import Sessions
    from pyg_srgnn.data.vocabulary import Vocabulary


def fingerprint(training: Sessions, test: Sessions, vocabulary: Vocabulary) -> dict[str, Any]:
    """Counts and hashes of the sessions and the catalogue, as plain values.

    They are taken from what is trained on, not from the files that it was read from, so every kind
    of dataset has one. Hashing memory-mapped sessions takes a second for a gigabyte.

    Args:
        training: All training sessions, those that validate among them.
        test: The test sessions.
        vocabulary: The catalogue.
    """
    ids = vocabulary.ids
    return {
        "items": {
            "count": len(ids),
            "sha256": hashlib.sha256(json.dumps(ids).encode()).hexdigest(),
            "unordered": sum(map(crc32, map(str.encode, map(str, ids)))),
        },
        "training": _part(training),
        "test": _part(test),
    }


def _part(sessions: Sessions) -> dict[str, Any]:
    digest = hashlib.sha256()
    marks = sessions.events, sessions.pauses, sessions.visits
    for tensor in (sessions.offsets, sessions.items, sessions.times, *marks):
        if tensor is not None:
            digest.update(tensor.contiguous().numpy())  # type: ignore[arg-type]
    return {
        "sessions": len(sessions),
        "clicks": sessions.num_clicks,
        "sha256": digest.hexdigest(),
    }


_PARTS = ("items", "training", "test")


def changes(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Describe the differences between two fingerprints; empty if there are none.

    A run's fingerprint also has an entry ``text``, if it knows the texts of its items, and
    ``categories``, if it knows these. Where only the first has one, they are not compared: who
    evaluates a model reads none.
    """
    changed = []
    for part in ("training", "test"):
        there, here = then[part], now[part]
        counts = [
            f"{part} {what}: {there[what]:,} there, {here[what]:,} here"
            for what in ("sessions", "clicks")
            if there[what] != here[what]
        ]
        if there["sha256"] != here["sha256"] and not counts:
            counts = [f"{part} sessions: as many, but other clicks or times"]
        changed += counts
    there, here = then["items"], now["items"]
    if there["sha256"] != here["sha256"]:
        change = f"items: {there['count']:,} there, {here['count']:,} here"
        if there["count"] == here["count"]:
            same = there["unordered"] == here["unordered"]
            change = (
                f"items: the same {here['count']:,}, in another order"
                if same
                else f"items: {here['count']:,} there and here, but not the same ones"
            )
        changed.append(change)
    if "text" in now:
        changed += _known_changes("text", "ids or texts", then, now)
    if "categories" in now:
        changed += _known_changes("categories", "values of items", then, now)
    return changed


def _known_changes(
    name: str, content: str, then: Mapping[str, Any], now: Mapping[str, Any]
) -> list[str]:
    """Describe the differences between what two runs know of items, such as their texts."""
    here = now[name]
    if (there := then.get(name)) is None:
        return [f"{name}: none there, but here"]
    changed = [
        f"{name}, {key}: there {there[key]}, here {here[key]}"
        for key in ("columns", "encoder")
        if there.get(key) != here.get(key)
    ]
    if there["content"] != here["content"]:
        changed.append(f"{name}: other {content}")
    return changed


def require_same_data(
    then: Mapping[str, Any] | None, now: Mapping[str, Any], what: str, way_out: str
) -> None:
    """Refuse data that has changed.

    Args:
        then: The fingerprint at training time; None, which compares with nothing, if an earlier
            version wrote the run.
        now: The fingerprint of the present data.
        what: Begins the message: the run or checkpoint.
        way_out: Ends the message: how to proceed.

    Raises:
        ValueError: If they differ; names what has changed.
    """
    if then is not None and (changed := changes(then, now)):
        raise ValueError(
            f"{what}: the data has changed since\n  " + "\n  ".join(changed) + f"\n{way_out}"
        )


def short_digest(data: Mapping[str, Any], *parts: str) -> str:
    """A short name of the sessions, or of ``"items"``, ``"training"`` or ``"test"`` alone."""
    hashes = [data[part]["sha256"] for part in parts or _PARTS]
    return hashlib.sha256(" ".join(hashes).encode()).hexdigest()[:12]
