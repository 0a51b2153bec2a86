"""JSON as a stream: one object, the entries of an array, or objects one after another (NDJSON).

Belongs here: syntax, positions, bounds on memory. Does not: what an entry means.
The grammar is RFC 8259's, read as leniently as Python's json module can: NaN and Infinity are
numbers, control characters may stand in strings, of equal names the last counts. Bytes that are
no UTF-8 reach the entry's text as lone surrogates (PEP 383).

An entry that is no JSON ends where its brackets are balanced again, so that its neighbours are
read all the same. Where they never are, or where the array itself is broken, reading ends.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import BinaryIO

BLOCK_BYTES = 1024 * 1024
#: The longest entry that is looked into.
ENTRY_CHARACTERS = 8 * 1024 * 1024

#: The longest end of a number's beginning that is none of a number, "e+" in "1e+5", and one more.
_NUMBER_TAIL = 3

_SPACE = re.compile(r"[ \t\n\r]*")
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|["\[\]{},]', re.DOTALL)
_DECODER = json.JSONDecoder(strict=False)


@dataclass(frozen=True, slots=True)
class Entry:
    """Entry ``number``, from 1. ``problem`` says why it is no JSON; ``last`` that reading ended.

    ``text`` is the entry as the file has it; behind a ``last`` problem, what follows.
    """

    number: int
    value: object
    text: str
    problem: str | None = None
    last: bool = False

    @property
    def raw(self) -> bytes:
        """The bytes in the file."""
        return self.text.encode(errors="surrogateescape")


@dataclass(frozen=True, slots=True)
class Document:
    """``array`` tells several entries from the one that the document is."""

    array: bool
    entries: Iterator[Entry]


class _Unfinished(Exception):
    """There is no end of the value in what was read so far."""


def read_document(stream: BinaryIO) -> Document:
    """The document; its first character must be ``[`` or ``{`` (after BOM and white space)."""
    reader = _Reader(stream)
    if reader.skip_space() == "[":
        return Document(array=True, entries=reader.array())
    first, several = reader.first()
    return Document(array=several, entries=chain((first,), reader.further() if several else ()))


class _Reader:
    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")(errors="surrogateescape")
        self._text = ""
        self._at = 0
        self._eof = False
        #: Characters and line feeds before ``_text``.
        self._before = 0
        self._lines = 0

    def skip_space(self) -> str:
        """The next character that is no white space, "" at the end."""
        while True:
            found = _SPACE.match(self._text, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if self._eof:
                return ""
            self._more()

    def first(self) -> tuple[Entry, bool]:
        """The document's first object, and whether others follow."""
        entry = self._entry(1)
        if entry.last or not (found := self.skip_space()):
            return entry, False
        if found == "{":
            return entry, True
        if entry.problem is None:
            problem = f"text after the end of the document, {self._position()}"
            entry = Entry(1, None, entry.text, problem, last=True)
        return entry, False

    def further(self) -> Iterator[Entry]:
        """The objects behind the first, whatever white space is between them."""
        number = 2
        while found := self.skip_space():
            if found != "{":
                yield self._broken(number, "expected another object")
                return
            entry = self._entry(number)
            yield entry
            if entry.last:
                return
            number += 1

    def array(self) -> Iterator[Entry]:
        """The entries of the array at the front."""
        self._at += 1
        number = 1
        if self.skip_space() == "]":
            self._at += 1
            yield from self._after(number)
            return
        while True:
            entry = self._entry(number)
            yield entry
            if entry.last:
                return
            number += 1
            if (found := self.skip_space()) == "]":
                self._at += 1
                yield from self._after(number)
                return
            if found != ",":
                yield self._broken(number, "expected a comma or the array's end" if found else "")
                return
            self._at += 1
            self.skip_space()

    def _after(self, number: int) -> Iterator[Entry]:
        if self.skip_space():
            yield self._broken(number, "text after the end of the array")

    def _entry(self, number: int) -> Entry:
        while True:
            try:
                return self._parsed(number)
            except _Unfinished as unfinished:
                if self._eof:
                    return self._broken(number, str(unfinished))
                if len(self._text) - self._at > ENTRY_CHARACTERS:
                    return self._broken(
                        number, f"no end of the entry within {ENTRY_CHARACTERS} characters"
                    )
                self._more()

    def _parsed(self, number: int) -> Entry:
        start, problem = self._at, None
        value: object = None
        try:
            value, end = _DECODER.raw_decode(self._text, start)
        except RecursionError:
            problem, end = f"nested too deeply, {self._position()}", self._balanced("")
        except json.JSONDecodeError as error:
            end = self._balanced(error.msg)
            problem = f"{error.msg}, {self._position(error.pos)}"
        except ValueError as error:  # an integer of thousands of digits
            problem, end = f"{error}, {self._position()}", self._balanced("")
        if len(self._text) - end < _NUMBER_TAIL and not self._eof:
            raise _Unfinished  # a number may go on in the next block
        self._at = end
        return Entry(number, value, self._text[start:end], problem)

    def _balanced(self, message: str) -> int:
        """Where the broken value at the front ends."""
        depth = 0
        for token in _TOKEN.finditer(self._text, self._at):
            mark = token.group()
            if mark in "[{":
                depth += 1
            elif mark in "]}":
                if depth == 0:
                    return token.start()
                depth -= 1
                if depth == 0:
                    return token.end()
            elif mark == "," and depth == 0:
                return token.start()
            elif mark == '"':
                break
        raise _Unfinished(message)

    def _broken(self, number: int, problem: str) -> Entry:
        problem = problem or "the document ends too early"
        rest = self._text[self._at : self._at + 2 * BLOCK_BYTES]
        return Entry(number, None, rest, f"{problem}, {self._position()}", last=True)

    def _position(self, at: int | None = None) -> str:
        at = self._at if at is None else at
        line = self._lines + self._text.count("\n", 0, at) + 1
        return f"character {self._before + at + 1}, line {line}"

    def _more(self) -> None:
        """Drop what is used up and read on, as much again as is left over, at least a block."""
        self._before += self._at
        self._lines += self._text.count("\n", 0, self._at)
        rest = self._text[self._at :]
        self._at = 0
        parts, missing = [rest], max(BLOCK_BYTES, len(rest))
        while missing > 0:
            data = self._stream.read(missing)
            parts.append(self._decoder.decode(data, final=not data))
            if not data:
                self._eof = True
                break
            missing -= len(data)
        self._text = "".join(parts)
