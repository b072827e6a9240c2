from __future__ import annotations

import builtins
import gzip
import os
import pickle
import resource
import struct
import time
from collections import OrderedDict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyg_srgnn.datasets.unpickling import UnsafePickleError, load_lists

PROTOCOLS = range(6)
LIST = b"\x80\x03]q\x00"


@pytest.fixture
def load(tmp_path):
    def of_bytes(data: bytes):
        path = tmp_path / "file.txt"
        path.write_bytes(data)
        return load_lists(path)

    return of_bytes


sessions = st.lists(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=5), max_size=5)


@pytest.mark.slow
@given(value=st.tuples(sessions, sessions) | sessions | st.tuples() | st.integers(0, 2**33))
@pytest.mark.parametrize("protocol", PROTOCOLS)
@settings(max_examples=40, deadline=None)
def test_what_is_written_is_read(tmp_path_factory, protocol, value):
    path = tmp_path_factory.getbasetemp() / "value"
    path.write_bytes(pickle.dumps(value, protocol))
    assert load_lists(path) == value


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_a_damaged_file_is_refused_or_read_as_python_reads_it(tmp_path_factory, data):
    """Never another value than pickle's, and never another error than ours."""
    value = data.draw(st.tuples(sessions, sessions))
    content = bytearray(pickle.dumps(value, data.draw(st.integers(0, 5))))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(content)
    try:
        found = load_lists(path)
    except UnsafePickleError:
        return
    try:
        expected = pickle.loads(content)
    except Exception:  # the memo is no business of ours, so we may read what pickle cannot
        return
    assert found == expected


class Call:
    """Pickles as a call of ``function`` with ``arguments``."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


class Outer:
    class Inner:
        pass


def payloads(sentinel: Path) -> dict[str, object]:
    command = f"touch {sentinel}"
    return {
        "os.system": Call(os.system, command),
        "builtins.eval": Call(builtins.eval, f"__import__('os').system({command!r})"),
        "builtins.exec": Call(builtins.exec, f"open({str(sentinel)!r}, 'w')"),
        "nested class": Outer.Inner,
        "object of a nested class": Outer.Inner(),
        "inside a list": [[1, 2], [3, Call(os.system, command)]],
        "inside a pair": ([[1]], [Call(os.system, command)]),
        "dict": {1: 2},
        "ordered dict": OrderedDict({1: 2}),
        "string": ["1", "2"],
        "bytes": [b"1"],
        "bytearray": [bytearray(b"1")],
        "set": {1, 2},
        "frozenset": frozenset({1}),
        "float": [1.0],
        "none": [None],
        "bool": [True, False],
        "function": print,
        "large integer": [2**64],
        "huge integer": [2**4000],
    }


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("kind", payloads(Path()))
def test_other_things_are_refused_and_nothing_is_executed(load, tmp_path, kind, protocol):
    sentinel = tmp_path / "executed"
    data = pickle.dumps(payloads(sentinel)[kind], protocol)
    with pytest.raises(UnsafePickleError, match=r"file\.txt: found .* expected a pickle of lists"):
        load(data)
    assert not sentinel.exists()


def test_the_payloads_would_have_worked(tmp_path):
    """Else the test above would prove nothing."""
    sentinel = tmp_path / "executed"
    pickle.loads(pickle.dumps(payloads(sentinel)["inside a pair"]))
    assert sentinel.exists()


HAND_WRITTEN = {
    "global": b"cos\nsystem\n(S'true'\ntR.",
    "inst": b"(S'true'\nios\nsystem\n.",
    "persistent id": b"Pwhatever\n.",
    "persistent id, binary": b"\x80\x02]Q.",
    "extension": b"\x80\x02\x82\x01.",
    "stack_global": b"\x80\x04\x8c\x02os\x8c\x06system\x93.",
    "out of band buffer": b"\x80\x05\x97.",
    "get": LIST + b"h\x00a.",
    "dup": LIST + b"2a.",
    "pop": LIST + b"0.",
}


@pytest.mark.parametrize("kind", HAND_WRITTEN)
def test_the_instruction_is_named(load, kind):
    with pytest.raises(UnsafePickleError, match=r"found the instruction [A-Z_0-9]+ at byte \d"):
        load(HAND_WRITTEN[kind])


def test_a_list_that_holds_itself(load):
    loop: list = []
    loop.append(loop)
    for protocol in PROTOCOLS:
        with pytest.raises(UnsafePickleError, match="GET at byte"):
            load(pickle.dumps(loop, protocol))


def test_a_tuple_that_holds_itself(load):
    loop: list = []
    pair = (loop, 1)
    loop.append(pair)
    for protocol in PROTOCOLS:
        with pytest.raises(UnsafePickleError, match="found the instruction"):
            load(pickle.dumps(pair, protocol))


def within(seconds: float, mebibytes: float):
    class Limits:
        def __enter__(self):
            self.start = time.process_time()
            self.peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

        def __exit__(self, *error):
            assert time.process_time() - self.start < seconds
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - self.peak
            assert grown < mebibytes * 1024

    return Limits()


def test_a_bomb_of_nested_lists(load):
    """Each list holds the one before ten times; thirty of them would be 10^30 clicks."""
    bomb: list = [1]
    for _ in range(30):
        bomb = [bomb] * 10
    for protocol in PROTOCOLS:
        with within(1, 10), pytest.raises(UnsafePickleError, match=r"the instruction \w*GET"):
            load(pickle.dumps(bomb, protocol))


@pytest.mark.slow
@pytest.mark.parametrize(
    "data",
    [
        LIST + b"]" * 100_000 + b"a" * 100_000 + b".",  # lists in lists
        b"\x80\x03)" + b"\x85" * 100_000 + b".",  # tuples in tuples
        b"(" * 100_000 + b"l" * 100_000 + b".",  # marks in marks
        pickle.dumps([[[[1]]]]),
    ],
    ids=["lists", "tuples", "marks", "four"],
)
def test_depth(load, data):
    with within(2, 200), pytest.raises(UnsafePickleError, match="nested more than 3 deep"):
        load(data)


def test_three_deep_is_what_the_benchmarks_need(load):
    assert load(pickle.dumps(([[1, 2]], [3]))) == ([[1, 2]], [3])


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x04\x8b" + struct.pack("<i", 2**31 - 1),  # LONG4
        b"\x80\x04\x8e" + struct.pack("<Q", 2**62),  # BINBYTES8
        b"\x80\x05\x96" + struct.pack("<Q", 2**62),  # BYTEARRAY8
        b"\x80\x04\x8d" + struct.pack("<Q", 2**62),  # BINUNICODE8
        b"\x80\x02T" + struct.pack("<i", 2**31 - 1),  # BINSTRING
        b"\x80\x02\x8a\xff" + b"\x01" * 255 + b".",  # LONG1 beyond 64 bits
        b"I" + b"9" * 10_000_000 + b"\n.",  # digits take quadratic time
        b"L" + b"9" * 60 + b"L\n.",
        b"\x80\x04\x95" + struct.pack("<Q", 2**62),  # FRAME
        LIST + b"r" + struct.pack("<I", 2**32 - 1),  # memo number: a table up to there
    ],
)
def test_large_sizes_cost_nothing(load, data):
    with within(0.5, 20), pytest.raises(UnsafePickleError):
        load(data)


def test_a_large_memo_number_costs_nothing(load):
    with within(0.5, 20):
        assert load(LIST + b"r" + struct.pack("<I", 2**32 - 1) + b".") == []


def test_a_large_frame_costs_nothing(load):
    with within(0.5, 20):
        assert load(b"\x80\x04\x95" + struct.pack("<Q", 2**62) + b"].") == []


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_truncated_file_is_refused_wherever_it_ends(load, protocol):
    data = pickle.dumps(([[1, 300], [70_000, 2**40]], [5, 6]), protocol)
    for end in range(len(data)):
        with pytest.raises(UnsafePickleError, match=r"found .*; expected a pickle"):
            load(data[:end])


BROKEN = {
    b"": "an empty file",
    b"\x80\x03": "a file that is cut short",
    b"\x80\x03]q\x00.]": "1 bytes after the end",
    b"\x80\x03].junk": "4 bytes after the end",
    b"\x80\x03]].": "does not end in one value",
    b"\x80\x03(].": "does not end in one value",
    b"\x80\x03.": "does not end in one value",
    b"\x80\x03e].": "APPENDS out of place",
    b"\x80\x03(K\x01e.": "APPENDS out of place",
    b"\x80\x03K\x01K\x02a.": "APPEND out of place",
    b"\x80\x03K\x01\x86.": "TUPLE2 out of place",
    b"\x80\x09].": "pickle protocol 9",
    b"\x80\x03\xfe.": r"no instruction \(0xfe\)",
    b"I01\n.": r"b'01' before byte 4 in place of an integer",
    b"I1_000\n.": r"in place of an integer",
    b"Ifour\n.": r"in place of an integer",
    b"1,2,3\n4,5\n": "the instruction POP_MARK",  # text
    b"session_id;item\n": "the instruction",
    b"<!DOCTYPE html>": "no instruction",  # what a dead link often gives
    gzip.compress(pickle.dumps([[1]]), mtime=0): "no instruction",
    b"PK\x03\x04": "the instruction PERSID",  # a zip file
}


@pytest.mark.parametrize("data", BROKEN)
def test_the_error_names_file_found_and_expected(load, data):
    with pytest.raises(UnsafePickleError, match=BROKEN[data]) as error:
        load(data)
    assert isinstance(error.value, ValueError)
    text = str(error.value)
    assert "file.txt: found" in text and "expected a pickle of lists, tuples and integers" in text
    assert f"{len(data):,} bytes read" in text


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_lists(tmp_path / "none")


def test_it_is_fast(load):
    value = [[i % 40_000 + 1] * 5 for i in range(20_000)]
    data = pickle.dumps(value, 3)
    start = time.process_time()
    assert load(data) == value
    assert time.process_time() - start < 2  # of this process, whatever else runs; 0.04 s as a rule
