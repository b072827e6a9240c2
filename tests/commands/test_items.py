"""Raw ids on srgnn-recommend's command line: texts as they are typed, or one a line."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch
from hydra.core.override_parser.overrides_parser import OverridesParser

from pyg_srgnn import Recommender
from pyg_srgnn.commands import recommend
from pyg_srgnn.commands.command_line import quoted
from pyg_srgnn.commands.recommend import given_ids
from tests.commands import Result, run
from tests.inference.test_recommender import entries

# What a user types between the brackets, and the ids that it stands for.
TYPED = {
    "1_000": ["1_000"],
    "1e3": ["1e3"],
    "1.50": ["1.50"],
    "nan, true,null": ["nan", "true", "null"],
    "ünï,a#b,f(x),a=b,$x": ["ünï", "a#b", "f(x)", "a=b", "$x"],
    "0017,17,+17": ["0017", "17", "+17"],
    "red shoe , \"cap, blue\",'x'": ["red shoe", "cap, blue", "x"],
    "O'Neill,27\" screen": ["O'Neill", '27" screen'],
    r"cap\, blue": ["cap, blue"],
}
TEXTS = list(dict.fromkeys(raw for ids in TYPED.values() for raw in ids))
NUMBERS = [0, 17, 1000, -5, 3]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("items")
    for name, ids in (("texts", TEXTS), ("numbers", NUMBERS)):
        stored = entries(ids, clicks=torch.ones(len(ids), dtype=torch.long))
        torch.save(stored, folder / f"{name}.ckpt")
    return folder


def recommended(folder: Path, name: str, items: str) -> Result:
    checkpoint = folder / f"{name}.ckpt"
    return run(recommend.main, "srgnn-recommend", f"checkpoint={checkpoint}", items, "k=3")


def holds(result: Result, folder: Path, name: str, session: list[int | str]) -> None:
    assert (result.status, result.err) == (0, "")
    (best,) = Recommender.load(folder / f"{name}.ckpt").recommend([session], 3)
    width = max(len(str(raw)) for raw, _ in best)
    lines = [f"{n:>4}  {raw!s:>{width}}  {score:.4f}" for n, (raw, score) in enumerate(best, 1)]
    assert result.out.splitlines() == lines


@pytest.mark.slow
@pytest.mark.parametrize("typed", TYPED)
def test_ids_are_the_texts_that_were_typed(folder: Path, typed: str) -> None:
    holds(recommended(folder, "texts", f"items=[{typed}]"), folder, "texts", TYPED[typed])


def test_whole_numbers_are_typed_as_they_are_written(folder: Path) -> None:
    holds(
        recommended(folder, "numbers", "items=[17,0,1000,-5]"), folder, "numbers", [17, 0, 1000, -5]
    )
    result = recommended(folder, "numbers", "items=[0017,+17,1_000,1e3,3.0,-0,true,3]")
    assert "the model does not know" in result.err
    for raw in ("0017", "+17", "1_000", "1e3", "3.0", "-0", "true"):
        assert repr(raw) in result.err
    assert result.out == recommended(folder, "numbers", "items=[3]").out


@pytest.mark.slow
@pytest.mark.parametrize("text", ["{}", "\ufeff{}\n", "\n{}\n\n"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_one_id_a_line(folder: Path, text: str, newline: str) -> None:
    file = folder / "the ids, ü=1.txt"
    text = text.format("\n".join(TEXTS)).replace("\n", newline)
    file.write_bytes(text.encode())
    holds(recommended(folder, "texts", f"items=@{file}"), folder, "texts", TEXTS)


@pytest.mark.parametrize("name", ["texts", "numbers"])
def test_one_id_a_line_of_standard_input(
    folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = Recommender.load(folder / f"{name}.ckpt").vocabulary.ids
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(map(str, ids))))
    holds(recommended(folder, name, "items=-"), folder, name, ids)


def test_a_list_that_the_shell_has_cut_says_how_to_quote(folder: Path) -> None:
    result = recommended(folder, "texts", "items=[red")
    assert result.status == 1 and "Traceback" not in result.err
    assert "items=[red: the list does not end" in result.err
    assert "'items=[red shoe,\"cap, blue\"]'" in result.err and "items=@FILE" in result.err


def test_files_that_hold_no_ids(folder: Path) -> None:
    (folder / "latin").write_bytes("ünï".encode("latin-1"))
    for name, said in (
        ("latin", "expected text in UTF-8, one id per line"),
        ("none", "No such file"),
    ):
        result = recommended(folder, "texts", f"items=@{folder / name}")
        assert result.status == 1 and said in result.out and name in result.out
        assert "Traceback" not in result.out + result.err


@pytest.mark.slow
@pytest.mark.parametrize("override", ["items=[[17,4]]", "items=[{a:1}]", "items=@", "items=17"])
def test_what_is_no_list_of_ids_is_refused(folder: Path, override: str) -> None:
    result = recommended(folder, "texts", override)
    assert result.status == 1 and "one id per line, @FILE or - (standard input)" in result.out


@pytest.mark.parametrize("key", ["earlier", "allow", "deny"])
def test_other_lists_of_ids_are_typed_alike(key: str) -> None:
    for typed, ids in TYPED.items():
        parsed = OverridesParser.create().parse_override(quoted(f"{key}=[{typed}]", multirun=False))
        assert [str(raw) for raw in parsed.value()] == ids


def test_rules_of_ids_that_are_texts_or_numbers(folder: Path) -> None:
    checkpoint = f"checkpoint={folder / 'texts.ckpt'}"
    keys = ["items=[ünï]", "allow=[red shoe,ünï,1_000]", "deny=[ünï]", "k=9"]
    result = run(recommend.main, "srgnn-recommend", checkpoint, *keys)
    assert result.status == 0, result.err
    ids = {line[4:].rpartition("  ")[0].strip() for line in result.out.splitlines()}
    assert ids == {"red shoe", "1_000"}
    checkpoint = f"checkpoint={folder / 'numbers.ckpt'}"
    keys = ["items=[17]", "allow=[17,1000]", "deny=[17]", "k=9"]
    result = run(recommend.main, "srgnn-recommend", checkpoint, *keys)
    assert result.out.split()[1:2] == ["1000"] and len(result.out.splitlines()) == 1


def test_nothing_else_is_touched() -> None:
    for override in ("k=5", "items=null", "deny=null", "items=[]", "items=-", "split=items=[1]"):
        assert quoted(override, multirun=False) == override
    assert given_ids([17, "x"], whole=False) == ["17", "x"]
