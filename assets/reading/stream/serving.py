"""A session: both subscriptions served until it is told to end, then drained.

Belongs here: its threads, its end, its rows in Postgres. Does not: what is done with messages
(``writing.py``), Dagster. Imported lazily: needs google.cloud.pubsub_v1 and its like.

Each subscription has the subscriber's threads, which fill its inbox, and a writer's, which empties
it; the caller's thread looks after them every second. Ending, the session takes no delivery up that
comes from then on, writes what it has, and gives the rest back.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from assets.reading.pacing import BY_LOAD
from assets.reading.raw_retention import keep_raw, require_safe
from assets.reading.routes import Route, routes
from assets.reading.settings import ReadingSettings
from assets.reading.stream.micro_batch import BatchLimits, Inbox
from assets.reading.stream.progress import (
    SessionReport,
    State,
    StreamCounts,
    StreamReport,
    write_session,
)
from assets.reading.stream.pulling import Pulling
from assets.reading.stream.retry_budget import Abandoned, RetryBudget
from assets.reading.stream.writing import Outside, StreamWriter
from assets.reading.tables import warehouse_of
from resources.bigquery import BigQueryResource
from resources.bigquery_write import BigQueryWriteResource
from resources.postgres import PostgresResource
from resources.pubsub import PubSubResource

if TYPE_CHECKING:
    import psycopg

__all__ = ["SessionReport", "StreamLimits", "StreamReport", "serve"]

#: Seconds between two looks at the session, each of which writes its rows.
LOOK_SECONDS = 1.0
#: Seconds that a writer may take to notice that it is to give up: one request to BigQuery.
END_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """How much a session takes in hand, per subscription, and when it writes.

    ``lease_seconds`` is how long messages of a killed session wait, ``drain_seconds`` how long a
    session that ends tries to write what it has.
    """

    max_outstanding_messages: int = 50_000
    max_outstanding_bytes: int = 64 * 1024 * 1024
    batch_rows: int = 40_000
    batch_bytes: int = 24_000_000
    batch_milliseconds: int = 200
    merge_milliseconds: int = BY_LOAD
    max_attempts: int = 5
    lease_seconds: int = 20
    drain_seconds: float = 20.0

    @classmethod
    def of(cls, reading: ReadingSettings) -> StreamLimits:
        """The settings' limits, and the usual ones."""
        return cls(merge_milliseconds=reading.merge_milliseconds, max_attempts=reading.max_attempts)


def serve(
    pubsub: PubSubResource,
    bigquery: BigQueryResource,
    bigquery_write: BigQueryWriteResource,
    postgres: PostgresResource,
    reading: ReadingSettings,
    *,
    session_id: str,
    stopping: threading.Event,
    seconds: float,
    limits: StreamLimits | None = None,
    log: logging.Logger,
) -> SessionReport:
    """Serve both subscriptions for ``seconds``, or until ``stopping`` is set; then drain.

    What can be waited for is waited for: BigQuery, Pub/Sub or Postgres out of reach. Raises what
    cannot: a subscription, topic or right that is missing, a defect. Deliveries in hand are given
    back then.
    """
    require_safe(reading.raw_days)
    limits = limits or StreamLimits.of(reading)
    started = time.monotonic()
    rows = _Rows(postgres, session_id, log)
    with _Session(
        pubsub=pubsub,
        bigquery=bigquery,
        bigquery_write=bigquery_write,
        postgres=postgres,
        reading=reading,
        session_id=session_id,
        limits=limits,
        log=log,
    ) as session:
        try:
            session.start(stopping)
            rows.write("serving", session.report())
            while not stopping.wait(LOOK_SECONDS) and time.monotonic() - started < seconds:
                session.look()
                rows.write("serving", session.report())
            log.info("draining session_id=%s", session_id)
            for report in session.drain():
                rows.write("draining", report)
        except Exception as error:
            session.end()
            rows.write("failed", session.report(), error=f"{type(error).__name__}: {error}")
            raise
        session.end()
        streams = session.report()
        rows.write("ended", streams)
    return SessionReport(session_id, time.monotonic() - started, streams)


@dataclass(slots=True)
class _Session:
    """The clients, pullers and writers of a session."""

    pubsub: PubSubResource
    bigquery: BigQueryResource
    bigquery_write: BigQueryWriteResource
    postgres: PostgresResource
    reading: ReadingSettings
    session_id: str
    limits: StreamLimits
    log: logging.Logger
    clients: ExitStack = field(default_factory=ExitStack)
    abandoned: threading.Event = field(default_factory=threading.Event)
    lanes: list[_Lane] = field(default_factory=list)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.clients.close()

    def start(self, stopping: threading.Event) -> None:
        """Make the tables, then a lane per subscription. Waits for BigQuery unless it is to end."""
        retries = RetryBudget(stopping, self.log, {"session_id": self.session_id})
        try:
            with self.bigquery.client() as client:
                warehouse = warehouse_of(client, self.reading.dataset)

                def tables() -> None:
                    warehouse.ensure()
                    keep_raw(warehouse, self.reading.raw_days)

                retries.until_done("tables", tables)
        except Abandoned:
            return
        for route in routes(self.reading):
            lane = self._lane(route)
            self.lanes.append(lane)
            lane.start()

    def _lane(self, route: Route) -> _Lane:
        inbox, counts = Inbox(), StreamCounts(route.subscription)
        limits = self.limits
        pulling = Pulling(
            self.clients.enter_context(self.pubsub.subscriber()),
            self.pubsub.subscription_path(route.subscription),
            inbox,
            max_messages=limits.max_outstanding_messages,
            max_bytes=limits.max_outstanding_bytes,
            lease_seconds=limits.lease_seconds,
            given_back=lambda count: counts.add(released=count),
            log=self.log,
        )
        outside = Outside(
            warehouse=warehouse_of(
                self.clients.enter_context(self.bigquery.client()), self.reading.dataset
            ),
            write_client=self.clients.enter_context(self.bigquery_write.client()),
            postgres=self.postgres,
            publisher=self.clients.enter_context(self.pubsub.publisher()),
            topic=self.pubsub.topic_path(route.dead_topic),
            acknowledge=pulling.acknowledge,
            answer_seconds=self.bigquery_write.answer_seconds,
        )
        writer = StreamWriter(
            route,
            outside,
            inbox,
            counts,
            session_id=self.session_id,
            limits=BatchLimits(
                limits.batch_rows, limits.batch_bytes, limits.batch_milliseconds / 1000
            ),
            merge_milliseconds=limits.merge_milliseconds,
            max_attempts=limits.max_attempts,
            zone=self.reading.time_zone,
            abandoned=self.abandoned,
            log=self.log,
        )
        return _Lane(pulling, writer)

    def look(self) -> None:
        """Raise what a writer or a puller cannot go on with."""
        for lane in self.lanes:
            lane.look()

    def drain(self) -> Iterator[tuple[StreamReport, ...]]:
        """Let the writers write what they have; the counts, now and then, while they do."""
        for lane in self.lanes:
            lane.writer.inbox.close()
        give_up_at = time.monotonic() + self.limits.drain_seconds
        for lane in self.lanes:
            while not lane.ended(LOOK_SECONDS):
                yield self.report()
                if time.monotonic() > give_up_at:
                    self.abandoned.set()
            lane.raise_error()

    def end(self) -> None:
        """End every thread; deliveries in hand are given back."""
        self.abandoned.set()
        for lane in self.lanes:
            lane.writer.inbox.close()
        for lane in self.lanes:
            if not lane.ended(END_SECONDS):
                self.log.error(
                    "writer_does_not_end subscription=%s", lane.writer.route.subscription
                )
            lane.pulling.close()

    def report(self) -> tuple[StreamReport, ...]:
        """The counts of both subscriptions."""
        return tuple(lane.writer.report() for lane in self.lanes)


class _Lane:
    """One subscription: its puller, and its writer in a thread."""

    def __init__(self, pulling: Pulling, writer: StreamWriter) -> None:
        self.pulling = pulling
        self.writer = writer
        self._error: BaseException | None = None
        self._thread = threading.Thread(
            target=self._run, name=f"writer of {writer.route.subscription}", daemon=True
        )

    def start(self) -> None:
        self._thread.start()
        self.pulling.open()

    def _run(self) -> None:
        try:
            self.writer.run()
        except Abandoned:
            return
        except BaseException as error:  # noqa: BLE001  raised again by the session's thread
            self._error = error

    def look(self) -> None:
        self.raise_error()
        self.pulling.look()

    def raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def ended(self, timeout: float) -> bool:
        """Whether the writer's thread has ended, after ``timeout`` seconds at most."""
        self._thread.join(timeout)
        return not self._thread.is_alive()


class _Rows:
    """The session's rows in Postgres, written as well as can be: they are for people to see."""

    def __init__(self, postgres: PostgresResource, session_id: str, log: logging.Logger) -> None:
        self._postgres = postgres
        self._session_id = session_id
        self._log = log
        self._conn: psycopg.Connection[Any] | None = None

    def write(
        self, state: State, streams: Sequence[StreamReport], error: str | None = None
    ) -> None:
        import psycopg

        try:
            if self._conn is None or self._conn.closed:
                self._conn = self._postgres.connect(autocommit=True)
            report(self._conn, self._session_id, state, streams, error)
        except psycopg.Error as trouble:
            self._log.warning("progress_not_written error=%s", trouble)
            self._conn = None
        if state in {"ended", "failed"} and self._conn is not None:
            self._conn.close()


def report(
    conn: psycopg.Connection[Any],
    session_id: str,
    state: State,
    streams: Sequence[StreamReport],
    error: str | None = None,
) -> None:
    """Write how the session gets on."""
    write_session(conn, session_id, state, streams, error)
