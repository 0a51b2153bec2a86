"""Sessions for tests: a session in a thread, messages for it, and what must come of them.

Belongs here: driving `serve`, publishing, an independent reading of the payloads. Does not: any
expectation of a single test.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from google.cloud.bigquery import Client
from google.pubsub_v1 import PublisherClient
from google.pubsub_v1.types import PubsubMessage

from assets.pipelines import defaults
from assets.reading.settings import ReadingSettings
from assets.reading.stream.progress import SessionReport
from assets.reading.stream.serving import StreamLimits, serve
from resources.bigquery import BigQueryResource
from resources.bigquery_write import BigQueryWriteResource
from resources.postgres import PostgresResource
from resources.pubsub import PubSubResource

log = logging.getLogger("reading_stream")

#: What a session of tests takes at a time: small, so that there are many micro-batches.
LIMITS = StreamLimits(
    max_outstanding_messages=2_000,
    batch_rows=500,
    batch_milliseconds=50,
    merge_milliseconds=0,
    max_attempts=3,
    lease_seconds=10,
    drain_seconds=10,
)

Event = tuple[int, int, float, datetime]


@dataclass(frozen=True)
class Systems:
    """What a session is given, from the variables of a test."""

    pubsub: PubSubResource
    bigquery: BigQueryResource
    bigquery_write: BigQueryWriteResource
    postgres: PostgresResource
    reading: ReadingSettings

    @classmethod
    def of(cls, env: Mapping[str, str]) -> Systems:
        """For the variables of a test."""
        value = {**defaults(), **env}
        project = value["GOOGLE_CLOUD_PROJECT"]
        return cls(
            PubSubResource(project=project, emulator_host=value["PUBSUB_EMULATOR_HOST"]),
            BigQueryResource(project=project, api_endpoint=value["BIGQUERY_API_ENDPOINT"]),
            BigQueryWriteResource(project=project, grpc_endpoint=value["BIGQUERY_GRPC_ENDPOINT"]),
            PostgresResource(url=value["POSTGRES_URL"]),
            ReadingSettings(
                dataset=value["READING_DATASET"],
                bucket=value["READING_BUCKET"],
                prefix=value["READING_PREFIX"],
                quarantine_bucket=value["QUARANTINE_BUCKET"],
                interaction_topic=value["READING_INTERACTION_TOPIC"],
                interaction_subscription=value["READING_INTERACTION_SUBSCRIPTION"],
                interaction_dead_topic=value["READING_INTERACTION_DEAD_TOPIC"],
                meta_topic=value["READING_META_TOPIC"],
                meta_subscription=value["READING_META_SUBSCRIPTION"],
                meta_dead_topic=value["READING_META_DEAD_TOPIC"],
                stream=value["READING_STREAM"],
                merge_milliseconds=int(value["READING_MERGE_MILLISECONDS"]),
                raw_days=int(value["READING_RAW_DAYS"]),
                session_seconds=int(value["READING_SESSION_SECONDS"]),
                max_attempts=int(value["READING_MAX_ATTEMPTS"]),
            ),
        )

    def env(self) -> dict[str, str]:
        """The variables of a process that is given the same."""
        return {
            **os.environ,
            "POSTGRES_URL": self.postgres.url,
            "GOOGLE_CLOUD_PROJECT": self.pubsub.project,
            "PUBSUB_EMULATOR_HOST": self.pubsub.emulator_host,
            "BIGQUERY_API_ENDPOINT": self.bigquery.api_endpoint,
            "BIGQUERY_GRPC_ENDPOINT": self.bigquery_write.grpc_endpoint,
            **{
                f"READING_{name.upper()}": str(value)
                for name, value in self.reading.model_dump().items()
                if value is not None
            },
        }

    def serve(
        self,
        *,
        stopping: threading.Event,
        session_id: str | None = None,
        seconds: float = 120.0,
        limits: StreamLimits = LIMITS,
    ) -> SessionReport:
        """A session from beginning to end."""
        return serve(
            self.pubsub,
            self.bigquery,
            self.bigquery_write,
            self.postgres,
            self.reading,
            session_id=session_id or str(uuid.uuid4()),
            stopping=stopping,
            seconds=seconds,
            limits=limits,
            log=log,
        )

    def publish(self, topic: str, payloads: Iterable[bytes | str]) -> list[str]:
        """Publish to a topic by its short name; the messages' ids, in order."""
        messages = [PubsubMessage(data=_bytes(payload)) for payload in payloads]
        ids: list[str] = []
        with self.pubsub.publisher() as client:
            for start in range(0, len(messages), 1_000):
                answer = PublisherClient.publish(
                    client,
                    topic=self.pubsub.topic_path(topic),
                    messages=messages[start : start + 1_000],
                )
                ids += answer.message_ids
        return ids

    def pull(self, subscription: str, *, seconds: float = 5.0) -> list[PubsubMessage]:
        """What a subscription has, acknowledged, until it has nothing more."""
        messages: list[PubsubMessage] = []
        path = self.pubsub.subscription_path(subscription)
        until = time.monotonic() + seconds
        with self.pubsub.subscriber() as client:
            while time.monotonic() < until:
                with warnings.catch_warnings():
                    # Discouraged where messages are awaited; here there is nothing to wait for.
                    warnings.simplefilter("ignore", DeprecationWarning)
                    answer = client.pull(
                        subscription=path, max_messages=1_000, return_immediately=True, timeout=10
                    )
                if not answer.received_messages:
                    break
                messages += [one.message for one in answer.received_messages]
                client.acknowledge(
                    subscription=path, ack_ids=[one.ack_id for one in answer.received_messages]
                )
        return messages

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a query; ``{d}`` stands for the dataset."""
        with self.bigquery.client() as client:
            return rows_of(client, sql.format(d=self.reading.dataset))

    def events(self) -> list[Event]:
        """The table of events, sorted."""
        rows = self.query(
            "SELECT user_id, content_id, read_percent, updated_at FROM {d}.user_interaction"
        )
        return sorted((user, content, percent, at) for user, content, percent, at in rows)

    def categories(self) -> list[tuple[int, str]]:
        """The table of categories, sorted."""
        rows = self.query("SELECT content_id, category_name FROM {d}.content_meta")
        return sorted((content, name) for content, name in rows)

    def rows(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """The rows of a statement in Postgres."""
        with psycopg.connect(self.postgres.url) as connection:
            return connection.execute(sql, parameters).fetchall()


def rows_of(client: Client, sql: str) -> list[tuple[Any, ...]]:
    """The rows of a query, as tuples."""
    return [tuple(row.values()) for row in client.query_and_wait(sql)]


class Session:
    """A session in a thread of this process."""

    def __init__(self, systems: Systems, **options: Any) -> None:
        self.id = str(uuid.uuid4())
        self.stopping = threading.Event()
        self.reports: list[SessionReport] = []
        self.errors: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, args=(systems, options), daemon=True)
        self._thread.start()

    def _run(self, systems: Systems, options: dict[str, Any]) -> None:
        try:
            self.reports.append(
                systems.serve(stopping=self.stopping, session_id=self.id, **options)
            )
        except BaseException as error:  # noqa: BLE001  raised by end()
            self.errors.append(error)

    @property
    def running(self) -> bool:
        """Whether it serves or drains."""
        return self._thread.is_alive()

    def end(self, timeout: float = 60.0) -> SessionReport:
        """Tell it to end; its report once it has. Raises what it raised."""
        self.stopping.set()
        self._thread.join(timeout)
        if self.errors:
            raise self.errors[0]
        assert self.reports, "the session does not end"
        return self.reports[0]


@contextlib.contextmanager
def session(systems: Systems, **options: Any) -> Iterator[Session]:
    """A session that is told to end with the body."""
    running = Session(systems, **options)
    try:
        yield running
    finally:
        running.stopping.set()
        running._thread.join(60)


def wait_until(condition: Callable[[], Any], *, seconds: float = 30.0, every: float = 0.1) -> None:
    """Wait for something to become true. Raises AssertionError when it does not."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise AssertionError(f"not true after {seconds} s")
        time.sleep(every)


def payload(event: Event) -> str:
    """An event as its publisher writes it."""
    user, content, percent, at = event
    return json.dumps(
        {
            "user_id": user,
            "content_id": content,
            "read_percent": percent,
            "updated_at": at.strftime("%Y-%m-%d %H:%M:%S.%f"),
        }
    )


def made_events(count: int, *, day: datetime | None = None, mark: int = 0) -> list[Event]:
    """Distinct events of a few users on a few days up to ``day``, out of order."""
    last = day or datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return [
        (
            (-1) ** n * (9_007_199_254_740_993 + n % 17),
            mark * 1_000_000 + n // 3,
            (n * 37 % 240) / 2,
            last - timedelta(days=n * 7 % 5, microseconds=n * 1_000_003 % 86_399_000_000 + 1),
        )
        for n in range(count)
    ]


def _bytes(text: bytes | str) -> bytes:
    return text.encode() if isinstance(text, str) else text


def balanced(report: SessionReport) -> bool:
    """Whether every delivery of every subscription is accounted for."""
    return all(
        one.received == one.accepted + one.redelivered + one.rejected + one.released
        for one in report.streams
    )


def counts(reports: Sequence[SessionReport], subscription: str) -> dict[str, int]:
    """The counts of one subscription over several sessions."""
    names = ("received", "accepted", "redelivered", "rejected", "released", "written")
    found = [s for report in reports for s in report.streams if s.subscription == subscription]
    return {name: sum(getattr(one, name) for one in found) for name in names}
