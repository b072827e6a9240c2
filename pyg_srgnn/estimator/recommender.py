"""An estimator in scikit-learn's manner: fit on a frame of clicks, recommend for a frame."""

from __future__ import annotations

import inspect
import json
import warnings
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

from pyg_srgnn.clicklog.prepare import prepare
from pyg_srgnn.clicklog.prepared import Prepared
from pyg_srgnn.clicklog.spec import Preparation
from pyg_srgnn.estimator.configuration import OWNED, check_settings, compose_training
from pyg_srgnn.estimator.frames import about, read_sessions, to_frame, write_frame
from pyg_srgnn.inference.clicks import Clicks
from pyg_srgnn.inference.recommender import Recommender
from pyg_srgnn.training import train
from pyg_srgnn.utils.files import write_text

_RULES = {one.name for one in fields(Preparation)}
_DATASET = "dataset."
_FILE = "estimator.json"
_OF_TRAINING = ("model", "epochs", "refit", "seed", "settings")


class SRGNNRecommender:
    """Learns from a data frame of clicks which item a session clicks next.

    As scikit-learn's estimators: arguments are kept as they are, :meth:`fit` does the work, and
    what it learned ends in ``_``. Preparation and training are those of ``srgnn-train``: the last
    tenth of the sessions in time chooses the epoch, then the model is trained once more on all.

    Args:
        session: Column of the session's id. (default: None, guessed from common names)
        user: Column of the user's id, for clicks without sessions; takes ``gap``. (default: None)
        item: Column of the item's id, whole numbers or text. (default: None, guessed)
        time: Column of the click's time, by which the clicks of a session are sorted, in whatever
            order the rows come. (default: None, guessed)
        gap: Silence after which a user's next click begins a session, such as ``"30m"``.
            (default: None)
        order: ``"time"``, ``"file"`` (the order of the rows, for clicks without times) or a column.
            (default: ``"time"``)
        min_support: An item with fewer clicks is dropped. (default: 5)
        model: ``"srgnn"``, ``"srgnn_plain"`` or ``"gru4rec"``. (default: ``"srgnn"``)
        epochs: Epochs of training, at most; None chooses them by the size of the data.
            (default: None)
        refit: Whether to train once more on all sessions for the chosen number of epochs.
            (default: True)
        seed: Seed of everything that is drawn. (default: 0)
        settings: Further keys of ``srgnn-train``, such as ``{"model.channels": 64,
            "dataset.collapse": True}``; none that is an argument here, or that :meth:`fit` sets.
            (default: none)
        verbose: Whether to show the progress of training. (default: False)

    Attributes:
        recommender_: The :class:`~pyg_srgnn.Recommender` that was trained, for lists of raw ids.
        valid_: Metrics on the sessions that chose the epoch, as fractions: ``valid_["hr@20"]``;
            None of a model that was loaded.
    """

    recommender_: Recommender
    valid_: dict[str, float] | None
    _forgotten: tuple[str, ...] = ()  # arguments of the training that a loaded folder does not keep

    def __init__(
        self,
        *,
        session: str | None = None,
        user: str | None = None,
        item: str | None = None,
        time: str | None = None,
        gap: str | None = None,
        order: str = "time",
        min_support: int = 5,
        model: str = "srgnn",
        epochs: int | None = None,
        refit: bool = True,
        seed: int = 0,
        settings: Mapping[str, Any] | None = None,
        verbose: bool = False,
    ) -> None:
        self.session, self.user, self.item, self.time = session, user, item, time
        self.gap, self.order, self.min_support = gap, order, min_support
        self.model, self.epochs, self.refit, self.seed = model, epochs, refit, seed
        self.settings, self.verbose = settings, verbose

    @classmethod
    def _names(cls) -> list[str]:
        return [name for name in inspect.signature(cls.__init__).parameters if name != "self"]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The arguments of the constructor by their names.

        Args:
            deep: Taken for the sake of scikit-learn; there are no estimators within.
                (default: True)
        """
        return {name: getattr(self, name) for name in self._names()}

    def set_params(self, **params: Any) -> Self:
        """Change arguments of the constructor; what was learned stays until the next :meth:`fit`.

        Raises:
            ValueError: If there is no such argument; names it.
        """
        names = self._names()
        for name in params:
            if name not in names:
                raise ValueError(
                    f"SRGNNRecommender has no argument {name!r}; expected one of {', '.join(names)}"
                )
        for name, value in params.items():
            setattr(self, name, value)
        self._forgotten = tuple(name for name in self._forgotten if name not in params)
        return self

    def __repr__(self) -> str:
        """The arguments that are not the defaults."""
        defaults = inspect.signature(type(self).__init__).parameters
        given = self.get_params().items()
        changed = [f"{key}={value!r}" for key, value in given if value != defaults[key].default]
        return f"SRGNNRecommender({', '.join(changed)})"

    def fit(self, clicks: Any, y: Any = None, *, items: Any = None) -> Self:
        """Train on a frame with one row per click.

        Args:
            clicks: A frame of pandas or Polars with the columns of session, item and time. It may
                be lazy, and its rows may come in any order.
            y: Taken for the sake of scikit-learn; not used. (default: None)
            items: A frame with one row per item: its id and columns of text, by which rare items
                get useful lists and new ones can be added. (default: None)

        Raises:
            TypeError: If it is no data frame.
            ValueError: If a column is missing, a value is missing or unreadable, nothing, or one
                item, is left by the rules, or an argument is not allowed; names column and row.
            FileNotFoundError: If ``settings`` name a run that is not there.
        """
        rules, settings = self._split_settings()
        _warn_of_users(rules)
        if self._forgotten:
            warnings.warn(
                f"the folder that was loaded does not keep {', '.join(self._forgotten)} of its "
                f"training, which are the defaults here; set_params(…) sets them",
                stacklevel=2,
            )
        with TemporaryDirectory(prefix="srgnn-") as name:
            folder = Path(name)
            texts = None
            if items is not None:
                (folder / "items").mkdir()
                if "text" in (self.settings or {}):
                    raise ValueError("settings: 'text' is what fit(clicks, items=…) sets")
                texts = str(write_frame(items, folder / "items", "items"))
            config = compose_training(settings | {"text": texts} if texts else settings)
            path = write_frame(clicks, folder, "clicks")
            with about(folder, "clicks"):
                prepared = prepare(path, rules, scratch=folder)
                _refuse_one_item(prepared)
            _whole(prepared).save(folder / "log")
            config.dataset.path, config.dataset.root = str(folder / "log"), str(folder / "data")
            with about(folder / "items", "items"):
                result = train(config, folder / "run")
            self.recommender_ = Recommender.load(folder / "run")
            self.valid_ = result.valid
        self._forgotten = ()
        return self

    def recommend(self, sessions: Any, k: int = 20, **rules: Any) -> Any:
        """The k best next items of every session of a frame.

        Args:
            sessions: A frame with one row per click, with the columns of :meth:`fit`, types of
                clicks and times for pauses among them; without times, a session's clicks are those
                of its rows in their order, and pauses are unknown. Users are not looked up: no
                session has earlier clicks.
            k: Number of items. (default: 20)
            **rules: Further arguments of :meth:`pyg_srgnn.Recommender.recommend`, such as
                ``exclude_seen=True`` or ``deny=["sold out"]``.

        Returns:
            A frame of the same library with one row per recommendation: the columns of session and
            item as they are called in ``sessions``, ``rank`` from 1, and ``score``. The sessions
            come in the order of their ids.

        Raises:
            TypeError: If it is no data frame.
            ValueError: If it is not fitted, a column is missing, or a value is missing.
        """
        recommender = self._fitted()
        preparation = Preparation.from_dict(_preparation_of(recommender), "the model")
        whole = type(recommender.vocabulary.ids[0]) is int
        with TemporaryDirectory(prefix="srgnn-") as name:
            folder = Path(name)
            with about(folder, "sessions"):
                rows, (session, item) = read_sessions(sessions, preparation, whole, folder)
        clicks = [Clicks(**row) for row in rows.drop("session").iter_rows(named=True)]
        best = recommender.recommend(clicks, k, **rules)
        ids = rows["session"].to_list()
        return to_frame(
            sessions,
            {
                session: [raw for raw, found in zip(ids, best, strict=True) for _ in found],
                "rank": [rank for found in best for rank, _ in enumerate(found, 1)],
                item: [raw for found in best for raw, _ in found],
                "score": [score for found in best for _, score in found],
            },
        )

    def save(self, folder: str | Path) -> Path:
        """Write what was learned, see :meth:`pyg_srgnn.Recommender.save`, and the arguments.

        Raises:
            ValueError: See :meth:`pyg_srgnn.Recommender.save`; or if it is not fitted.
        """
        folder = self._fitted().save(folder)
        if not self._forgotten:
            text = json.dumps(self.get_params(), indent=2, default=_plain)
            write_text(folder / _FILE, f"{text}\n")
        return folder

    @classmethod
    def load(cls, path: str | Path) -> SRGNNRecommender:
        """Open what :meth:`save` wrote, a run of ``srgnn-train`` on a click log, or an export.

        Of what :meth:`save` wrote, the arguments are those of the estimator that was saved. Of a
        run or an export, they are the columns and rules that the sessions were made by; those of
        the training, such as ``model`` and ``epochs``, have their defaults, of which :meth:`fit`
        warns.

        Raises:
            FileNotFoundError: If there is none.
            ValueError: If a file is damaged, or the model was not trained on a click log.
        """
        recommender = Recommender.load(path)
        stored = _preparation_of(recommender)
        _warn_of_users(Preparation.from_dict(stored, str(path)))
        made = cls._with_arguments(Path(path) / _FILE) or cls._of_preparation(stored)
        made.recommender_, made.valid_ = recommender, None
        return made

    @classmethod
    def _with_arguments(cls, file: Path) -> SRGNNRecommender | None:
        """One with the arguments in a file that :meth:`save` wrote; None where there is none."""
        if not file.is_file():
            return None
        try:
            made = cls(**json.loads(file.read_text(encoding="utf-8")))
            named = [key for key in made.settings or {} if key.split(".")[0] == "callbacks"]
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{file} does not hold arguments of SRGNNRecommender: {error}"
            ) from error
        if named:  # which fit would import and call, whoever wrote the file
            made.settings = {k: v for k, v in (made.settings or {}).items() if k not in named}
            warnings.warn(
                f"{file}: callbacks are code, which is not taken from a file; "
                f"set_params(settings=…) gives them",
                stacklevel=3,
            )
        return made

    @classmethod
    def _of_preparation(cls, stored: Mapping[str, Any]) -> SRGNNRecommender:
        """One whose arguments are the columns and rules of a preparation, as far as known."""
        usual, own = Preparation().to_dict(), cls._names()
        rules = {
            _DATASET + name: value
            for name, value in stored.items()
            if name in _RULES - {*own} and _DATASET + name not in OWNED and value != usual[name]
        }
        made = cls(**{name: stored[name] for name in own if name in stored}, settings=rules or None)
        made._forgotten = _OF_TRAINING
        return made

    def _fitted(self) -> Recommender:
        if not hasattr(self, "recommender_"):
            raise ValueError("this SRGNNRecommender is not fitted yet; call fit(clicks) first")
        return self.recommender_

    def _split_settings(self) -> tuple[Preparation, dict[str, Any]]:
        """The rules of the preparation, and the keys of the training."""
        given = dict(self.settings or {})
        check_settings(given)
        # A tenth that is cut off is put back; nothing of it may be dropped.
        rules: dict[str, Any] = {"test": 0.1, "cold": "keep"}
        rules |= {name: getattr(self, name) for name in self._names() if name in _RULES}
        for name in _RULES:
            if _DATASET + name in given:
                rules[name] = given.pop(_DATASET + name)
        settings: dict[str, Any] = {
            "dataset": "click_log",
            "model": self.model,
            "trainer.max_epochs": self.epochs,
            "trainer.enable_progress_bar": self.verbose,
            "refit": self.refit,
            "seed": self.seed,
            "test": False,
            "dataset.path": ".",  # until it is written
        }
        return Preparation(**rules), settings | given


def _warn_of_users(preparation: Preparation) -> None:
    """Warn of what a model learns, and :meth:`SRGNNRecommender.recommend` does not pass."""
    if preparation.earlier_clicks:
        warnings.warn(
            f"user={preparation.user!r}: the model is trained with the earlier clicks of each "
            f"session's user, and recommend() passes none; recommender_.recommend takes them as "
            f"pyg_srgnn.inference.Clicks(items, earlier=[...])",
            stacklevel=3,
        )


def _plain(value: Any) -> Any:
    """A value of ``settings`` that JSON does not have: a mapping, a number of NumPy, a path."""
    if isinstance(value, Mapping):
        return dict(value)
    return value.tolist() if hasattr(value, "tolist") else str(value)


def _refuse_one_item(prepared: Prepared) -> None:
    """Refuse clicks of which one item is left: there is nothing to choose from."""
    if len(prepared.vocabulary) == 1:
        raise ValueError(
            f"clicks: in the column {prepared.report['columns']['item']!r} one item is left, "
            f"{prepared.vocabulary.ids[0]!r}; expected two at least. Give item=COLUMN if items are "
            f"in another column, or lower min_support"
        )


def _whole(prepared: Prepared) -> Prepared:
    """The same with all sessions in the training part."""
    preparation = Preparation.from_dict(prepared.report["preparation"], "clicks")
    columns = {key: name for key, name in prepared.report["columns"].items() if key in _RULES}
    columns.pop("order", None)
    report = prepared.report | {"preparation": replace(preparation, **columns).to_dict()}
    return replace(
        prepared,
        training=prepared.training.append(prepared.test),
        test=prepared.test[:0],
        report=report,
    )


def _preparation_of(recommender: Recommender) -> dict[str, Any]:
    """How the sessions of a model were made of a log.

    Raises:
        ValueError: If they were not.
    """
    stored = recommender.preparation
    if stored is None:
        raise ValueError(
            "the model was not trained on a click log, so its columns are not known; "
            "pyg_srgnn.Recommender recommends for lists of raw ids"
        )
    return dict(stored)
