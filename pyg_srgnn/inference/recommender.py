"""Recommends items for sessions of raw ids."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from pyg_srgnn.data.attributes import ItemAttributes
from pyg_srgnn.data.vocabulary import Vocabulary
from pyg_srgnn.inference.answer import Answer, Explanation, unknown_messages
from pyg_srgnn.inference.answering import Asked, answers_of
from pyg_srgnn.inference.artifact import Artifact, is_artifact
from pyg_srgnn.inference.choice import AUTO, Choice
from pyg_srgnn.inference.clicks import known_clicks
from pyg_srgnn.inference.explain import explain
from pyg_srgnn.inference.item_catalogue import ItemCatalogue
from pyg_srgnn.inference.new_texts import Texts
from pyg_srgnn.inference.raw_ids import ids_of
from pyg_srgnn.inference.rule_book import check_known
from pyg_srgnn.inference.rules import Condition, Rules
from pyg_srgnn.inference.scorer import SessionScorer
from pyg_srgnn.inference.sharing import Sharing
from pyg_srgnn.runs.find import find_run
from pyg_srgnn.text.attribute_files import read_attributes

if TYPE_CHECKING:
    from pyg_srgnn.checkpoint import Checkpoint

log = logging.getLogger(__name__)

_OWN = ("_adding", "_fetched")  # attributes that no copy shares


def load_trained(path: str | Path, precision: str = AUTO) -> Checkpoint | Artifact:
    """Open a run directory, a checkpoint file or an exported folder, or a run by its name.

    Args:
        path: The path, or a name that :func:`~pyg_srgnn.runs.find.find_run` takes: ``"latest"``, or
            a folder of runs.
        precision: How the items of an export are searched; see
            :meth:`~pyg_srgnn.inference.artifact.Artifact.load`. (default: ``"auto"``)

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If a file is not one of this package, or damaged, or it is a sweep.
    """
    found = find_run(path)
    if found != Path(path):
        log.info("%s: %s", path, found)
    if is_artifact(found):
        return Artifact.load(found, precision=precision)
    # Not needed for an exported model, nor are PyG, Lightning, Hydra and Polars.
    from pyg_srgnn.checkpoint import Checkpoint

    return Checkpoint.load(found)


class UnknownItemWarning(UserWarning):
    """A session has items that are not in the catalogue."""


class Recommender(Sharing):
    """Recommends the next items of sessions given as raw ids.

    It can be copied and pickled. Unpickling runs what a file says; :meth:`save` writes, and
    :meth:`load` opens, files in which nothing is executed.

    Args:
        scorer: A trained or an exported model that scores the items.
        vocabulary: The raw ids of the catalogue.
        clicks: Clicks of each item in training, the order of the most popular items, int64 [V].
        text: What describes the texts of the items; see
            :class:`~pyg_srgnn.checkpoint.Checkpoint`. (default: None)
        types: Names of the types of clicks, in the order of their numbers. (default: none)
    """

    def __init__(
        self,
        scorer: SessionScorer,
        vocabulary: Vocabulary,
        clicks: Tensor,
        text: Mapping[str, Any] | None = None,
        types: Iterable[str] = (),
    ) -> None:
        self.text = text
        self.types = {name: number for number, name in enumerate(types)}
        self.collapse = False  # whether a click that repeats the one before is left out
        self._catalogue = ItemCatalogue(scorer, vocabulary, clicks)
        self._adding = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        """What copies and pickles hold: no lock, and no folder that goes with one recommender."""
        return {key: value for key, value in vars(self).items() if key not in _OWN}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take what another one held."""
        vars(self).update(state)
        self._adding = threading.Lock()

    @property
    def scorer(self) -> SessionScorer:
        """The model that scores the items."""
        return self._catalogue.scorer

    @property
    def choices(self) -> Mapping[str, Choice]:
        """How the items of an export are searched on this processor, by the catalogue's name."""
        return getattr(self.scorer, "choices", {})

    @property
    def vocabulary(self) -> Vocabulary:
        """The raw ids of the catalogue."""
        return self._catalogue.vocabulary

    @property
    def popularity(self) -> Tensor:
        """Each item's share of all clicks in training, float64 [V]."""
        return self._catalogue.popularity

    @property
    def cold(self) -> frozenset[int | str]:
        """Raw ids of the items without a click in training."""
        return self._catalogue.cold

    @classmethod
    def load(cls, path: str | Path, precision: str = AUTO) -> Recommender:
        """Open a run, a checkpoint file, an export or what :meth:`save` wrote; nothing is executed.

        Args:
            path: The path; ``"latest"`` is the newest finished run below ``runs/``, a folder of
                runs its newest finished one.
            precision: How the items of an export are searched: ``"float32"``,
                ``"float32_blocks"``, ``"bfloat16"``, ``"float16"`` or ``"int8"``. Answers are the
                same, but that the log-probabilities of a mixture are off by some hundredths at
                most, as measured, in the last three. (default: ``"auto"``, as the export says,
                else the fastest way on this processor)

        Raises:
            FileNotFoundError: If there is none.
            ValueError: If a file is not one of this package, or damaged, or it is a sweep.
        """
        return cls.of(load_trained(path, precision))

    @classmethod
    def of(cls, trained: Checkpoint | Artifact) -> Recommender:
        """Recommend with a checkpoint or an export that is loaded."""
        types = (trained.preparation or {}).get("events") or ()
        made = cls(trained.scorer, trained.vocabulary, trained.clicks, trained.text, types)
        made.collapse = bool((trained.preparation or {}).get("collapse"))
        made.trained = trained
        return made

    def add_items(
        self, ids: Iterable[int | str], vectors_or_texts: Texts | Tensor | Sequence[Any]
    ) -> None:
        """Add items that nobody has clicked, by their texts, without training.

        They are recommended, and may be clicked, from the next call on; calls in progress finish
        with the catalogue that they began with. If anything is wrong, nothing is added.

        Args:
            ids: Raw ids of n new items.
            vectors_or_texts: Their texts, n of them or columns by their names, as the file of
                texts had them; or the vectors that the encoder of the model's texts makes of them
                [n, F]. Texts need that encoder, vectors and recommending do not.

        Raises:
            ValueError: If it is a mixture of models, or was trained without texts; an id is known
                already, of another type, or given twice; a text is empty; a vector is not finite,
                zero, or of another length; or the encoder cannot be used.
            TypeError: If the ids are no collection of ids.
        """
        given = ids_of(ids, "add_items: 'ids'")
        with self._adding:
            try:
                if self.scorer.mixes_models:
                    raise ValueError("items cannot be added to a mixture of models")
                if self.text is None:
                    raise ValueError(
                        "the model was trained without texts, by which alone items can be added; "
                        "srgnn-train text=FILE trains one with texts"
                    )
                self._catalogue = self._catalogue.with_items(given, vectors_or_texts, self.text)
            except ValueError as error:
                raise ValueError(f"add_items: {error}") from error

    @property
    def attributes(self) -> ItemAttributes | None:
        """What is known of the items, by which rules are applied; None if nothing is."""
        return self._catalogue.rule_book.attributes

    def set_attributes(self, attributes: ItemAttributes | str | Path) -> None:
        """Take what is known of the items, in place of what was known, for rules.

        The next call goes by them; calls in progress finish with those that they began with.
        Attributes of items that are not in the catalogue are kept for items that are added.

        Args:
            attributes: The attributes, or a file that
                :func:`~pyg_srgnn.text.attribute_files.read_attributes` takes.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it cannot be read, or none of its ids is in the catalogue.
        """
        if not isinstance(attributes, ItemAttributes):
            attributes = read_attributes(attributes)
        given = attributes.like(self.vocabulary)
        check_known(given, self.vocabulary)
        with self._adding:
            self._catalogue = self._catalogue.with_attributes(given)

    def update_attributes(
        self, ids: Iterable[int | str], columns: Mapping[str, Iterable[Any]]
    ) -> None:
        """Replace the values of some items in some columns; all others stay.

        The next call goes by them; calls in progress finish with those that they began with.

        Args:
            ids: Raw ids of r items; those of unknown ones are kept for items that are added.
            columns: Values of r items in columns that are there or new, by name; None takes a
                value away.

        Raises:
            ValueError: If an id is given twice, a column has not r values, or they are of another
                kind than the column.
            TypeError: If the ids are no collection of ids.
        """
        given = self.vocabulary.like(ids_of(ids, "update_attributes: 'ids'"))
        with self._adding:
            before = self.attributes or ItemAttributes((), {})
            self._catalogue = self._catalogue.with_attributes(before.updated(given, columns))

    def recommend(
        self,
        sessions: Iterable[Iterable[int | str]],
        k: int = 20,
        exclude_seen: bool = False,
        allow: Iterable[int | str] | None = None,
        deny: Iterable[int | str] | None = (),
        where: Mapping[str, Condition] | None = None,
        boost: Mapping[str, Mapping[Any, float]] | None = None,
        diversify: float = 0.0,
        diversify_by: str | None = None,
        max_per: Mapping[str, int] | None = None,
    ) -> list[list[tuple[int | str, float]]]:
        """The k best next items of every session, best first.

        Unknown ids are left out, with a warning that names them. A session without a known id
        gets the most popular items, their share of all clicks for a score, and a warning. May be
        called by several threads at once.

        Scores are the model's: boosts and diversity change the order, but not the scores.

        Args:
            sessions: Each session's clicks as raw ids, in order of time. A session, and ``allow``
                and ``deny``, may be any collection: a list, an array, a tensor, a series; a session
                with types, times or earlier clicks is a
                :class:`~pyg_srgnn.inference.clicks.Clicks`.
            k: Number of items; capped at what may be recommended. (default: 20)
            exclude_seen: Whether a session's own items are left out. (default: False)
            allow: The only items that may be recommended. (default: the whole catalogue)
            deny: Items that must not be. (default: none)
            where: Conditions of the items' attributes, such as ``{"category": ["shoes"],
                "in_stock": True, "price": {"max": 100}}``; see
                :class:`~pyg_srgnn.inference.rules.Rules`, as for all that follow. (default: none)
            boost: Factors of probabilities, such as ``{"category": {"sale": 1.2}}``.
                (default: none)
            diversify: Weight of the similarity to items above, from 0 to below 1. (default: 0)
            diversify_by: A column by whose values items are alike. (default: their vectors)
            max_per: How many items may have the same value, such as ``{"category": 2}``.
                (default: any number)

        Returns:
            For each session, pairs (raw id, score).

        Raises:
            ValueError: If k is less than 1, a rule is not allowed, or names a column that is not
                there.
            TypeError: If a session, ``allow`` or ``deny`` is no collection of ids.
        """
        rules = Rules(
            allow=allow,
            deny=() if deny is None else deny,
            where=where or {},
            exclude_seen=exclude_seen,
            boost=boost or {},
            diversify=diversify,
            diversify_by=diversify_by,
            max_per=max_per or {},
        )
        answers = self.answer(sessions, k, [rules])
        for message in unknown_messages(answers):
            warnings.warn(message, UnknownItemWarning, stacklevel=2)
        return [answer.items for answer in answers]

    def answer(
        self, sessions: Iterable[Iterable[int | str]], k: int = 20, rules: Sequence[Rules] = ()
    ) -> list[Answer]:
        """Recommend as :meth:`recommend` does, and return what it warns of.

        Args:
            sessions: See :meth:`recommend`.
            k: See :meth:`recommend`. (default: 20)
            rules: Rules that hold together: items meet all conditions, boosts are multiplied, the
                smallest caps and the greatest diversity hold. (default: none)

        Raises:
            ValueError: See :meth:`recommend`.
            TypeError: See :meth:`recommend`.
        """
        (answers,) = self.answer_together([Asked(sessions, k, rules)])
        return answers

    def answer_together(self, asked: Sequence[Asked]) -> list[list[Answer]]:
        """Answer requests that want different things; their sessions are scored together.

        Args:
            asked: The requests.

        Returns:
            The answers of each request, as :meth:`answer` gives them.

        Raises:
            ValueError: See :meth:`recommend`.
            TypeError: See :meth:`recommend`.
        """
        return answers_of(asked, self._catalogue, self.types, self.collapse)

    def explain(
        self,
        session: Iterable[int | str],
        item: int | str | None = None,
        others: Iterable[int | str] = (),
    ) -> Explanation:
        """Explain why an item is recommended: graph, attention, what each click adds, and origin.

        A click adds the score of the whole session minus the score of the session without it.
        The attention is the readout's weight of each click and may be negative. The origin is the
        share of each part of a mixture in the item's probability, and the similarity of its text
        to that of each click; see :class:`~pyg_srgnn.inference.answer.Explanation`.

        Args:
            session: Clicks as raw ids, or :class:`~pyg_srgnn.inference.clicks.Clicks`, in order of
                time; unknown ones are left out.
            item: The item to explain. (default: the best one)
            others: Further items whose origin is wanted. (default: none)

        Raises:
            ValueError: If the session has no known item, or an item is unknown or has no
                probability.
            TypeError: If the session is no collection of ids.
        """
        ids = ids_of(session, "explain: the session", ", as in [17, 4, 17]")
        now, others = self._catalogue, ids_of(others, "explain: 'others'")
        known = self.types, now.vocabulary
        clicks = known_clicks(session, now.vocabulary.encode(ids), *known, self.collapse)
        return explain(now.scorer, now.vocabulary, clicks, item, others)
