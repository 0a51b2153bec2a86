"""Messages that Google's own services landed as text, and their way into the tables.

Belongs here: the order of the statements, what they say about their result. Does not: which rows
are valid (``landed_rows.py``), who landed them (``services.py``).

A landed row is new when it arrived in the hour in which the last merge began, or later. Arrival is
the table's ingestion time, since a message may be published days before a service gets to it; rows
in the streaming buffer have none yet, and count as new. Too many cost bytes, never a second event.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from assets.reading.content_days import note_content_days
from assets.reading.fact_statements import days_parameters
from assets.reading.kinds import CATEGORIES, EVENTS, KINDS, Kind
from assets.reading.managed_ingestion import landed_rows as sql
from assets.reading.merges import run_merge
from assets.reading.rules import BLANKS, FIRST, Rejection
from resources.bigquery import REQUEST_TIMEOUT

if TYPE_CHECKING:
    import psycopg
    from google.cloud.pubsub_v1 import PublisherClient

    from assets.reading.stream.micro_batch import Delivery
    from assets.sinks.bigquery import Warehouse

    Connection = psycopg.Connection[Any]

#: Arrival is known by the hour; some minutes more for clocks that differ.
OVERLAP = timedelta(hours=1, minutes=5)
#: In place of a session's id.
SESSION = "landed"


@dataclass(frozen=True, slots=True)
class Merged:
    """What one merge found among the newly landed messages, and what of it was new."""

    messages: int
    events: int
    categories: int
    days: int
    rejected: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class LandedMessage:
    """A message as far as it is known where it landed; from Dataflow it has a made-up id."""

    message_id: str
    publish_time: datetime
    data: bytes
    attributes: Mapping[str, str]
    ordering_key: str = ""

    @property
    def size(self) -> int:
        """Bytes of the message as a whole."""
        return len(self.data) + sum(len(k) + len(v) for k, v in self.attributes.items())


def is_landed(warehouse: Warehouse) -> bool:
    """Whether anything was ever to land here."""
    from google.api_core.exceptions import NotFound

    try:
        table = warehouse.table(CATEGORIES.landed.name)
        warehouse.client.get_table(table, timeout=REQUEST_TIMEOUT)
    except NotFound:
        return False
    return True


def merge_landed(
    warehouse: Warehouse,
    conn: Connection,
    *,
    since: datetime | None,
    now: datetime,
    zone: str,
    publisher: PublisherClient,
    dead_letters: Mapping[Kind, tuple[str, str]],
) -> Merged:
    """Merge what landed since the last merge that came to its end began at ``since``.

    None means that this is the first, or that it is not known: everything is looked at. ``conn``
    must be in autocommit mode. Changed days and contents are noted, and bad messages set aside and
    passed on to ``dead_letters``, before this returns: of each kind the subscription's short name
    and the topic's full one. Times that name no zone are of ``zone``. Raises what run_merge raises.
    """
    merge = _Merge(warehouse, conn, since, now, zone)
    messages, days, rejected = merge.count()
    events, categories = merge.facts(EVENTS, days), merge.facts(CATEGORIES, days)
    if rejected:
        for kind, to in dead_letters.items():
            merge.reject(kind, publisher, to)
    return Merged(messages, events, categories, len(days), dict(rejected))


class _Merge:
    """The steps of one merge."""

    def __init__(
        self,
        warehouse: Warehouse,
        conn: Connection,
        since: datetime | None,
        now: datetime,
        zone: str,
    ) -> None:
        from google.cloud.bigquery import ScalarQueryParameter as Parameter

        self._warehouse, self._conn = warehouse, conn
        arrived = FIRST if since is None else since - OVERLAP
        self._new = [
            Parameter("arrived", "TIMESTAMP", arrived),
            Parameter("blanks", "STRING", BLANKS),
            Parameter("zone", "STRING", zone),
        ]
        self._since = Parameter("since", "TIMESTAMP", since or FIRST)
        self._began = now
        self._now = Parameter("now", "TIMESTAMP", now)

    def count(self) -> tuple[int, set[date], Counter[str]]:
        """Messages, the days of the good events, and how many were bad for which reason."""
        messages, days, rejected = 0, set(), Counter[str]()
        for kind in KINDS:
            for row in self._warehouse.run(sql.COUNT[kind], self._new):
                messages += row.messages
                if row.reason:
                    rejected[row.reason] += row.messages
                elif row.day:
                    days.add(row.day)
        return messages, days, rejected

    def facts(self, kind: Kind, days: Iterable[date]) -> int:
        """How many rows were new."""
        written, gained, read_on = 0, Counter[Any](), list[tuple[int, date]]()
        for bound in days_parameters(kind, days):
            parameters = [*self._new, *bound, self._now]
            written += run_merge(
                self._warehouse, self._conn, kind.table, sql.MERGE[kind], parameters
            )
            rows = self._warehouse.run(sql.GAINED[kind], [*bound, self._since])
            gained.update({row.gained: row.events for row in rows})
            if kind is EVENTS:
                rows = self._warehouse.run(sql.READ_ON, [*bound, self._since])
                read_on += [(row.content_id, row.day) for row in rows]
        with self._conn.transaction():
            note_content_days(self._conn, read_on)
            kind.note(self._conn, gained)
        return written

    def reject(self, kind: Kind, publisher: PublisherClient, to: tuple[str, str]) -> None:
        """Set bad messages aside as a session does; those that are already stay as they are."""
        from assets.reading.stream.rejects import Rejected, reject

        subscription, topic = to
        rows = [
            Rejected(
                # What is rejected is read as a message, never answered as a delivery.
                cast(
                    "Delivery",
                    LandedMessage(
                        row.source.removeprefix("message:"),
                        row.publish_time or self._began,
                        (row.data or "").encode(),
                        json.loads(row.attributes or "{}"),
                    ),
                ),
                Rejection(row.reason, "found where it landed in BigQuery"),
            )
            for row in self._warehouse.run(sql.REJECTED[kind], self._new)
        ]
        reject(
            self._conn,
            publisher,
            rows,
            topic=topic,
            subscription=subscription,
            session_id=SESSION,
        )
