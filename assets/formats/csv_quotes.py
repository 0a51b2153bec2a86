"""One CSV record with quoted fields, byte by byte.

Belongs here: where a record's fields and its end are. Does not: whole blocks (``csv_blocks``), and
what is wrong with a field.
"""

from __future__ import annotations

_QUOTE = ord('"')
_COMMA = ord(",")


class OpenRecordError(Exception):
    """The record is still open at the end of what was read."""


class UnclosedQuoteError(Exception):
    """A quoted field that does not end where one may end."""


def scan_record(block: bytes, start: int, stop: int, *, grows: bool) -> tuple[list[bytes], int]:
    """The fields of the record at ``start`` and the offset behind its line end.

    Raises UnclosedQuoteError when a quoted field does not end before ``stop``, or OpenRecordError
    instead when the block ``grows``.
    """
    fields: list[bytes] = []
    at = start
    line_end = block.index(b"\n", start)
    while True:
        if block[at] == _QUOTE:
            close = _closing_quote(block, at + 1, stop)
            if close < 0 and grows:
                raise OpenRecordError
            if close < 0:
                raise UnclosedQuoteError(f"field {len(fields) + 1} is not closed within its bounds")
            fields.append(block[at + 1 : close].replace(b'""', b'"'))
            at = close + 1
            if at > line_end:
                line_end = block.index(b"\n", at)
            if block[at] == _COMMA:
                at += 1
                continue
            if block[at:line_end] in (b"", b"\r"):
                return fields, line_end + 1
            raise UnclosedQuoteError(f"text follows the closing quote of field {len(fields)}")
        comma = block.find(b",", at, line_end)
        if comma < 0:
            fields.append(block[at:line_end].removesuffix(b"\r"))
            return fields, line_end + 1
        fields.append(block[at:comma])
        at = comma + 1


def _closing_quote(block: bytes, at: int, stop: int) -> int:
    """The offset of the quote that ends a field, doubled ones skipped; -1 when there is none."""
    while (found := block.find(b'"', at, stop)) >= 0:
        if block[found + 1] != _QUOTE:
            return found
        at = found + 2
    return -1
