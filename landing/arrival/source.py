"""A source: one prefix of one bucket whose objects start one pipeline.

Belongs here: what is declared about a source. Does not: what has arrived in it (the ledger).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from landing.arrival.identity import ObjectVersion, StoreKind

#: Bytes of an object that say which unit it is of.
UNIT_BYTES = 1024 * 1024

#: Suffixes that uploaders use while a file is still being written.
TEMPORARY_SUFFIXES = (".tmp", ".part", ".partial", ".crdownload", ".filepart", "._COPYING_")


@dataclass(frozen=True, slots=True)
class Source:
    """What the scan looks at and how its objects become batches.

    ``pattern`` must match the whole key. ``sinks`` are the names under which the pipeline's
    writing assets report a batch as done. ``ordered_keys`` declares that new keys always sort
    after older ones, less ``overlap_keys`` keys at the end that are listed again each time. Above
    ``large_bytes`` a batch is worth a process per sink: for CSV, that is about 20,000 rows.
    ``empty_objects`` are taken where an object's name says all.
    ``unit`` gives the partition that an object's run works on (a month, a task), and a batch then
    holds objects of one unit only; it raises ValueError for an object that names none, which is
    not taken. Without it a batch's partition is its own id.
    ``unit_in`` gives it from what the object holds, at most UNIT_BYTES and one byte more of it,
    where its name does not tell; of an object that is gone by then it is given nothing.
    """

    name: str
    pipeline: str
    store: StoreKind
    bucket: str
    prefix: str
    pattern: re.Pattern[str]
    sinks: tuple[str, ...]
    max_objects: int = 1_000
    max_bytes: int = 256 * 1024 * 1024
    large_bytes: int = 2_500_000
    max_wait: timedelta = timedelta(seconds=30)
    max_in_flight: int = 1
    page_size: int = 1_000
    ordered_keys: bool = False
    overlap_keys: int = 1_000
    unit: Callable[[ObjectVersion], str] | None = None
    unit_in: Callable[[bytes], str] | None = None
    temporary_suffixes: tuple[str, ...] = field(default=TEMPORARY_SUFFIXES)
    empty_objects: bool = False
