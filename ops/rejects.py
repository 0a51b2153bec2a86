"""Rejected rows put back into the landing bucket, byte for byte as they first arrived.

Belongs here: which rejects can be put back, and cutting them out of their source object. Does not:
the ledger, or what the operator is told (``ops.quarantine``).

Rows of each source version come in an object of their own, which is ordered as that version: they
never overwrite what has arrived since they were rejected.

The original bytes are taken from the source object, not from the quarantine's text: there, bytes
that are no UTF-8 are spelled out and long rows are cut. That needs the object to hold the same
version still. A newer version has arrived by itself, and says what counts.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import groupby
from typing import IO, TYPE_CHECKING, BinaryIO

from landing.batch.chunks import TEXT_BYTES, original_text
from landing.batch.reasons import RejectReason
from landing.stores.base import ObjectNotCurrent, ObjectStore
from ops.terminal import table

if TYPE_CHECKING:
    import polars as pl

    from assets.formats.csv_dialect import Dialect

_BLOCK_BYTES = 1024 * 1024
#: Kept of a physical line: enough to see that it is longer than the quarantine's text.
_LINE_BYTES = TEXT_BYTES + 2


#: Told that an object at the second key will hold rejects of the first: a key and its version.
Note = Callable[[tuple[str, str], str], None]


@dataclass(frozen=True, slots=True)
class Reject:
    """One entry of a batch's quarantine; ``line`` is None for an object rejected as a whole."""

    source: str
    key: str
    version: str
    line: int | None
    reason: str
    detail: str | None
    text: str
    truncated: bool

    def refusal(self, reasons: Mapping[str, RejectReason]) -> str | None:
        """Why this entry cannot be put back, or None when it can."""
        if self.line is None:
            return "whole object: correct it and upload it again, it is still where it was"
        if self.reason in reasons and reasons[self.reason].final:
            return reasons[self.reason].final
        if self.truncated:
            return "longer than 64 KiB: correct it and upload it again"
        return None


@dataclass(slots=True)
class Replayed:
    """What was put back: rows per new object's URI; and how many were not, per reason."""

    objects: dict[str, int] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)

    @property
    def rows(self) -> int:
        """Rows put back."""
        return sum(self.objects.values())


def entries(frames: Iterable[pl.DataFrame]) -> Iterator[Reject]:
    """The entries of a batch's quarantine, in its order: per object, lines ascending."""
    columns = ("source", "key", "version", "line", "reason", "detail", "text", "truncated")
    for frame in frames:
        for row in frame.select(columns).iter_rows():
            yield Reject(*row)


def legend(found: Iterable[str], reasons: Mapping[str, RejectReason]) -> str:
    """What each of the reasons means and what to do, as a table below an empty line."""
    rows = [
        (code, f"{reasons[code].meaning} → {reasons[code].remedy}")
        for code in found
        if code in reasons
    ]
    return f"\n{table(rows)}" if rows else ""


def put_back(
    rejects: Iterable[Reject],
    landing: ObjectStore,
    *,
    prefix: str,
    suffix: str,
    batch_id: str,
    reasons: Mapping[str, RejectReason],
    note: Note,
) -> Replayed:
    """Write the rejects that can be as new objects, one per source object, under ``prefix``.

    Keys are ``<prefix>replay/<batch>-<n><suffix>``: the same call writes the same objects again.
    Each has the header of its source object, whose columns may stand in any order. ``reasons`` are
    the pipeline's, by code. ``note`` is told of each object before it is put. What was compressed
    or in UTF-16 is neither any more.
    """
    result = Replayed()
    number = 0
    for (key, version), group in groupby(rejects, lambda r: (r.key, r.version)):
        willing: list[Reject] = []
        for reject in group:
            refusal = reject.refusal(reasons)
            if refusal is None:
                willing.append(reject)
            else:
                result.refused[refusal] += 1
        if not willing:
            continue
        target = f"{prefix}replay/{batch_id}-{number}{suffix}"
        number += 1
        with tempfile.TemporaryFile(prefix="quintet-") as file:
            refusal = _copy(landing, key, version, willing, file)
            if refusal is not None:
                result.refused[refusal] += len(willing)
                continue
            file.seek(0)
            note((key, version), target)
            put = landing.put(
                target,
                file,
                content_type="text/csv",
            )
            result.objects[put.uri] = len(willing)
    return result


def _copy(
    landing: ObjectStore,
    key: str,
    version: str,
    rejects: list[Reject],
    file: IO[bytes],
) -> str | None:
    """Write the source's header and these rows to ``file``; why not, if that is impossible."""
    current = landing.stat(key)
    if current is None:
        return f"{key} was deleted, and its header with it: upload the rows as a file"
    if current.version != version:
        return f"{key} was replaced: its newer version arrives by itself"
    try:
        with landing.open(current) as stream, text_of(stream) as (dialect, text):
            return _cut_out(physical_lines(text), dialect, rejects, file)
    except ObjectNotCurrent:
        return f"{key} changed while it was read: its newer version arrives by itself"


def text_of(stream: BinaryIO) -> AbstractContextManager[tuple[Dialect, BinaryIO]]:
    """An object's text as CSV is read, whatever its columns are."""
    from assets.formats.csv_dialect import read_as_usual

    return read_as_usual(stream, len)


def _cut_out(
    lines: Iterator[tuple[int, bytes]], dialect: Dialect, rejects: list[Reject], file: IO[bytes]
) -> str | None:
    from assets.formats.csv_dialect import SEPARATOR_LINE

    for _, line in lines:
        if not line.strip(b"\r\n"):
            continue
        file.write(dialect.line_as_written(line))
        if not SEPARATOR_LINE.fullmatch(line):
            break
    line_end = "\r" if dialect.cr else "\n"
    for reject in rejects:
        height = reject.text.count(line_end) + 1
        raw = b""
        for number, line in lines:
            if number >= (reject.line or 0):
                raw += line
                height -= 1
            if height == 0:
                break
        raw = dialect.line_as_written(raw if raw.endswith(b"\n") else raw + b"\n")
        if original_text(raw)[0] != reject.text:
            return f"{reject.key} line {reject.line} is not what was rejected: upload it again"
        file.write(raw)
    return None


def physical_lines(stream: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """Lines with their numbers from 1 and their ends, each kept up to a little over 64 KiB."""
    number, kept = 1, b""
    while block := stream.read(_BLOCK_BYTES):
        *whole, rest = block.split(b"\n")
        for piece in whole:
            yield number, (kept + piece)[:_LINE_BYTES] + b"\n"
            number, kept = number + 1, b""
        kept = (kept + rest)[:_LINE_BYTES]
    if kept:
        yield number, kept
