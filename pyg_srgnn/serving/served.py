"""A model with the names of its items, its rules, and the items that were added to it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from typing import NamedTuple

from pyg_srgnn.data.attributes import ItemAttributes
from pyg_srgnn.inference.recommender import Recommender
from pyg_srgnn.serving.item_search import ItemSearch
from pyg_srgnn.serving.rules import NamedRules

Addition = tuple[Sequence[int | str], Sequence[str] | None, Sequence[Sequence[float]] | None]
"""Items that were added: their ids, and a text or a vector of each."""


class Served:
    """A recommender, and how its items are named and found.

    Args:
        recommender: The recommender.
        names: Names of items; those of items that are added follow.
        rules: Rules of every request, and those that one may name. (default: none)
        read: The state of the file that the items' attributes were read from. (default: none was)
    """

    def __init__(
        self,
        recommender: Recommender,
        names: dict[int | str, str],
        rules: NamedRules | None = None,
        read: tuple[object, ...] = (),
    ) -> None:
        self.recommender = recommender
        self.names = names
        self.rules = rules or NamedRules()
        self.read = read
        self.added = 0  # items
        self.additions: list[Addition] = []
        self._building = threading.Lock()
        self._adding = threading.Lock()

    def add(
        self,
        ids: Sequence[int | str],
        texts: Sequence[str] | None,
        vectors: Sequence[Sequence[float]] | None,
    ) -> None:
        """Add items; a text is the name of an item that has no other.

        Args:
            ids: Their raw ids.
            texts: A text of each, or None.
            vectors: A vector of each, or None.

        Raises:
            ValueError: See :meth:`pyg_srgnn.Recommender.add_items`.
        """
        given = vectors if texts is None else texts
        assert given is not None, "either texts or vectors are given"
        with self._adding:
            known = len(self.recommender.vocabulary)
            self.recommender.add_items(ids, given)
            with self._building:
                for raw, text in zip(ids, texts or (), strict=False):
                    self.names.setdefault(raw, " ".join(text.split()))
                search = self.__dict__.pop("_search", None)
                # One that was made meanwhile has the new items, but not their names.
                if search is not None and len(search.vocabulary) == known:
                    self._search = search.with_items(self.recommender.vocabulary, self.names)
            self.added += len(ids)
            if ids:
                self.additions.append((ids, texts, vectors))

    def find(self, query: str, limit: int) -> list[int | str]:
        """Find items; see :class:`~pyg_srgnn.serving.item_search.ItemSearch`."""
        with self._building:
            search = self._search
        return search(query, limit)

    @cached_property
    def _search(self) -> ItemSearch:
        return ItemSearch(self.recommender.vocabulary, self.recommender.popularity, self.names)


class State(NamedTuple):
    """What a worker that serves has beside the model, for one that takes its place beside it.

    Args:
        names: See :class:`Served`.
        rules: See there.
        read: See there.
        attributes: Of the items, or None.
        additions: Items that were added.
    """

    names: dict[int | str, str]
    rules: NamedRules
    read: tuple[object, ...]
    attributes: ItemAttributes | None
    additions: list[Addition]

    @classmethod
    def of(cls, served: Served) -> State:
        """The state of what is served."""
        attributes = served.recommender.attributes
        return cls(served.names, served.rules, served.read, attributes, served.additions)

    def applied(self, recommender: Recommender) -> Served:
        """What is served, of a model as it was loaded."""
        served = Served(recommender, self.names, self.rules, self.read)
        for addition in self.additions:
            served.add(*addition)
        if self.attributes is not None:
            with suppress(ValueError):  # the model has none of these items
                recommender.set_attributes(self.attributes)
        return served
