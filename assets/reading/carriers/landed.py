"""Messages that Google's own carriers landed as text, and their way into the tables.

Belongs here: the landed tables, the order of the statements, what they say about their result. Does
not: which rows are valid (``landed_rows.py``), who landed them (``carriers.py``).

A landed row is new when it arrived in the hour in which the last merge began, or later. Arrival is
the table's ingestion time, since a message may be published days before a carrier gets to it; rows
in the streaming buffer have none yet, and count as new. Too many cost bytes, never a second event.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, cast

from assets.reading.carriers import landed_rows as sql
from assets.reading.changes import note_changed_contents, note_changed_days
from assets.reading.merges import run_merge
from assets.reading.warehouse import INTERACTIONS, META, TABLES, Warehouse
from resources.bigquery import REQUEST_TIMEOUT, run

if TYPE_CHECKING:
    import psycopg
    from google.cloud.pubsub_v1 import PublisherClient

    from assets.reading.stream.micro_batch import Delivery

    Connection = psycopg.Connection[Any]

INTERACTIONS_LANDED = "user_interaction_landed"
META_LANDED = "content_meta_landed"
LANDED = (INTERACTIONS_LANDED, META_LANDED)

#: The columns that a BigQuery subscription writes when it is given no schema:
#: https://cloud.google.com/pubsub/docs/bigquery#properties_subscription
COLUMNS = (
    ("data", "STRING", "The message as it was published"),
    ("subscription_name", "STRING", "The subscription that it came by; null from Dataflow"),
    ("message_id", "STRING", "Pub/Sub's id of the message; null from Dataflow"),
    ("publish_time", "TIMESTAMP", "When Pub/Sub, or Dataflow's worker, took the message"),
    ("attributes", "STRING", "The message's attributes, a JSON object"),
)
#: How long a landed row is kept, for whoever wants to look.
KEEP = timedelta(days=30)
#: Arrival is known by the hour; some minutes more for clocks that differ.
OVERLAP = timedelta(hours=1, minutes=5)
#: In place of a session's id.
SESSION = "landed"
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Merged:
    """What one merge found among the newly landed messages, and what of it was new."""

    messages: int
    events: int
    categories: int
    days: int
    rejected: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """Short name of the subscription and full name of the dead-letter topic, of both streams."""

    events: tuple[str, str]
    categories: tuple[str, str]


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


def ensure_landed(warehouse: Warehouse) -> None:
    """Create the landed tables where they are missing."""
    from google.cloud.bigquery import SchemaField, Table, TimePartitioning

    for name in LANDED:
        schema = [SchemaField(column, kind, description=text) for column, kind, text in COLUMNS]
        table = Table(warehouse.table(name), schema=schema)
        table.description = "Messages as Dataflow or a BigQuery subscription landed them."
        table.time_partitioning = TimePartitioning(
            type_="HOUR", expiration_ms=int(KEEP.total_seconds() * 1000)
        )
        warehouse.client.create_table(table, exists_ok=True, timeout=REQUEST_TIMEOUT)


def is_landed(warehouse: Warehouse) -> bool:
    """Whether anything was ever to land here."""
    from google.api_core.exceptions import NotFound

    try:
        warehouse.client.get_table(warehouse.table(LANDED[-1]), timeout=REQUEST_TIMEOUT)
    except NotFound:
        return False
    return True


def merge_landed(
    warehouse: Warehouse,
    conn: Connection,
    *,
    since: datetime | None,
    now: datetime,
    publisher: PublisherClient,
    dead_letters: DeadLetters,
) -> Merged:
    """Merge what landed since the last merge that came to its end began at ``since``.

    None means that this is the first, or that it is not known: everything is looked at. ``conn``
    must be in autocommit mode. Changed days and contents are noted, and bad messages set aside and
    passed on to the dead-letter topics, before this returns. Raises what run_merge raises.
    """
    merge = _Merge(warehouse, conn, since, now)
    messages, days, rejected = merge.count()
    events = merge.events(days) if days else 0
    categories = merge.categories()
    if rejected:
        merge.reject(sql.REJECTED_EVENTS, publisher, dead_letters.events)
        merge.reject(sql.REJECTED_CATEGORIES, publisher, dead_letters.categories)
    return Merged(messages, events, categories, len(days), dict(rejected))


class _Merge:
    """The steps of one merge."""

    def __init__(
        self, warehouse: Warehouse, conn: Connection, since: datetime | None, now: datetime
    ) -> None:
        from google.cloud.bigquery import ScalarQueryParameter

        self._warehouse, self._conn = warehouse, conn
        self._new = [
            ScalarQueryParameter(
                "arrived", "TIMESTAMP", EARLIEST if since is None else since - OVERLAP
            ),
            ScalarQueryParameter("blanks", "STRING", sql.BLANKS),
        ]
        self._since = ScalarQueryParameter("since", "TIMESTAMP", since or EARLIEST)
        self._now = ScalarQueryParameter("now", "TIMESTAMP", now)

    def count(self) -> tuple[int, list[date], Counter[str]]:
        """Messages, the days of the good events, and how many were bad for which reason."""
        messages, days, rejected = 0, set(), Counter[str]()
        rows = [*self._run(sql.DAYS, self._new), *self._run(sql.COUNT_CATEGORIES, self._new)]
        for row in rows:
            messages += row["messages"]
            if row["reason"]:
                rejected[row["reason"]] += row["messages"]
            elif (day := row.get("day")) is not None:
                days.add(day)
        return messages, sorted(days), rejected

    def events(self, days: list[date]) -> int:
        """How many events were new."""
        between = _between(days)
        written = run_merge(
            self._warehouse.client,
            self._conn,
            self._warehouse.table(INTERACTIONS),
            self._sql(sql.MERGE_EVENTS),
            [*self._new, *between, self._now],
        )
        gained = self._run(sql.GAINED_DAYS, [*between, self._since])
        with self._conn.transaction():
            note_changed_days(self._conn, {row["day"]: row["events"] for row in gained})
        return written

    def categories(self) -> int:
        """How many categories were new."""
        written = run_merge(
            self._warehouse.client,
            self._conn,
            self._warehouse.table(META),
            self._sql(sql.MERGE_CATEGORIES),
            [*self._new, self._now],
        )
        gained = self._run(sql.GAINED_CONTENTS, [self._since])
        with self._conn.transaction():
            note_changed_contents(self._conn, [row["content_id"] for row in gained])
        return written

    def reject(self, statement: str, publisher: PublisherClient, to: tuple[str, str]) -> None:
        """Set bad messages aside as a session does; those that are already stay as they are."""
        from assets.reading.stream.messages import Rejection
        from assets.reading.stream.rejects import Rejected, reject

        subscription, topic = to
        rows = [
            Rejected(
                # What is rejected is read as a message, never answered as a delivery.
                cast(
                    "Delivery",
                    LandedMessage(
                        row["source"].removeprefix("message:"),
                        row["publish_time"] or self._now.value,
                        (row["data"] or "").encode(),
                        json.loads(row["attributes"] or "{}"),
                    ),
                ),
                Rejection(row["reason"], "found where it landed in BigQuery"),
            )
            for row in self._run(statement, self._new)
        ]
        reject(
            self._conn,
            publisher,
            rows,
            topic=topic,
            subscription=subscription,
            session_id=SESSION,
        )

    def _run(self, template: str, parameters: list[Any]) -> Any:
        return run(self._warehouse.client, self._sql(template), parameters)

    def _sql(self, template: str) -> str:
        names = (*TABLES, *LANDED)
        return template.format(**{name: self._warehouse.table(name) for name in names})


def _between(days: list[date]) -> list[Any]:
    from google.cloud.bigquery import ScalarQueryParameter

    start = datetime.combine(days[0], time(), UTC)
    finish = datetime.combine(days[-1] + timedelta(days=1), time(), UTC)
    return [
        ScalarQueryParameter("start", "TIMESTAMP", start),
        ScalarQueryParameter("finish", "TIMESTAMP", finish),
    ]
