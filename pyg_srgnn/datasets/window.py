"""A dataset as it was on a day: trained on what came before, tested on the window that follows.

Nothing after the day is in the training sessions or the catalogue; an item's text is that of the
whole log. See :class:`WindowDataset`.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import torch
from torch import Tensor

from pyg_srgnn.clicklog.spec import Preparation
from pyg_srgnn.data.sessions import SECONDS_PER_DAY, Sessions, is_part
from pyg_srgnn.data.vocabulary import Vocabulary
from pyg_srgnn.datasets.base import SessionDataset
from pyg_srgnn.utils.arguments import checking

_SESSION = 2  # clicks of the shortest session, where no preparation says so


@dataclass(frozen=True)
class Window:
    """One of the windows at the end of a log; keys of ``conf/evaluation/rolling.yaml``.

    Args:
        windows: How many there are, one after another, the last one up to the last session.
        window: How long each is, in days such as ``"7d"``.
        number: This one's number, 0 the first.

    Raises:
        ArgumentError: If values are not allowed.
    """

    windows: int = 5
    window: str = "7d"
    number: int = 0

    def __post_init__(self) -> None:
        """Check every value."""
        with checking(self) as check:
            check.whole("windows", self.windows, 1)
            fits = isinstance(self.window, str) and is_part(self.window)
            check.that(fits, "window", "days such as '7d'", self.window)
            if isinstance(self.windows, int):
                check.whole("number", self.number, 0, self.windows - 1)

    @property
    def seconds(self) -> int:
        """The length of a window."""
        return int(self.window[:-1]) * SECONDS_PER_DAY


class WindowDataset(SessionDataset):
    """A dataset cut in time: training up to the start of a window, the window's sessions as test.

    A session belongs to the time of its last click. The rules of a click log that count over
    sessions (``min_support``, ``drop_longer``, ``until_stable``, ``recent``) are applied to the
    training part alone, items are numbered as it shows them, and an item that it lacks is dropped
    from the test sessions, or kept behind the others with ``cold=keep``.

    Args:
        whole: The dataset with all sessions in time order, those of a log without the rules above.
        rules: The rules of the log; None for a dataset that was not made of one.
        window: Which window.
        split: ``"train"``, ``"valid"``, ``"trainval"`` or ``"test"``.
        valid: What part of the training sessions validates.

    Raises:
        ValueError: If the sessions have no times, the windows are longer than the log, or a part
            is left empty.
    """

    def __init__(
        self,
        whole: SessionDataset,
        rules: Preparation | None,
        window: Window,
        split: str,
        valid: float | str,
    ) -> None:
        self.name, self.text_encoder = whole.name, whole.text_encoder
        self.preparation, self.recall = rules, whole.recall
        sessions = _all_sessions(whole)
        cut, end = _limits(sessions, window)
        self.window = {
            "number": window.number,
            "windows": window.windows,
            "window": window.window,
            "from": _iso(cut),
            "to": _iso(end),
        }
        cuts = [int(torch.searchsorted(_times(sessions), at, right=True)) for at in (cut, end)]
        before, after = sessions[: cuts[0]], sessions[cuts[0] : cuts[1]]
        where = f"window {window.number + 1} of {window.windows} ({_iso(cut)} to {_iso(end)})"
        self._cut = _numbered(before, after, whole, rules, where)
        super().__init__(whole.root, split, valid, whole.mirror, whole.transform)

    def _download(self) -> None:
        """Nothing: the whole dataset is there."""

    def _process(self) -> None:
        """Nothing is stored."""

    def _load(self) -> tuple[Sessions, Sessions]:
        training, test, self.vocabulary, self.texts = self._cut
        return training, test


def known_to(dataset: SessionDataset, vocabulary: Vocabulary) -> SessionDataset:
    """The samples of a dataset that a model with another vocabulary can score.

    Clicks on items that the vocabulary lacks are left out, as a service leaves them out. A sample
    stays if its target is known, and a click before it.

    Args:
        dataset: The samples, such as a test set, or some of them.
        vocabulary: The items of the model.
    """
    index = torch.tensor(vocabulary.encode(dataset.vocabulary.ids))
    sessions = dataset.sessions
    number = torch.from_numpy(np.asarray(dataset.indices(), dtype=np.int64))
    session, cut = sessions.samples(number)
    known = index[sessions.items] >= 0
    before = torch.cat([torch.zeros(1, dtype=torch.long), known.long().cumsum(0)])
    start = sessions.offsets[session]
    prefix = before[start + cut] - before[start]
    kept = known[start + cut] & (prefix > 0)
    has_clicks = (before[sessions.offsets[1:]] > before[sessions.offsets[:-1]]).long()
    place = has_clicks.cumsum(0) - 1  # of every session among those that have a click left
    click, of = before[start + cut][kept], place[session][kept]
    found = copy.copy(dataset)
    found.sessions = sessions.renumbered(index)
    if dataset.earlier_clicks:  # whose items have other numbers, too
        training, test = dataset.parts
        found._parts = training.renumbered(index), test.renumbered(index)
        found.__dict__.pop("_earlier", None)
    found.vocabulary = vocabulary
    found._indices = (click - of - 1).numpy()
    return found


def _all_sessions(whole: SessionDataset) -> Sessions:
    training, test = whole.parts
    if training.times is None or test.times is None:
        raise ValueError(
            f"evaluation=rolling: its windows are days, and the sessions of {whole.name} have no "
            f"times"
        )
    return training.append(test)


def _times(sessions: Sessions) -> Tensor:
    assert sessions.times is not None  # as was checked
    return sessions.times


def _limits(sessions: Sessions, window: Window) -> tuple[int, int]:
    """The last second of training, and the last one of the window."""
    first, last = int(_times(sessions)[0]), int(_times(sessions)[-1])
    if last - window.windows * window.seconds < first:
        days = window.windows * window.seconds // SECONDS_PER_DAY
        raise ValueError(
            f"windows={window.windows} window={window.window}: they are {days} days together, but "
            f"the log spans {(last - first) / SECONDS_PER_DAY:.1f}, from {_iso(first)} to "
            f"{_iso(last)}, so that nothing is left to train on"
        )
    cut = last - (window.windows - window.number) * window.seconds
    return cut, cut + window.seconds


def _numbered(
    before: Sessions,
    after: Sessions,
    whole: SessionDataset,
    rules: Preparation | None,
    where: str,
) -> tuple[Sessions, Sessions, Vocabulary, list[str | None] | None]:
    """Both parts after the rules, with their catalogue and its texts."""
    shortest = _SESSION if rules is None else rules.min_length
    training = before if rules is None else _kept(before, rules, whole.num_items)
    items = _in_order(training.items)
    if rules is not None and rules.recent > 1:
        training = training.recent(rules.recent)
    if not len(training):
        raise ValueError(f"{where}: no training session is left before it")
    index = torch.full((whole.num_items,), -1)
    index[items] = torch.arange(len(items))
    if rules is not None and rules.cold == "keep":
        new = _in_order(after.items)
        new = new[index[new] < 0]
        index[new] = torch.arange(len(items), len(items) + len(new))
        items = torch.cat([items, new])
    test = after.renumbered(index)
    test = test.among(test.lengths >= shortest)
    if not len(test):
        raise ValueError(
            f"{where}: of {len(after):,} test sessions none has {shortest} clicks on items that "
            f"are known from before it"
        )
    texts = whole.texts
    if texts is not None:
        texts = [texts[i] for i in items.tolist()]
    vocabulary = Vocabulary(whole.vocabulary.decode(items.tolist()))  # type: ignore[arg-type]
    return training.renumbered(index), test, vocabulary, texts


def _kept(sessions: Sessions, rules: Preparation, num_items: int) -> Sessions:
    """The sessions after the rules that count clicks, as a click log is prepared."""
    while True:
        rare = torch.bincount(sessions.items, minlength=num_items) < rules.min_support
        index = torch.arange(num_items).masked_fill(rare, -1)
        kept = sessions.renumbered(index)
        fits = kept.lengths >= rules.min_length
        if rules.drop_longer is not None:
            fits &= kept.lengths <= rules.drop_longer
        kept = kept.among(fits)
        if not rules.until_stable or kept.num_clicks == sessions.num_clicks:
            return kept
        sessions = kept


def _in_order(items: Tensor) -> Tensor:
    """The different items in the order of their first clicks."""
    found, first = np.unique(items.numpy(), return_index=True)
    return torch.from_numpy(found[np.argsort(first)])


def _iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
