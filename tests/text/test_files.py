"""Files of texts and vectors: what is read, and what a wrong one says."""

from __future__ import annotations

import gzip
import json
import logging
import re
from datetime import date

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import save_file

from pyg_srgnn.clicklog.columns import COMMON_NAMES
from pyg_srgnn.text.files import read_item_texts
from pyg_srgnn.text.tables import ID_NAMES

ROWS = {
    "title": ["Shoe, red", " Hat\n\twith  brim ", None, "Sock"],
    "brand": ["Acme", "", None, "Über"],
    "price": ["$3.50", "7e-05", None, "12"],
    "added": ["2024-01-31", "2024-02-01T10:00:00Z", None, "2024-02-03"],
}
IDS = ["007", "a,b", "c", "d"]
TABLE = pl.DataFrame({"sku": IDS} | ROWS)
EXPECTED = ["Shoe, red. Acme", "Hat with brim", None, "Sock. Über"]


def as_csv(path, **options):
    TABLE.write_csv(path, **options)


def as_json_lines(path):
    TABLE.write_ndjson(path)


def compressed(write):
    def written(path):
        aside = path.with_name("aside")
        write(aside)
        path.write_bytes(gzip.compress(aside.read_bytes()))

    return written


def as_zst(path):
    TABLE.write_csv(path, compression="zstd")


FORMATS = {
    "items.csv": as_csv,
    "items.CSV": lambda path: as_csv(path, separator=";", include_bom=True),
    "items.tsv": lambda path: as_csv(path, separator="\t"),
    "items.txt": lambda path: as_csv(path, separator="|"),
    "items.v2.csv.gz": compressed(as_csv),
    "items.csv.zst": as_zst,
    "items.jsonl": as_json_lines,
    "items.ndjson": as_json_lines,
    "items.json.gz": compressed(as_json_lines),
    "items.parquet": TABLE.write_parquet,
    "items": TABLE.write_parquet,
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format(tmp_path, name, caplog):
    caplog.set_level(logging.INFO, "pyg_srgnn")
    path = tmp_path / name
    FORMATS[name](path)
    found = read_item_texts(path)
    assert (found.ids, found.texts, found.columns) == (IDS, EXPECTED, ["title", "brand"])
    assert found.source == str(path) and found.vectors is None
    assert caplog.messages == [f"{path}: id=sku (guessed), text=title, brand (guessed)"]


def test_columns_are_named(tmp_path, caplog):
    caplog.set_level(logging.INFO, "pyg_srgnn")
    path = tmp_path / "items.csv"
    path.write_text("id,title,code\na,hat,7\nb,shoe,8\n")
    found = read_item_texts(path, "code", ["code", "id"])
    assert (found.ids, found.texts) == (["7", "8"], ["7. a", "8. b"])
    assert found.columns == ["code", "id"]
    path = tmp_path / "items.parquet"
    pl.DataFrame({"n": [1, 2], "price": [3.5, None], "on": [date(2024, 1, 2), None]}).write_parquet(
        path
    )
    found = read_item_texts(path, "n", ["price", "on"])
    assert found.ids == [1, 2] and found.texts == ["3.5. 2024-01-02", None]
    assert caplog.messages[-1] == f"{path}: id=n, text=price, on"


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (["title", "sku"], "sku"),
        (["Item-ID", "id"], "Item-ID"),
        (["product", "ID"], "ID"),
        (["item", "name"], "item"),
    ],
)
def test_the_column_of_the_ids_is_guessed(tmp_path, columns, expected):
    path = tmp_path / "items.csv"
    path.write_text(",".join(columns) + ",text\n" + ",".join(columns) + ",words\n")
    assert read_item_texts(path).ids == [expected]


def test_the_names_of_a_click_log_are_known():
    assert set(COMMON_NAMES["item"]) <= set(ID_NAMES)


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (pl.Series([3, 10**15], dtype=pl.Int64), [3, 10**15]),
        (pl.Series([3, 4], dtype=pl.UInt8), [3, 4]),
        (pl.Series([3.0, 10.0**15]), [3, 10**15]),
        (pl.Series([" 03", "x "]), ["03", "x"]),
        (pl.Series(["03", "x"], dtype=pl.Categorical), ["03", "x"]),
    ],
)
def test_kinds_of_ids(tmp_path, ids, expected):
    pl.DataFrame({"id": ids, "text": ["hat", "shoe"]}).write_parquet(tmp_path / "items.parquet")
    assert read_item_texts(tmp_path / "items.parquet").ids == expected


def test_kinds_of_text(tmp_path):
    table = pl.DataFrame(
        {
            "id": [1, 2],
            "kind": pl.Series(["hat", "shoe"], dtype=pl.Categorical),
            "size": pl.Series(["S", None], dtype=pl.Enum(["S", "M"])),
            "tags": [["red", "new"], []],
            "stock": [3, 4],
            "empty": pl.Series([None, None], dtype=pl.String),
            "sold": [True, False],
        }
    )
    table.write_parquet(tmp_path / "items.parquet")
    found = read_item_texts(tmp_path / "items.parquet")
    assert found.columns == ["kind", "size", "tags"]
    assert found.texts == ["hat. S. red, new", "shoe"]


def test_an_id_that_stands_twice(tmp_path):
    path = tmp_path / "items.csv"
    path.write_text("id,text\na,hat\nb,shoe\na, hat \nb,\n")
    found = read_item_texts(path)
    assert (found.ids, found.texts) == (["a", "b"], ["hat", "shoe"])
    path.write_text("id,text\na,hat\nb,shoe\na,coat\n")
    told = rf"^{re.escape(str(path))}: the id 'a' has two texts, 'hat' and 'coat'$"
    with pytest.raises(ValueError, match=told):
        read_item_texts(path)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("i.csv", "", r"i\.csv: empty; expected a first line with the names"),
        ("i.csv", "name,title\na,b\n", r"no column known to hold the ids; its columns are 'name' "),
        (
            "i.csv",
            "id,price\na,3\n",
            r"no column of text; its columns are 'id' .*\. Give text_c",
        ),
        ("i.csv", "id,text,text\na,b,c\n", r"i\.csv: two columns are called 'text'"),
        ("i.csv", "id,text\na,b\nc\n", r"i\.csv, line 3: expected 2 columns \(got 1\)"),
        ("i.csv", 'id,text\na,"b"c\n', r"i\.csv, line 2: a quote is out of place \('a,\"b\"c'\)"),
        ("i.csv", b"id,text\na,Sh\xffe\n", r"i\.csv, line 2: not UTF-8"),
        ("i.csv", "id,text\na,b\n ,c\n", r"i\.csv: the column 'id' has no id in row 2"),
        (
            "i.jsonl",
            '{"id": 1}\n{"id": 2',
            r'i\.jsonl, line 2: expected a JSON object .* \'{"id": 2',
        ),
        ("i.json", '["id"]\n', r"i\.json, line 1: expected a JSON object"),
        ("i.json", "[" * 100_000, r"i\.json, line 1: expected a JSON object"),
        ("i.jsonl", '{"id": null, "text": "a"}', r"i\.jsonl: the column 'id' "),
        (
            "i.jsonl",
            '{"id": true, "text": "a"}',
            r"'id' holds Boolean, expected ids: whole numbers",
        ),
        ("i.jsonl", '{"id": 0.5, "text": "a"}', r"'id' holds Float64, expected ids"),
        (
            "i.jsonl",
            '{"id": 1, "v": [1], "w": [2]}',
            r"the columns 'v', 'w' hold vectors; give text",
        ),
        ("i.parquet", b"PAR1\x15 nothing else", r"i\.parquet: cannot be read \(.+\)"),
        ("i.xlsx", "", r"i\.xlsx: a file of texts ends in \.csv, \.tsv, .*, \.npy, \.safetensors"),
        ("i.npy", "", r"i\.npy: no \.npy file of numbers \("),
        ("i.safetensors", "", r"i\.safetensors: no safetensors file \("),
    ],
)
def test_a_wrong_file(tmp_path, name, text, told):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=told):
        read_item_texts(path)


def test_a_file_that_is_cut_short_or_missing(tmp_path):
    path = tmp_path / "items.csv.gz"
    compressed(as_csv)(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match="cut short or damaged"):
        read_item_texts(path)
    with pytest.raises(FileNotFoundError, match=r"none\.csv: there is no such file"):
        read_item_texts(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"id_column": "key"}, r"no column 'key' \(text_id\); its columns are 'sku' \(String\), "),
        ({"columns": ["title", "x"]}, r"no column 'x' \(text_columns\); its columns are"),
    ],
)
def test_columns_that_are_not_there(tmp_path, options, told):
    as_csv(tmp_path / "items.csv")
    with pytest.raises(ValueError, match=told):
        read_item_texts(tmp_path / "items.csv", **options)


# Ready-made vectors.

VECTORS = np.array([[1, 2.5], [3, 4], [0, -1]], dtype=np.float32)


def as_npy(path, ids=("a", "b", "c"), vectors=VECTORS):
    np.save(path, vectors)
    path.with_suffix(".ids.txt").write_text("".join(f" {raw}\n" for raw in ids))


def as_npy_with_a_list(path):
    np.save(path, VECTORS.astype(np.float16))
    path.with_suffix(".ids.json").write_text('["a", "b", "c"]')


def as_safetensors(path):
    tensors = {"vectors": torch.from_numpy(VECTORS).bfloat16(), "other": torch.ones(1)}
    save_file(tensors, path, {"ids": '["a", "b", "c"]'})


def as_safetensors_with_ids_beside(path):
    save_file({"vectors": torch.from_numpy(VECTORS)}, path)
    path.with_suffix(".ids.txt").write_text("a\nb\nc")


def as_column(path, kind=None):
    pl.DataFrame({"id": ["a", "b", "c"], "title": ["x", "y", "z"]}).with_columns(
        pl.Series("vector", VECTORS.tolist(), dtype=kind)
    ).write_parquet(path)


def as_json_column(path):
    rows = zip("abc", VECTORS.tolist(), strict=True)
    path.write_text("\n".join(json.dumps({"id": raw, "v": list(row)}) for raw, row in rows))


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("v.npy", as_npy),
        ("v.npy", as_npy_with_a_list),
        ("v.safetensors", as_safetensors),
        ("v.safetensors", as_safetensors_with_ids_beside),
        ("v.parquet", as_column),
        ("v.parquet", lambda path: as_column(path, pl.Array(pl.Float32, 2))),
        ("v.jsonl", as_json_column),
    ],
)
def test_vectors_in_every_format(tmp_path, name, write):
    write(tmp_path / name)
    found = read_item_texts(tmp_path / name)
    assert found.ids == ["a", "b", "c"] and found.texts is None
    assert found.vectors.dtype == np.float32
    np.testing.assert_array_equal(found.vectors, VECTORS)


def test_whole_numbers_of_safetensors(tmp_path):
    tensors = {"vectors": torch.from_numpy(VECTORS), "ids": torch.tensor([3, 1, 2])}
    save_file(tensors, tmp_path / "v.safetensors")
    assert read_item_texts(tmp_path / "v.safetensors").ids == [3, 1, 2]


def test_a_table_has_texts_or_vectors(tmp_path, caplog):
    caplog.set_level(logging.INFO, "pyg_srgnn")
    path = tmp_path / "v.parquet"
    as_column(path)
    assert read_item_texts(path).columns == ["vector"]
    assert caplog.messages == [f"{path}: id=id (guessed), vectors=vector (guessed)"]
    assert read_item_texts(path, columns=["title"]).texts == ["x", "y", "z"]
    with pytest.raises(ValueError, match=r"'vector' of text_columns holds vectors; no other may"):
        read_item_texts(path, columns=["title", "vector"])


def test_an_item_without_a_vector_is_left_out(tmp_path):
    table = pl.DataFrame({"id": ["a", "b", "c"], "v": [[1.0, 2.0], None, [3.0, 4.0]]})
    table.write_parquet(tmp_path / "v.parquet")
    found = read_item_texts(tmp_path / "v.parquet")
    assert found.ids == ["a", "c"] and found.vectors.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ([np.nan, 1], "the vector of 'b' in row 2 is not finite$"),
        ([np.inf, 1], "the vector of 'b' in row 2 is not finite$"),
        ([1e300, 1], "the vector of 'b' in row 2 is not finite$"),
        ([0, 0], "the vector of 'b' in row 2 is all zeros$"),
    ],
)
@pytest.mark.parametrize("name", ["v.npy", "v.parquet"])
def test_a_vector_that_cannot_be_used(tmp_path, row, told, name):
    vectors = np.array([[1, 2], row, [3, 4]], dtype=np.float64)
    path = tmp_path / name
    if name == "v.npy":
        as_npy(path, vectors=vectors)
    else:
        pl.DataFrame({"id": ["a", "b", "c"], "v": vectors.tolist()}).write_parquet(path)
    with pytest.raises(ValueError, match=told):
        read_item_texts(path)


def test_several_vectors_that_cannot_be_used(tmp_path):
    as_npy(tmp_path / "v.npy", vectors=np.zeros((3, 2)))
    with pytest.raises(ValueError, match=r"of 'a' in row 1 is all zeros, and 2 more are$"):
        read_item_texts(tmp_path / "v.npy")


@pytest.mark.parametrize(
    ("lists", "told"),
    [
        ([[1.0, 2.0], [3.0]], "'v' holds a vector of 2 dimensions for 'a', and one of 1 for 'b'"),
        ([[1.0], [None]], "the vector of 'b' in row 2 is not finite"),
        ([[], []], r"expected vectors, numbers \[n, F\] \(got float64 \[2, 0\]\)"),
    ],
)
def test_lists_that_are_no_vectors(tmp_path, lists, told):
    schema = {"id": pl.String, "v": pl.List(pl.Float64)}
    pl.DataFrame({"id": ["a", "b"], "v": lists}, schema).write_parquet(tmp_path / "v.parquet")
    with pytest.raises(ValueError, match=told):
        read_item_texts(tmp_path / "v.parquet")


@pytest.mark.parametrize(
    ("ids", "vectors", "told"),
    [
        ("ab", VECTORS, r"v\.npy: 3 vectors, but 2 ids"),
        (["a", "", "c"], VECTORS, r"v\.ids\.txt: expected ids, .* \(got '' in row 2\)"),
        ("aba", VECTORS, r"v\.npy: the id 'a' has two vectors, in rows 1 and 3"),
        ("abc", VECTORS[0], r"v\.npy: expected vectors, numbers \[n, F\] \(got float32 \[2\]\)"),
        ("abc", VECTORS.astype(str), r"v\.npy: expected vectors, numbers \[n, F\] \(got <U"),
    ],
)
def test_ids_beside_vectors(tmp_path, ids, vectors, told):
    as_npy(tmp_path / "v.npy", ids, vectors)
    with pytest.raises(ValueError, match=told):
        read_item_texts(tmp_path / "v.npy")


@pytest.mark.parametrize(
    ("listed", "told"),
    [
        ("{", r"v\.ids\.json: its ids are no JSON"),
        ('{"a": 1}', r"v\.ids\.json: expected a list of ids \(got {'a': 1}\)"),
        ('["a", 1.5, 2]', r"v\.ids\.json: expected ids, .* \(got 1\.5 in row 2\)"),
    ],
)
def test_a_list_of_ids(tmp_path, listed, told):
    np.save(tmp_path / "v.npy", VECTORS)
    (tmp_path / "v.ids.json").write_text(listed)
    with pytest.raises(ValueError, match=told):
        read_item_texts(tmp_path / "v.npy")


def test_a_header_that_asks_for_too_much_memory(tmp_path):
    as_npy(tmp_path / "v.npy", "abc", VECTORS)
    data = (tmp_path / "v.npy").read_bytes()
    shape = str(VECTORS.shape).encode()
    larger = b"(%d, 2)" % 10**14
    data = data.replace(shape + b", }" + b" " * (len(larger) - len(shape)), larger + b", }")
    (tmp_path / "v.npy").write_bytes(data)
    with pytest.raises(ValueError, match=r"v\.npy: no \.npy file of numbers"):
        read_item_texts(tmp_path / "v.npy")


def test_ids_that_are_missing(tmp_path):
    np.save(tmp_path / "v.npy", VECTORS)
    told = (
        r"v\.npy: the ids of its vectors are missing; expected .*v\.ids\.txt .* or .*v\.ids\.json"
    )
    with pytest.raises(FileNotFoundError, match=told):
        read_item_texts(tmp_path / "v.npy")
    (tmp_path / "v.ids.txt").write_bytes(b"\xff")
    with pytest.raises(ValueError, match=r"v\.ids\.txt: not UTF-8"):
        read_item_texts(tmp_path / "v.npy")


def test_other_safetensors(tmp_path):
    save_file({"weights": torch.ones(1)}, tmp_path / "v.safetensors")
    with pytest.raises(ValueError, match=r"expected a tensor 'vectors' \(got weights\)"):
        read_item_texts(tmp_path / "v.safetensors")


def test_vectors_have_no_columns(tmp_path):
    as_npy(tmp_path / "v.npy")
    with pytest.raises(ValueError, match="has no columns; text_id and text_columns must be null"):
        read_item_texts(tmp_path / "v.npy", columns=["title"])
