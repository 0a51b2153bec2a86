"""History files: what a CSV file's first line says it holds, and reading it, compressed or not.

Belongs here: headers and their older names. Does not: CSV, compression (``assets/formats``),
what a value must be (``rows.py``).

A file holds *events* when its columns include user_id, content_id, read_percent and updated_at, and
*categories* when they include content_id and category_name; the old systems wrote pratilipi_id for
content_id. Columns may stand in any order, others are ignored. A file is UTF-8, with or without a
byte order mark, gzip or plain: its first bytes tell, whatever it is called.
Imported lazily: needs polars.
"""

from __future__ import annotations

import codecs
import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO, cast

from assets.formats import sniffed
from assets.formats.csv_header import Header
from assets.formats.csv_records import read_records
from assets.formats.csv_rules import Limits
from assets.formats.gzipped import plain
from assets.reading.kinds import KINDS, Kind
from landing.batch.chunks import Chunk, UnreadableObject, original_text

_OTHER_NAMES = {"pratilipi_id": "content_id"}

#: Whole lines, the header and the first one's number to a chunk of rows that need no other look.
Usual = Callable[[Kind, bytes, Header, int], Chunk | None]

_HEAD_BYTES = 64 * 1024
#: Larger blocks than usual, for the lines are short.
LIMITS = Limits(block_bytes=4 * 1024 * 1024)


@dataclass(frozen=True, slots=True)
class Layout:
    """What a header says: the kind of rows, and every column's name, the file's other ones too."""

    kind: Kind
    columns: tuple[str, ...]


def read_history_records(
    stream: BinaryIO, usual: Usual | None = None
) -> Iterator[tuple[Kind, Chunk]]:
    """Chunks of raw records with the columns of their kind, ``line`` and ``text``.

    Blocks that ``usual`` makes chunks of come as it has made them. A file without a line holds no
    record. Raises UnreadableObject before the first chunk: ``bad_header`` for other CSV and what is
    none, ``bad_gzip`` for a compressed file that is damaged or cut off, which is refused as a
    whole.
    """
    with plain(stream) as text:
        head = sniffed.head(text, _HEAD_BYTES)
        if not head.removeprefix(codecs.BOM_UTF8).strip(b"\r\n"):
            return
        found = layout(head)
        chunks = read_records(
            cast("BinaryIO", sniffed.Rejoined(head, text)),
            found.columns,
            named=_named,
            limits=LIMITS,
            whole=usual and partial(usual, found.kind),
        )
        for chunk in chunks:
            yield found.kind, chunk


def layout(head: bytes) -> Layout:
    """What the first line that is not blank says. Raises UnreadableObject (``bad_header``)."""
    line = sniffed.first_line(head)
    try:
        cells = next(csv.reader([line.decode()], strict=True), [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise UnreadableObject("bad_header", str(error), original_text(line)) from error
    names = _named(cells)
    kinds = [kind for kind in KINDS if set(kind.names) <= set(names)]
    twice = {name for kind in kinds for name in kind.names if names.count(name) > 1}
    if len(kinds) == 1 and not twice:
        return Layout(kinds[0], names)
    needed = " or ".join(", ".join(kind.names) for kind in KINDS)
    detail = f"twice: {', '.join(sorted(twice))}" if twice else f"expected {needed}, not both"
    raise UnreadableObject("bad_header", detail, original_text(line))


def _named(cells: list[str]) -> tuple[str, ...]:
    """Columns by the names that we use; others by their number, for no two may be called alike."""
    known = {name for kind in KINDS for name in kind.names}
    names = [_OTHER_NAMES.get(cell.strip().lower(), cell.strip().lower()) for cell in cells]
    return tuple(
        name if name in known else f"column {number}" for number, name in enumerate(names, start=1)
    )
