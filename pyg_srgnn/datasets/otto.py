"""OTTO: clicks, carts and orders in a web shop, with the metric of its competition."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pyg_srgnn.clicklog.spec import Preparation
from pyg_srgnn.datasets.download import Source
from pyg_srgnn.datasets.json_lines import clicks_of_sessions
from pyg_srgnn.datasets.typed import TypedDataset
from pyg_srgnn.functional.metrics import RecallWeights


class Otto(TypedDataset):
    r"""OTTO's sessions of clicks, carts and orders; the test sessions are those of the last week.

    The `data set <https://github.com/otto-de/recsys-dataset>`_ of the OTTO competition of 2022
    (CC BY 4.0), JSON Lines with one session per line. No item is too rare, and test clicks on items
    that training lacks stay: they count in the metric, whether or not a model can find them. Beside
    the usual metrics, evaluations report recall@20 of clicks, carts and orders behind a random cut
    of each test session, and its mean with the weights 0.10, 0.30 and 0.60
    (:func:`~pyg_srgnn.evaluation.weighted_recall.weighted_recall`).

    The competition's own test sessions are another week, in a file of its own; here the last week
    of the training file takes their place, with the cuts drawn anew, so that figures are near those
    of the leaderboard in kind but not comparable with them. A session belongs to the part of its
    last click; the authors cut those in two that span both weeks.

    The file is published at `Kaggle <https://www.kaggle.com/datasets/otto/recsys-dataset>`_ and
    needs a login: put it there by hand. Arguments and errors are those of
    :class:`~pyg_srgnn.datasets.typed.TypedDataset`.

    **STATS** of the file, as published: 12,899,779 sessions, 216,716,096 events, of them
    194,720,954 clicks, 16,896,191 carts and 5,098,951 orders, of 1,855,603 items.
    """

    name = "otto"
    sources = (
        Source(
            "otto-recsys-train.jsonl",
            origin=("https://www.kaggle.com/datasets/otto/recsys-dataset, which asks for a login"),
        ),
    )
    event = "type"
    types = {"clicks": 1, "carts": 1, "orders": 1}  # noqa: RUF012
    recall = RecallWeights({"clicks": 0.10, "carts": 0.30, "orders": 0.60}, following="clicks")
    preparation = Preparation(
        session="session",
        item="aid",
        time="ts",
        time_format="ms",
        max_length=None,
        min_support=1,
        test="7d",
        cold="keep",
    )

    def click_files(self) -> Sequence[Path]:
        """The clicks, in a file of a row each."""
        (file,) = super().click_files()
        return [clicks_of_sessions(file, self.scratch / "clicks.parquet")]
