"""RetailRocket: views in a web shop."""

from __future__ import annotations

from pyg_srgnn.clicklog.spec import Preparation
from pyg_srgnn.datasets.click_log import RawDataset
from pyg_srgnn.datasets.download import Source


class RetailRocket(RawDataset):
    r"""RetailRocket's views; a visitor's views after 30 minutes of silence are a new session.

    The test sessions are those of the last seven days. The rules for rare items and short
    sessions are those of the other benchmarks; publications split and filter this log in many
    ways, so there are no published counts. Another silence, or carts and purchases as
    well: ``dataset=click_log`` with ``dataset.gap`` and ``dataset.where``. Arguments and errors
    are those of :class:`~pyg_srgnn.datasets.click_log.RawDataset`.

    The file is published at `Kaggle <https://www.kaggle.com/datasets/retailrocket/
    ecommerce-dataset>`_ and needs a login: put it there by hand.

    **STATS** of the file, as published: 2,756,101 events, 2,664,312 of them views, of 1,407,580
    visitors.
    """

    name = "retailrocket"
    sources = (
        Source(
            "events.csv",
            origin=(
                "https://www.kaggle.com/datasets/retailrocket/ecommerce-dataset, which asks for a "
                "login"
            ),
        ),
    )
    preparation = Preparation(
        user="visitorid",
        item="itemid",
        time="timestamp",
        time_format="ms",
        delimiter=",",
        where={"event": "view"},
        gap="30m",
        max_length=None,
        test="7d",
    )
