"""Files of attributes: every format, kinds of columns, and what a wrong one says."""

from __future__ import annotations

import gzip
import json
import logging
import re
from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from pyg_srgnn.data.attributes import Labels, Numbers
from pyg_srgnn.data.vocabulary import Vocabulary
from pyg_srgnn.evaluation.beyond import BeyondMetrics
from pyg_srgnn.text.attribute_files import attribute_vectors, read_attributes

CSV = """\
SKU,category,price,in_stock,code,note
007,shoes,20,TRUE,01,
b, hats ,3.5,false,02,
c,,,,3,
d,shoes,-1e2,true,04,
"""


def written(path: Path, delimiter: str = ",") -> Path:
    data = CSV.replace(",", delimiter).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize(
    ("name", "delimiter"),
    [("items.csv", ","), ("items.csv", ";"), ("items.tsv", "\t"), ("items.csv.gz", ",")],
)
def test_tables_of_texts(
    tmp_path: Path, name: str, delimiter: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "pyg_srgnn")
    path = written(tmp_path / name, delimiter)
    found = read_attributes(path)
    assert found.ids == ["007", "b", "c", "d"] and found.source == str(path)
    category, price, stock = map(found.column, ("category", "price", "in_stock"))
    assert isinstance(category, Labels) and category.values == ["shoes", "hats"]
    assert category.first.tolist() == [0, 1, -1, 0]
    assert isinstance(price, Numbers)
    np.testing.assert_array_equal(price.values, [20, 3.5, np.nan, -100])
    assert isinstance(stock, Labels) and stock.values == [True, False]
    assert stock.first.tolist() == [0, 1, -1, 0]
    assert found.column("code").kind == "texts"  # of which 01 is none of the numbers
    assert found.column("note").empty
    assert caplog.messages == [
        f"{path}: id=SKU (guessed), attributes category (texts), price (numbers), in_stock "
        f"(truth values), code (texts), note (texts)"
    ]


def test_parquet_and_json_lines_have_kinds(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = pl.DataFrame(
        {
            "key": [3, 4],
            "category": pl.Series(["hat", None], dtype=pl.Categorical),
            "price": pl.Series([Decimal("2.5"), None]),
            "stock": [3, 0],
            "number": ["1", "2"],
            "tags": [["red", "new"], None],
            "sold": [True, None],
            "added": [date(2024, 1, 2), None],
            "vector": [[0.5], [1.5]],
        }
    )
    table.write_parquet(tmp_path / "items.parquet")
    caplog.set_level(logging.INFO, "pyg_srgnn")
    found = read_attributes(tmp_path / "items.parquet", "key")
    assert found.ids == [3, 4]
    assert {name: column.kind for name, column in found.columns.items()} == {
        "category": "texts",
        "price": "numbers",
        "stock": "numbers",
        "number": "texts",
        "tags": "lists of texts",
        "sold": "truth values",
        "added": "texts",
    }
    assert found.labels("added").values == ["2024-01-02"]
    assert caplog.messages[0].endswith("added (texts); left out: vector")
    table.drop("vector").write_ndjson(tmp_path / "items.jsonl")
    again = read_attributes(tmp_path / "items.jsonl", "key")
    assert again.column("number").kind == "texts"
    assert again.labels("tags").values == ["red", "new"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,price\na,3\nb,4\na,5\n", "the id 'a' is given twice"),
        ("id,price\na,3\n,4\n", "the column 'id' has no id in row 2"),
        ("name,price\na,3\n", "no column known to hold the ids; .* Give attributes_id=COLUMN"),
        ("id,price\na\n", "line 2: expected 2 columns"),
    ],
)
def test_wrong_tables(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "items.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"{re.escape(str(path))}.*{message}"):
        read_attributes(path)


def test_wrong_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        read_attributes(tmp_path / "items.csv")
    path = written(tmp_path / "items.xlsx")
    with pytest.raises(ValueError, match=r"a file of attributes ends in \.csv, "):
        read_attributes(path)
    with pytest.raises(ValueError, match=r"no column 'sku' \(attributes_id\)"):
        read_attributes(written(tmp_path / "items.csv"), "sku")
    monkeypatch.setattr("pyg_srgnn.text.attribute_files.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="needs the package polars, which is not installed"):
        read_attributes(path)


def test_vectors_of_a_column(tmp_path: Path) -> None:
    """Their cosines are the shares of values in common, by which a list is diverse."""
    path = tmp_path / "items.jsonl"
    rows = [("3", "red", ["x", "y"]), ("1", "blue", ["x"]), ("9", "red", []), ("2", "red", ["y"])]
    path.write_text("".join(
        json.dumps({"id": raw, "colour": colour, "tags": tags}) + "\n" for raw, colour, tags in rows
    ))  # fmt: skip
    vocabulary = Vocabulary([1, 2, 3, 4])
    attributes = read_attributes(path)
    colours = attribute_vectors(attributes, "colour", vocabulary)
    assert (colours @ colours.T).tolist() == [
        [1, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]
    ]  # fmt: skip
    tags = attribute_vectors(attributes, "tags", vocabulary)
    assert (tags @ tags.T).tolist() == [[1, 0, 1, 0], [0, 1, 1, 0], [1, 1, 2, 0], [0, 0, 0, 0]]
    metrics = BeyondMetrics(torch.ones(4), ["diversity"], colours, ks=(3,))
    metrics.update(torch.tensor([[0, 1, 2]]), torch.ones(1), torch.tensor([0]))
    assert metrics.compute() == {"diversity@3": pytest.approx(2 / 3)}
    with pytest.raises(ValueError, match="no item of the catalogue has a value in column 'colour'"):
        attribute_vectors(attributes, "colour", Vocabulary([77]))
    with pytest.raises(ValueError, match="there is no column 'size'"):
        attribute_vectors(attributes, "size", vocabulary)
