"""Reads pickled lists, tuples and integers from untrusted files.

A pickle is a program, and :func:`pickle.load` runs it. The public benchmark files are pickles from
the internet, so they are read by an interpreter that knows only the instructions for building
lists, tuples and integers. It never imports, calls or looks up anything.
"""

from __future__ import annotations

import pickletools
from pathlib import Path
from typing import Any

MAX_DEPTH = 3
"""Lists and tuples inside one another: a pair of lists of prefixes is three deep."""

_DIGITS = 20  # of a decimal integer, the sign among them: enough for 64 bits


class UnsafePickleError(ValueError):
    """A file is not a pickle of lists, tuples and integers, or is broken."""


def load_lists(path: str | Path) -> Any:
    """Read a pickle that holds lists, tuples and integers and nothing else.

    Every pickle protocol (0 to 5) is understood. Time and memory grow with the size of the file
    and with nothing that is written in it: an object cannot be used twice (``GET``, ``DUP``), so
    neither a bomb of nested lists nor a list that holds itself can be expressed.

    Args:
        path: The file.

    Returns:
        The list, tuple or integer, at most :data:`MAX_DEPTH` containers deep.

    Raises:
        UnsafePickleError: If the file holds anything else, is cut short, or is not a pickle.
        OSError: If the file cannot be read.
    """
    path = Path(path)
    data = path.read_bytes()
    try:
        value = _build(data)
        _check_depth(value)
    except UnsafePickleError as error:
        raise UnsafePickleError(
            f"{path}: {error}; expected a pickle of lists, tuples and integers only "
            f"({len(data):,} bytes read, the first of them {data[:24]!r}). Nothing in it was run."
        ) from None
    return value


def _build(data: bytes) -> Any:
    """Run the pickle machine; each mark opens a stack of its own, and nothing reaches below it."""
    if not data:
        raise UnsafePickleError("found an empty file")
    stack: list[Any] = []
    below: list[list[Any]] = []  # the stacks under the open marks
    i = code = 0
    end = len(data)
    integer = int.from_bytes
    try:
        while True:
            code = data[i]
            i += 1
            # The commonest first: a click is one BININT2, a session is ( … e ] and a memo number.
            if code == 0x4D:  # BININT2
                stack.append(data[i] | data[i + 1] << 8)
                i += 2
            elif code == 0x28:  # MARK
                below.append(stack)
                stack = []
            elif code == 0x65:  # APPENDS
                items = stack
                stack = below.pop()
                stack[-1].extend(items)
            elif code == 0x5D:  # EMPTY_LIST
                stack.append([])
            elif code == 0x72:  # LONG_BINPUT: a memo that is never read need not be kept
                i += 4
            elif code == 0x94:  # MEMOIZE
                pass
            elif code == 0x4B:  # BININT1
                stack.append(data[i])
                i += 1
            elif code == 0x61:  # APPEND
                item = stack.pop()
                stack[-1].append(item)
            elif code == 0x71:  # BINPUT
                i += 1
            elif code == 0x4A:  # BININT
                stack.append(integer(data[i : i + 4], "little", signed=True))
                i += 4
            elif code == 0x8A:  # LONG1
                size = data[i]
                if size > 8:
                    raise UnsafePickleError(f"found an integer of {size} bytes at byte {i - 1:,}")
                stack.append(integer(data[i + 1 : i + 1 + size], "little", signed=True))
                i += 1 + size
            elif code in b"IL":  # INT, LONG: decimal digits up to the end of the line
                line, i = _line(data, i)
                stack.append(_decimal(line, i))
            elif code == 0x70:  # PUT
                _, i = _line(data, i)
            elif code == 0x6C:  # LIST
                items = stack
                stack = below.pop()
                stack.append(items)
            elif code == 0x74:  # TUPLE
                items = stack
                stack = below.pop()
                stack.append(tuple(items))
            elif code == 0x29:  # EMPTY_TUPLE
                stack.append(())
            elif 0x85 <= code <= 0x87:  # TUPLE1, TUPLE2, TUPLE3
                size = code - 0x84
                if len(stack) < size:
                    raise IndexError
                stack[-size:] = [tuple(stack[-size:])]
            elif code == 0x80:  # PROTO
                if data[i] > 5:
                    raise UnsafePickleError(f"found pickle protocol {data[i]} (known: 0 to 5)")
                i += 1
            elif code == 0x95:  # FRAME: a hint for readers of streams
                i += 8
            elif code == 0x2E:  # STOP
                break
            else:
                raise UnsafePickleError(f"found {_name(code)} at byte {i - 1:,}")
    except (IndexError, AttributeError):
        if i >= end:
            raise UnsafePickleError("found a file that is cut short") from None
        raise UnsafePickleError(f"found {_name(code)} out of place at byte {i - 1:,}") from None
    if i != end:
        raise UnsafePickleError(f"found {end - i:,} bytes after the end of the pickle")
    if below or len(stack) != 1:
        raise UnsafePickleError("found a pickle that does not end in one value")
    return stack[0]


def _line(data: bytes, start: int) -> tuple[bytes, int]:
    """Return the line from ``start`` and the place after it."""
    end = data.find(b"\n", start, start + 64)
    if end < 0:
        raise UnsafePickleError(f"found no end of the number at byte {start:,}")
    return data[start:end], end + 1


def _decimal(line: bytes, place: int) -> int:
    """Return the 64-bit integer on a line; ``00`` and ``01`` are False and True there."""
    digits = line.removesuffix(b"L")
    whole = digits.removeprefix(b"-").isdigit() and len(digits) <= _DIGITS
    value = int(digits) if whole and digits not in (b"00", b"01") else 1 << 63
    if not -(1 << 63) <= value < 1 << 63:
        raise UnsafePickleError(f"found {line!r} before byte {place:,} in place of an integer")
    return value


def _name(code: int) -> str:
    """Return the name of a pickle instruction, for people."""
    names = {ord(known.code): known.name for known in pickletools.opcodes}
    return f"the instruction {names[code]}" if code in names else f"no instruction ({code:#04x})"


def _check_depth(value: Any) -> None:
    """Refuse containers nested deeper than :data:`MAX_DEPTH`."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            item
            for container in level
            if not isinstance(container, int)
            for item in container
            if not isinstance(item, int)
        ]
        if not level:
            return
    raise UnsafePickleError(f"found lists nested more than {MAX_DEPTH} deep")
