"""Texts on the command line that Hydra's grammar does not know: letters beyond ASCII, and signs."""

from __future__ import annotations

from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from pyg_srgnn.commands import prepare
from pyg_srgnn.commands.command_line import quoted
from tests.commands import run

# What is typed after key=, and its value.
TYPED: dict[str, Any] = {
    "Größe": "Größe",
    "Größe (EU)": "Größe (EU)",
    "it's": "it's",
    "a=ü": "a=ü",
    "%d.%m.%Y um %H:%M Uhr für": "%d.%m.%Y um %H:%M Uhr für",
    ";": ";",
    "{cat: Hüte}": {"cat": "Hüte"},
    "{cat: [Hüte, Schuhe, 3], price: {max: 5}, brand: {not: O'Neill & Söhne}}": {
        **{"cat": ["Hüte", "Schuhe", 3], "price": {"max": 5}},
        "brand": {"not": "O'Neill & Söhne"},
    },
    "[größe,'ü, ö',true]": ["größe", "ü, ö", True],
    "[[ä,b (ü)],{c: <5}]": None,  # b (…) might be a function
    "[[ä,ö (ü)],{c: <5}]": [["ä", "ö (ü)"], {"c": "<5"}],
    "${oc.env:Ü}": "${oc.env:Ü}",
}
# What may be meant in several ways, or in none; the second part of each is said.
UNCLEAR = {
    "dataset.item=Größe, EU": "Hydra reads ö in quotes alone; a text is quoted as in "
    "\"dataset.item='Größe, EU'\"",
    "dataset.item=size (EU)": "a text is quoted as in \"dataset.item='size (EU)'\"",
    "dataset.item='Größe": "its quotes do not end where it ends",
    "dataset.text=[a,b (ü)]": "a text in a list is quoted as in \"dataset.text=[one, 'a text']\"",
    "dataset.where={url: http://ü}": "as in \"dataset.where={name: 'a text'}\"",
    "dataset.where={größe: {max: 3}, cat: Hüte}": "a name in braces, as größe, has",
    "dataset.größe=3": "a key has letters of ASCII alone",
}


@pytest.mark.parametrize("typed", TYPED)
@pytest.mark.parametrize("multirun", [False, True])
def test_a_plain_text_needs_no_quotes(typed: str, multirun: bool) -> None:
    read = quoted(f"+key={typed}", multirun)
    if TYPED[typed] is None:
        assert read == f"+key={typed}"
    else:
        assert OverridesParser.create().parse_override(read).value() == TYPED[typed]


def test_a_sweep_of_them() -> None:
    parsed = OverridesParser.create().parse_override(quoted("key=ä,b", multirun=True))
    assert list(parsed.sweep_string_iterator()) == ["'ä'", "b"]
    assert quoted("key=choice(ä,b)", multirun=True) == "key=choice('ä',b)"
    assert quoted("key=ä,b", multirun=False) == "key=ä,b", "a text, or a list?"


def test_what_hydra_reads_stays_as_it_is() -> None:
    for word in ("a='ü'", 'a={b: "ü"}', "a=b=c", "a=[1", "a=choice(null,1)", "a=1,2", r"a=ü\,b"):
        assert quoted(word, multirun=False) == word


@pytest.mark.parametrize("word", UNCLEAR)
def test_what_is_not_clear_says_how_it_is_quoted(word: str) -> None:
    result = run(prepare.main, "srgnn-prepare", "dataset=click_log", word)
    (line,) = result.err.splitlines()
    assert result.status == 1 and line.startswith(f"srgnn-prepare: {word} cannot be read: ")
    assert UNCLEAR[word] in line and "Lexer" not in line and "See " not in line


def test_a_command_takes_them() -> None:
    words = ["dataset=click_log", "dataset.path=x.csv", "dataset.item=Größe"]
    result = run(
        prepare.main, "srgnn-prepare", *words, "dataset.where={art: größe}", "--cfg", "job"
    )
    assert result.status == 0, result.err
    log = OmegaConf.create(result.out).dataset
    assert log.item == "Größe" and log.where == {"art": "größe"}
