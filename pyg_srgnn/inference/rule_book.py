"""Applies rules to the items of a catalogue by their attributes."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pyg_srgnn.data.attributes import ItemAttributes, Labels, Numbers
from pyg_srgnn.data.vocabulary import Vocabulary
from pyg_srgnn.functional.offsets import Offsets
from pyg_srgnn.inference.applied import Applied
from pyg_srgnn.inference.kept import Kept
from pyg_srgnn.inference.new_texts import named
from pyg_srgnn.inference.rules import RuleError, Rules
from pyg_srgnn.inference.selection import ItemLabels

log = logging.getLogger(__name__)

_KEPT = 16  # of the rules used last: each costs 4 bytes an item, and vectors of up to 20,000


class RuleBook:
    """Applies rules to the items of a catalogue and their attributes, neither of which changes.

    What rules add to the scores is made once for each, and kept of those that were used last.

    Args:
        vocabulary: The raw ids of the catalogue.
        attributes: The items' attributes, or None. (default: None)
        rows: The row of each item in the attributes, where it is known. (default: it is found)
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        attributes: ItemAttributes | None = None,
        rows: NDArray[np.int64] | None = None,
    ) -> None:
        self.vocabulary = vocabulary
        self.attributes = attributes
        if attributes is not None and rows is None:
            rows = attributes.rows(vocabulary)
        self.rows = rows
        self._offsets: Kept[Offsets] = Kept(_KEPT)
        self._applied: Kept[Applied] = Kept(_KEPT)
        self._labels: Kept[ItemLabels] = Kept(_KEPT)

    def with_attributes(self, attributes: ItemAttributes) -> RuleBook:
        """The same items with other attributes."""
        same = self.attributes is not None and attributes.ids is self.attributes.ids
        return RuleBook(self.vocabulary, attributes, self.rows if same else None)

    def apply(self, rules: Sequence[Rules]) -> Applied:
        """What rules, all of which hold, mean for these items.

        Raises:
            RuleError: If there are no attributes, a column is not there, or has values of another
                kind than the rule; names the rule.
        """
        together = tuple(rules)
        return self._applied.get(together, partial(self._apply, together))

    def _apply(self, rules: tuple[Rules, ...]) -> Applied:
        offsets: Offsets | None = None
        most: dict[str, int] = {}
        for one in rules:
            if one.allow is not None or one.deny or one.where or one.boost:
                added = self._offsets.get(one, partial(self._added, one))
                offsets = added if offsets is None else offsets + added
            for name, number in one.max_per.items():
                most[name] = min(number, most.get(name, len(self.vocabulary)))
        diverse = max(rules, key=lambda one: one.diversify, default=Rules())
        by = diverse.diversify_by if diverse.diversify else None
        return Applied(
            rules=rules,
            offsets=offsets,
            exclude_seen=any(one.exclude_seen for one in rules),
            weight=diverse.diversify,
            by=None if by is None else self._item_labels(f"diversify_by={by!r}", by),
            caps=[
                (self._item_labels(f"max_per.{name}", name), number)
                for name, number in most.items()
            ],
        )

    def _added(self, rules: Rules) -> Offsets:
        """What rules add to the score of each item."""
        added = np.zeros(len(self.vocabulary), np.float32)
        for name, factors in rules.boost.items():
            added += self._boost(name, factors)
        for name, condition in rules.where.items():
            added[~self._meeting(name, condition)] = -np.inf
        if rules.allow is not None:
            kept = np.full_like(added, -np.inf)
            allowed = self._known(rules.allow)
            kept[allowed] = added[allowed]
            added = kept
        added[self._known(rules.deny)] = -np.inf
        return Offsets(torch.from_numpy(added))

    def _known(self, ids: Any) -> list[int]:
        # Of the vocabulary's type: an item that is to be left out must not stay for being "7".
        alike = self.vocabulary.like(ids)
        return [item for item in self.vocabulary.encode(alike) if item >= 0]

    def _column(self, rule: str, name: str) -> Numbers | Labels:
        """The column that a rule names."""
        if self.attributes is None:
            raise RuleError(f"{rule}: there are no attributes of the items, which have columns")
        try:
            return self.attributes.column(name)
        except ValueError as error:
            raise RuleError(f"{rule}: {error}") from None

    def _of_items(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values of the rows of the attributes, and at last of items without a row, of items."""
        return values[self.rows]

    def _meeting(self, name: str, condition: Any) -> NDArray[np.bool_]:
        """Which items meet a condition [V]."""
        rule, column = f"where.{name}", self._column(f"where.{name}", name)
        if isinstance(condition, Mapping) and "not" in condition:
            return ~self._meeting(name, condition["not"])
        if isinstance(condition, Mapping):
            if not isinstance(column, Numbers):
                raise RuleError(f"{rule}: only numbers have min and max (got {column.kind})")
            least, most = condition.get("min", -np.inf), condition.get("max", np.inf)
            met = (column.values >= least) & (column.values <= most)
            return self._of_items(np.append(met, False))
        wanted = [condition] if isinstance(condition, str | bool | int | float) else condition
        if isinstance(column, Numbers):
            _check_kind(rule, column, wanted)
            met = np.isin(column.values, np.array(wanted, np.float64))
            return self._of_items(np.append(met, False))
        _check_kind(rule, column, wanted)
        chosen = np.zeros(len(column.values), bool)
        chosen[[column.index[value] for value in wanted if value in column.index]] = True
        met = np.zeros(column.count + 1, bool)
        met[column.rows[chosen[column.codes]]] = True
        return self._of_items(met)

    def _boost(self, name: str, factors: Mapping[Any, float]) -> NDArray[Any]:
        """Logarithms of the factors of items [V]."""
        rule = f"boost.{name}"
        self._column(rule, name)
        labels = self._labels_of(name)
        logarithms = np.zeros(len(labels.values))
        for value, factor in factors.items():
            code = labels.index.get(_value(f"{rule}.{value}", labels, value), -1)
            if code >= 0:
                logarithms[code] = np.log(factor)
        added = np.bincount(labels.rows, logarithms[labels.codes], labels.count + 1)
        return self._of_items(added.astype(np.float32))

    def _labels_of(self, name: str) -> Labels:
        assert self.attributes is not None, "a rule has named a column of them"
        return self.attributes.labels(name)

    def _item_labels(self, rule: str, name: str) -> ItemLabels:
        """The labels that the items have in a column."""
        self._column(rule, name)
        of_items = self.rows
        assert of_items is not None, "a column is one of the attributes"

        def made() -> ItemLabels:
            labels = self._labels_of(name)
            numbers = np.bincount(labels.rows, minlength=labels.count + 1)
            codes = labels.codes[labels.rows.argsort(kind="stable")]
            # An item without attributes has the last row, which has no label.
            row = of_items % len(numbers)
            return ItemLabels(np.append(0, numbers.cumsum()), codes, row)

        return self._labels.get(name, made)


def check_known(attributes: ItemAttributes, vocabulary: Vocabulary) -> None:
    """Say which ids are unknown, and which items have no attributes.

    Raises:
        ValueError: If no id is known.
    """
    unknown = [raw for raw in attributes.ids if raw not in vocabulary]
    if unknown and len(unknown) == len(attributes):
        raise ValueError(
            f"{attributes.source}: none of its ids is in the catalogue (found: {named(unknown)}; "
            f"expected such as: {named(vocabulary.ids[:3])})"
        )
    if unknown:
        log.warning(
            "%s: %s of %s ids are not in the catalogue: %s",
            *(attributes.source, f"{len(unknown):,}", f"{len(attributes):,}", named(unknown)),
        )
    if without := len(vocabulary) + len(unknown) - len(attributes):
        log.warning(
            "%s: %s of %s items of the catalogue have no attributes",
            *(attributes.source, f"{without:,}", f"{len(vocabulary):,}"),
        )


def _check_kind(rule: str, column: Numbers | Labels, wanted: Sequence[Any]) -> None:
    """Refuse values that no item can have."""
    kinds: tuple[type, ...] = (int, float) if column.kind == "numbers" else (str,)
    kinds = (bool,) if column.kind == "truth values" else kinds
    for value in wanted:
        if not isinstance(value, kinds) or (isinstance(value, bool) and kinds != (bool,)):
            raise RuleError(f"{rule}: the column holds {column.kind} (got {value!r})")


def _value(rule: str, labels: Labels, key: Any) -> Any:
    """The value that a key means: those of JSON objects are texts."""
    try:
        if labels.kind == "truth values" and isinstance(key, str):
            return {"true": True, "false": False}[key]
        if labels.kind == "numbers" and isinstance(key, str):
            return float(key)
    except (KeyError, ValueError):
        raise RuleError(f"{rule}: the column holds {labels.kind} (got {key!r})") from None
    _check_kind(rule, labels, [key])
    return key
