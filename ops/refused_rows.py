"""Rows that sinks refuse, for people: with their original text while their object is there.

Belongs here: from the ledger's refused rows to entries like those of quarantine. Does not: the
table itself (``landing/batch/refused.py``), what is printed (``quarantine.py``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from landing.batch.chunks import original_text
from landing.batch.reasons import REJECTED_BY_SINK
from landing.stores.base import ObjectNotCurrent, ObjectStore
from ops.rejects import Reject, physical_lines, text_of

if TYPE_CHECKING:
    from landing.batch.refused import NotedRefusal

_GONE = "(its object holds another version by now)"


def entries(refused: Sequence[NotedRefusal], landing: ObjectStore | None) -> Iterator[Reject]:
    """One entry per row; its text is its first line in ``landing``, where objects are of lines."""
    by_source = sorted(refused, key=lambda one: (one.row.source or "", one.row.line or 0))
    for source, rows in groupby(by_source, lambda one: one.row.source or ""):
        found = list(rows)
        place, _, version = source.rpartition("#")
        key = place.partition("://")[2].partition("/")[2]
        texts = _texts(landing, key, version, {one.row.line or 0 for one in found})
        for one in found:
            text, cut = texts.get(one.row.line or 0, (f"record {one.row.record_key}", False))
            yield Reject(
                source=source or "?",
                key=key,
                version=version,
                line=one.row.line,
                reason=REJECTED_BY_SINK.code,
                detail=f"{one.sink}: {one.row.detail}",
                text=text,
                truncated=cut,
            )


def _texts(
    landing: ObjectStore | None, key: str, version: str, wanted: set[int]
) -> dict[int, tuple[str, bool]]:
    if landing is None or not key:
        return {}
    current = landing.stat(key)
    if current is None or current.version != version:
        return dict.fromkeys(wanted, (_GONE, False))
    try:
        with landing.open(current) as stream, text_of(stream) as (dialect, text):
            lines = (
                (number, original_text(dialect.line_as_written(line)))
                for number, line in physical_lines(text)
                if number in wanted
            )
            return dict(lines)
    except ObjectNotCurrent:
        return dict.fromkeys(wanted, (_GONE, False))
