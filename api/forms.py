"""A form with files (multipart/form-data), read as its bytes come.

Belongs here: the protocol, by python-multipart's streaming parser. Does not: what becomes of a file
(``uploads.py``); small forms of pages (``pages/session.py``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

_HEADERS = 16
_HEADER_BYTES = 8_192
#: The parser's library shortens such names to what is behind the last backslash.
_WINDOWS_PATH = re.compile(rb'filename="?(?:.:\\|\\\\)', re.IGNORECASE)


class BrokenFormError(ValueError):
    """The body is not the form that its header announces, or breaks off."""


class NotAFormError(ValueError):
    """The header announces no form with files."""


@dataclass(frozen=True, slots=True)
class Begins:
    """A part begins; ``filename`` is None for a field without a file, as it was sent otherwise."""

    field: str
    filename: bytes | None


class Ends:
    """The part is whole."""


Event = Begins | bytes | Ends


class Form:
    """The form of one request. Raises NotAFormError for a ``content_type`` of something else."""

    def __init__(self, content_type: str) -> None:
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if kind != b"multipart/form-data" or not boundary:
            raise NotAFormError("a form with files is sent as multipart/form-data with a boundary")
        self._events: list[Event] = []
        self._headers: dict[bytes, bytes] = {}
        self._field = self._value = b""
        self._whole = False
        told: Any = {
            "on_part_begin": self._headers.clear,
            "on_header_begin": self._header_begins,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_ends,
            "on_headers_finished": self._headers_end,
            "on_part_data": self._data,
            "on_part_end": lambda: self._events.append(Ends()),
            "on_end": self._ends,
        }
        try:
            self._parser = MultipartParser(
                boundary, told, max_header_count=_HEADERS, max_header_size=_HEADER_BYTES
            )
        except FormParserError as error:
            raise NotAFormError(str(error)) from error

    def feed(self, data: bytes) -> Iterator[Event]:
        """What the next bytes of the body tell. Raises BrokenFormError, after what was whole."""
        broken: FormParserError | None = None
        try:
            self._parser.write(data)
        except FormParserError as error:
            broken = error
        events, self._events = self._events, []
        yield from events
        if broken:
            raise BrokenFormError(str(broken)) from broken

    def require_end(self) -> None:
        """Raises BrokenFormError unless the form has come to its end."""
        if not self._whole:
            raise BrokenFormError("the body ends before its last boundary")

    def _header_begins(self) -> None:
        self._field = self._value = b""

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_ends(self) -> None:
        self._headers[self._field.lower()] = self._value

    def _headers_end(self) -> None:
        said = self._headers.get(b"content-disposition", b"")
        _, options = parse_options_header(said.decode("latin-1"))
        name = options.get(b"filename")
        if name is not None and _WINDOWS_PATH.search(said):
            name = b"\\" + name
        field = options.get(b"name", b"").decode("utf-8", "backslashreplace")
        self._events.append(Begins(field, name))

    def _data(self, data: bytes, start: int, end: int) -> None:
        self._events.append(bytes(data[start:end]))

    def _ends(self) -> None:
        self._whole = True
