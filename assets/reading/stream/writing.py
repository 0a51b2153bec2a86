"""The writer of one subscription: micro-batch after micro-batch to BigQuery.

Belongs here: the order of the steps, what is repeated and for how long, what is counted. Does not:
any one step (``append.py``, ``merge.py``, ``rejects.py``, ``pulling.py``). Imported lazily: needs
google.cloud.bigquery_storage_v1, google.cloud.pubsub_v1 and msgspec.

Append to the raw table, MERGE into the target, note what has changed, acknowledge: a session that
dies anywhere in between leaves its messages unacknowledged, and whoever gets them goes through the
steps again; the MERGE finds the events that are there already. A step that fails for a reason that
passes is repeated until it passes, with the micro-batch in hand and its leases kept. Messages that
come meanwhile join an append which no row gets through: one of theirs may, and tells whose fault it
is.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Any, TypeVar

from google.api_core.exceptions import NotFound  # noqa: TID253

from assets.reading.content_days import note_content_days
from assets.reading.fact_statements import days_parameters
from assets.reading.merges import ask, run_merge
from assets.reading.pacing import BY_LOAD, LEAST_MERGE_SECONDS, merge_seconds
from assets.reading.routes import Route
from assets.reading.rules import Rejection, Row
from assets.reading.stream.append import (
    RowAppender,
    TableAtFaultError,
    microseconds,
    row_class,
)
from assets.reading.stream.merge import GAINED, INSERTED, MERGE, Appending
from assets.reading.stream.messages import parse
from assets.reading.stream.micro_batch import BatchLimits, Delivery, Inbox
from assets.reading.stream.progress import StreamCounts, StreamReport
from assets.reading.stream.rejects import Rejected, reject
from assets.reading.stream.retry_budget import Abandoned, RetryBudget
from assets.reading.stream.seen import SeenIds
from landing.batch.failures import TransientError
from resources.postgres import PostgresResource

if TYPE_CHECKING:
    import psycopg
    from google.cloud.bigquery_storage_v1.services.big_query_write import BigQueryWriteClient
    from google.cloud.pubsub_v1 import PublisherClient

    from assets.sinks.bigquery import Warehouse

T = TypeVar("T")

#: Seconds that the writer waits for a delivery before it looks whether it is to end.
_WAIT = 0.1
#: Times that an append fails before the rows that make it fail are looked for.
_ISOLATE_AFTER = 3


@dataclass(frozen=True, slots=True)
class Outside:
    """The systems that a writer works with. ``topic``: full name of the dead-letter topic.

    ``answer_seconds``: until an append without an answer counts as failed.
    """

    warehouse: Warehouse
    write_client: BigQueryWriteClient
    postgres: PostgresResource
    publisher: PublisherClient
    topic: str
    acknowledge: Callable[[list[Delivery]], None]
    answer_seconds: float


@dataclass(slots=True)
class MicroBatch:
    """What has become of the deliveries of one micro-batch so far.

    ``rows`` and ``rejected`` have one entry per message, ``deliveries`` all of each message,
    ``again`` those of messages that the session has dealt with before.
    """

    appending: Appending
    rows: dict[str, Row] = field(default_factory=dict)
    rejected: list[Rejected] = field(default_factory=list)
    deliveries: dict[str, list[Delivery]] = field(default_factory=dict)
    again: list[Delivery] = field(default_factory=list)
    inserted: int = 0

    def first(self, message_id: str) -> Delivery:
        """The first delivery of a message."""
        return self.deliveries[message_id][0]

    def open(self) -> list[Delivery]:
        """Every delivery that has not been dealt with."""
        return [one for of_message in self.deliveries.values() for one in of_message] + self.again


class StreamWriter:
    """Writes what comes into its inbox until that is closed and empty. One thread runs it."""

    def __init__(
        self,
        route: Route,
        outside: Outside,
        inbox: Inbox,
        counts: StreamCounts,
        *,
        session_id: str,
        limits: BatchLimits,
        merge_milliseconds: int,
        max_attempts: int,
        zone: tzinfo,
        abandoned: threading.Event,
        log: logging.Logger,
    ) -> None:
        self.route = route
        self._zone = zone
        self.outside = outside
        self.inbox = inbox
        self.counts = counts
        self.session_id = session_id
        self.retries = RetryBudget(abandoned, log, {"subscription": route.subscription})
        self._limits = limits
        self._by_load = merge_milliseconds == BY_LOAD
        self._merge_seconds = max(merge_milliseconds / 1000, 0.0)
        self._max_attempts = max_attempts
        self._abandoned = abandoned
        self._seen = SeenIds()
        self._attempts: Counter[str] = Counter()
        self._row = row_class(route.kind.raw)
        self.appender = RowAppender(
            outside.write_client,
            outside.warehouse.table(route.kind.raw.name),
            self._row,
            answer_seconds=outside.answer_seconds,
        )
        self._conn: psycopg.Connection[Any] | None = None
        self._merged_at = float("-inf")
        self._batches = 0

    def run(self) -> None:
        """Write until the inbox is closed and empty, or the session gives up waiting.

        Raises what no further attempt would change.
        """
        try:
            while not self._abandoned.is_set():
                deliveries = self.inbox.gather(
                    self._limits, wait=_WAIT, not_before=self._merged_at + self._merge_seconds
                )
                if deliveries:
                    self._write(deliveries)
                elif self.inbox.closed:
                    return
        finally:
            self.appender.close()
            self._disconnect()

    def report(self) -> StreamReport:
        """The counts now, and what is waited for."""
        return self.counts.report(lambda: self.inbox.received, self.retries.waiting)

    def _write(self, deliveries: Sequence[Delivery]) -> None:
        batch = self._sorted(deliveries)
        self.counts.in_hand(min(one.publish_time for one in deliveries))
        try:
            if batch.rows:
                self._append(batch)
            if batch.rows:
                self._merge(batch)
            if batch.rejected:
                self.retries.until_done("reject", lambda: self._reject(batch), self._disconnect)
        except BaseException:
            left = batch.open()
            release(left)
            self.counts.add(released=len(left))
            raise
        finally:
            self.counts.in_hand(None)
        acknowledge(self, batch)

    def _sorted(self, deliveries: Sequence[Delivery]) -> MicroBatch:
        now = datetime.now(UTC)
        self._batches += 1
        published = deliveries[0].publish_time
        batch = MicroBatch(
            Appending(
                # Session first in no id: they are to rise with time, whoever makes them.
                f"{now:%Y%m%dT%H%M%S.%fZ}-{self.session_id[:8]}-{self._batches:06d}",
                now,
                published,
                published,
            )
        )
        self._sort(batch, deliveries)
        return batch

    def _sort(self, batch: MicroBatch, deliveries: Sequence[Delivery]) -> None:
        published = [one.publish_time for one in deliveries]
        batch.appending = batch.appending.spanning(min(published), max(published))
        known = self._seen.among([one.message_id for one in deliveries])
        for delivery in deliveries:
            message_id = delivery.message_id
            if message_id in known:
                batch.again.append(delivery)
            elif message_id in batch.deliveries:
                batch.deliveries[message_id].append(delivery)
            else:
                batch.deliveries[message_id] = [delivery]
                row = parse(self.route.kind, delivery.data, delivery.publish_time, self._zone)
                if isinstance(row, Rejection):
                    batch.rejected.append(Rejected(delivery, row))
                else:
                    batch.rows[message_id] = row

    def _append(self, batch: MicroBatch) -> None:
        failures = 0

        def attempt() -> None:
            nonlocal failures
            failures += 1
            ids = list(batch.rows)
            rows = [self._encoded(batch, message_id) for message_id in ids]
            try:
                appended = append(self, rows, isolate=failures > _ISOLATE_AFTER)
            except TableAtFaultError:
                self._join(batch)
                raise
            except NotFound as error:
                # Somebody has dropped the table; what was in it is in the target.
                self.outside.warehouse.ensure()
                raise TransientError(f"the raw table was made anew: {error}") from error
            for index, detail in appended.refused.items():
                self._give_up(batch, ids[index], Rejection("refused_by_bigquery", detail))
            for index, detail in appended.troubled.items():
                self._try_later(batch, ids[index], detail)

        self.retries.until_done("append", attempt, self.appender.close)

    def _join(self, batch: MicroBatch) -> None:
        """Take up what has come meanwhile."""
        left = self._limits.rows - len(batch.rows)
        if left <= 0:
            return
        limits = replace(self._limits, rows=left, seconds=0.0)
        if deliveries := self.inbox.gather(limits, wait=0.0, not_before=float("-inf")):
            self._sort(batch, deliveries)

    def _encoded(self, batch: MicroBatch, message_id: str) -> bytes:
        delivery = batch.first(message_id)
        optional: dict[str, str] = {}
        if delivery.ordering_key:
            optional["ordering_key"] = delivery.ordering_key
        if delivery.attributes:
            optional["attributes"] = json.dumps(dict(delivery.attributes), ensure_ascii=False)
        row: bytes = self._row(
            message_id=message_id,
            publish_time=microseconds(delivery.publish_time),
            session_id=self.session_id,
            micro_batch=batch.appending.micro_batch,
            appended_at=microseconds(batch.appending.appended_at),
            **{
                name: microseconds(value) if isinstance(value, datetime) else value
                for name, value in zip(self.route.kind.names, batch.rows[message_id], strict=True)
            },
            **optional,
        ).SerializeToString()
        return row

    def _give_up(
        self, batch: MicroBatch, message_id: str, rejection: Rejection, attempts: int = 1
    ) -> None:
        del batch.rows[message_id]
        batch.rejected.append(Rejected(batch.first(message_id), rejection, attempts))

    def _try_later(self, batch: MicroBatch, message_id: str, detail: str) -> None:
        """Give back a message that fails alone while others get through, but not for ever."""
        self._attempts[message_id] += 1
        attempts = self._attempts[message_id]
        if attempts >= self._max_attempts:
            del self._attempts[message_id]
            self._give_up(batch, message_id, Rejection("failed_n_attempts", detail), attempts)
            return
        del batch.rows[message_id]
        left = batch.deliveries.pop(message_id)
        release(left)
        self.counts.add(released=len(left))

    def _merge(self, batch: MicroBatch) -> None:
        distinct = set(batch.rows.values())
        changes = Counter(map(self.route.kind.change, distinct))
        attempts = 0

        def attempt() -> None:
            nonlocal attempts
            attempts += 1
            batch.inserted = merge(self, batch.appending, changes)
            if attempts > 1:
                # An earlier attempt may have taken effect without an answer.
                bound = [*batch.appending.parameters(), batch.appending.written_at()]
                batch.inserted = self._gained(INSERTED[self.route.kind], bound, changes).total()

        self.retries.until_done("merge", attempt, self._disconnect)
        self.counts.merged([batch.first(message_id).publish_time for message_id in batch.rows])

        def note() -> None:
            gained: Mapping[Any, int] = changes
            if batch.inserted != len(distinct):
                bound = batch.appending.parameters()
                gained = self._gained(GAINED[self.route.kind], bound, changes)
            conn = self.connection()
            with conn.transaction():
                note_content_days(conn, self.route.kind.read_on(distinct))
                self.route.kind.note(conn, gained)

        self.retries.until_done("note", note, self._disconnect)

    def _reject(self, batch: MicroBatch) -> None:
        reject(
            self.connection(),
            self.outside.publisher,
            batch.rejected,
            topic=self.outside.topic,
            subscription=self.route.subscription,
            session_id=self.session_id,
        )

    def _gained(
        self, template: str, bound: Sequence[Any], changes: Mapping[Any, int]
    ) -> Counter[Any]:
        gained: Counter[Any] = Counter()
        warehouse = self.outside.warehouse
        for days in days_parameters(self.route.kind, changes):
            for row in ask(warehouse, template, [*bound, *days]):
                gained[row["gained"]] += row["events"]
        return gained

    def merge_once(self, statement: str, parameters: Sequence[Any]) -> int:
        """Run a MERGE into the target under its fencing token; the rows that it inserted."""
        # One that was full before its time comes as soon as BigQuery takes it.
        least = min(self._merge_seconds, LEAST_MERGE_SECONDS)
        self._abandoned.wait(max(self._merged_at + least - time.monotonic(), 0))
        self._merged_at = time.monotonic()
        return run_merge(
            self.outside.warehouse,
            self.connection(),
            self.route.kind.table,
            statement,
            parameters,
            billed=self._pace,
        )

    def _pace(self, billed: int) -> None:
        if self._by_load:
            self._merge_seconds = merge_seconds(billed)

    def finish(self, batch: MicroBatch) -> None:
        """Count what has been dealt with, and know it again."""
        done = [*batch.rows, *(one.delivery.message_id for one in batch.rejected)]
        self._seen.add(done)
        for message_id in done if self._attempts else ():
            self._attempts.pop(message_id, None)
        self.counts.add(
            accepted=len(batch.rows),
            rejected=len(batch.rejected),
            redelivered=len(batch.open()) - len(done),
            written=batch.inserted,
            micro_batches=1,
        )

    def connection(self) -> psycopg.Connection[Any]:
        """The writer's own connection to Postgres, in autocommit mode."""
        if self._conn is None or self._conn.closed:
            self._conn = self.outside.postgres.connect(autocommit=True)
        return self._conn

    def _disconnect(self) -> None:
        """Let go of the connection, whatever state it is in, and of the locks that it holds."""
        conn, self._conn = self._conn, None
        if conn is not None:
            conn.close()


def append(writer: StreamWriter, rows: Sequence[bytes], *, isolate: bool = False) -> Any:
    """Append the rows of a micro-batch to the raw table."""
    return writer.appender.append(rows, isolate=isolate)


def merge(writer: StreamWriter, appending: Appending, changes: Mapping[Any, int]) -> int:
    """Merge a micro-batch into the target; the rows that were new."""
    kind = writer.route.kind
    return sum(
        writer.merge_once(MERGE[kind], [*appending.parameters(), *days])
        for days in days_parameters(kind, changes)
    )


def acknowledge(writer: StreamWriter, batch: MicroBatch) -> None:
    """Tell Pub/Sub that the micro-batch is done with, and count it.

    While Pub/Sub is away it is told again. A session that ends meanwhile leaves it at that: what
    comes again is found.
    """
    left = batch.open()
    with suppress(Abandoned):
        writer.retries.until_done("acknowledge", lambda: writer.outside.acknowledge(left))
    writer.finish(batch)


def release(deliveries: Sequence[Delivery]) -> None:
    """Give deliveries back, to come again."""
    for delivery in deliveries:
        delivery.nack()
