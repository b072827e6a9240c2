"""Files of names: what is read, and what a wrong one says."""

from __future__ import annotations

import json

import pytest

from pyg_srgnn.data import Vocabulary
from pyg_srgnn.serving.item_names import load_names

NUMBERS, WORDS = Vocabulary([17, 4, 256]), Vocabulary(["17", "a,b", "c"])


def written(tmp_path, name, text):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("n.csv", 'id,name\n17,"Shoe, red"\n4,Hat\n'),
        ("n.csv", "\ufeffNAME;price;Id\nShoe, red;3,50;17\n\nHat;1;4\n"),
        ("n.tsv", "id\tname\r\n17\tShoe, red\r\n4\tHat\r\n4\tHat\r\n"),
        ("n.json", '{"17": "Shoe,  red", "4": "Hat", "256": " "}'),
    ],
)
def test_tables_and_objects(tmp_path, name, text):
    assert load_names(written(tmp_path, name, text), NUMBERS) == {17: "Shoe, red", 4: "Hat"}


def test_ids_of_text_stay_text(tmp_path):
    path = written(tmp_path, "n.csv", 'id,name\n17,Shoe\n"a,b",Hat\nnew,"To come\nlater"\n')
    assert load_names(path, WORDS) == {"17": "Shoe", "a,b": "Hat", "new": "To come later"}


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("n.txt", "id,name", r"n\.txt: a file of names ends in \.csv, \.tsv or \.json"),
        ("n.csv", "17,Shoe\n", r"n\.csv: expected a first line with .* id and name \(got '17,Shoe"),
        ("n.csv", "", r"n\.csv: expected a first line"),
        ("n.csv", "id,name,id\n17,Shoe,17\n", r"n\.csv: expected a first line"),
        ("n.csv", "id,name\n17\n", r"n\.csv, line 2: expected 2 columns \(got 1\)"),
        ("n.csv", "id,name\n4,Hat\nx1,Shoe\n", r"line 3: .* whole numbers \(got 'x1'\)"),
        ("n.csv", "id,name\n1_7,Shoe\n", r"line 2: .* whole numbers"),
        ("n.csv", "id,name\n17,Shoe\n17,Hat\n", r"line 3: the id '17' has two names, 'Shoe' and"),
        ("n.csv", b"id,name\n17,Sh\xffe\n", r"n\.csv: not UTF-8"),
        ("n.csv", 'id,name\n17,"Shoe\n', r"n\.csv: unexpected end"),
        ("n.csv", "id,name\n5,Shoe\n", r"none of its ids is in the catalogue \(found: 5; .* 17, 4"),
        ("n.csv", "id,name\n", r"none of its ids .* \(found: no name"),
        ("n.json", '{"17": 5}', r"n\.json, key '17': expected a text \(got 5\)"),
        ("n.json", '{"17": "Shoe"', r"n\.json: not JSON"),
        ("n.json", "[" * 100_000, r"n\.json: not JSON"),
        ("n.json", '["Shoe"]', r"n\.json: expected one object"),
        ("n.json", '{"17": "Shoe", "17": "Hat"}', r"key '17': the id '17' has two names"),
    ],
)
def test_what_a_wrong_file_says(tmp_path, name, text, told):
    with pytest.raises(ValueError, match=told):
        load_names(written(tmp_path, name, text), NUMBERS)


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"n\.json"):
        load_names(tmp_path / "n.json", NUMBERS)


def test_a_file_of_many(tmp_path):
    ids = list(range(2000))
    text = json.dumps({str(i): f"item {i}" for i in ids})
    names = load_names(written(tmp_path, "n.json", text), Vocabulary(ids))
    assert names == {i: f"item {i}" for i in ids}
