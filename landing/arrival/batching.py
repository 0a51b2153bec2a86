"""Which arrived objects form a batch, and when it closes. Pure.

Belongs here: the grouping rule. Does not: reading or writing the ledger.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from landing.arrival.source import Source


@dataclass(frozen=True, slots=True)
class Arrival:
    """An object version of the ledger that belongs to no batch yet. ``size`` in bytes.

    ``unit`` is the partition that the source derives from it, if it does.
    """

    seq: int
    size: int
    seen_at: datetime
    unit: str | None = None


def close_batches(
    arrivals: Sequence[Arrival], source: Source, *, idle: bool, now: datetime
) -> list[list[Arrival]]:
    """The batches that close now, in order of arrival; who is in none waits for company.

    A batch closes when the next object would exceed ``max_objects`` or ``max_bytes`` (one larger
    object is a batch of its own), when its first object was seen ``max_wait`` ago, or at once when
    the source is ``idle``: nothing of it is requested, running or waiting to be requested.
    No batch holds objects of two units.
    """
    by_unit: dict[str | None, list[Arrival]] = {}
    for arrival in arrivals:
        by_unit.setdefault(arrival.unit, []).append(arrival)
    groups = [found for of_unit in by_unit.values() for found in _groups(of_unit, source)]
    closed: list[list[Arrival]] = []
    for group, full in sorted(groups, key=lambda found: found[0][0].seq):
        waited = now - group[0].seen_at >= source.max_wait
        if full or waited or (idle and not closed):
            closed.append(group)
    return closed


def _groups(arrivals: Sequence[Arrival], source: Source) -> Iterator[tuple[list[Arrival], bool]]:
    """Consecutive groups within the limits, and whether each is as full as it can get."""
    group: list[Arrival] = []
    size = 0
    for arrival in arrivals:
        if group and (len(group) >= source.max_objects or size + arrival.size > source.max_bytes):
            yield group, True
            group, size = [], 0
        group.append(arrival)
        size += arrival.size
    if group:
        yield group, len(group) >= source.max_objects or size >= source.max_bytes
