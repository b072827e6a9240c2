"""RetailRocket: views, and if asked for carts and purchases, in a web shop."""

from __future__ import annotations

from pyg_srgnn.clicklog.spec import Preparation
from pyg_srgnn.datasets.download import Source
from pyg_srgnn.datasets.typed import TypedDataset


class RetailRocket(TypedDataset):
    r"""RetailRocket's views; a visitor's views after 30 minutes of silence are a new session.

    The test sessions are those of the last seven days. The rules for rare items and short
    sessions are those of the other benchmarks; publications split and filter this log in many
    ways, so there are no published counts. Without ``events`` there are views alone, without types;
    ``events={"view": 1, "addtocart": 3, "transaction": 5}`` reads all. Another silence:
    ``dataset=click_log`` with ``dataset.gap``. Arguments and errors are those of
    :class:`~pyg_srgnn.datasets.typed.TypedDataset`.

    The file is published at `Kaggle <https://www.kaggle.com/datasets/retailrocket/
    ecommerce-dataset>`_ and needs a login: put it there by hand.

    **STATS** of the file, as published: 2,756,101 events, of them 2,664,312 views, 69,332 carts and
    22,457 transactions, of 1,407,580 visitors.
    """

    name = "retailrocket"
    event = "event"
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
