"""The demo of reading: events and categories as messages and as history, shares of one reader.

Belongs here: what is published, looked at and asked. Does not: what the input holds
(``reading_input``), what the tables hold (``reading_found``), the course of the demo (``demo``).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any, ClassVar

from assets.reading.answers import CategoryShare, CategoryShares, warehouse_of
from assets.sinks.bigquery import Warehouse
from local.demos.asking import QueryService
from local.demos.pipeline import Answer, Figures, Landed, PipelineDemo, ledger_figures
from local.demos.reading_found import TOLERANCE, Expected, left_by_others
from local.demos.reading_input import Input, real_input, sample_input
from local.reading_answer import told
from resources.bigquery import BigQueryResource
from resources.gcs import GcsResource
from resources.postgres import PostgresResource
from resources.pubsub import PubSubResource
from resources.pubsub_counts import PubSubCountsResource

#: Topic and subscription by kind of message.
_TOPICS = {"interaction": "READING_INTERACTION_TOPIC", "meta": "READING_META_TOPIC"}
_SUBSCRIPTIONS = {
    "interaction": "READING_INTERACTION_SUBSCRIPTION",
    "meta": "READING_META_SUBSCRIPTION",
}

#: Seconds without any change after which the waiting ends, and what is missing is said.
STALLED = 600.0
PUBLISH_TIMEOUT = 60.0
SHOWN_CATEGORIES = 8

_REJECTED = (
    "SELECT reason, count(*) FROM reading.rejected_message "
    "WHERE subscription = %s AND message_id = ANY(%s) GROUP BY reason"
)
_SESSIONS = (
    "SELECT coalesce(sum(pending), 0), max(latency_p95) FROM reading.session_stream "
    "JOIN reading.session USING (session_id) WHERE state IN ('serving', 'draining')"
)
_UNTOLD = (
    "SELECT (SELECT count(*) FROM reading.changed_day) "
    "+ (SELECT count(*) FROM reading.changed_content)"
)


class ReadingDemo(PipelineDemo):
    """A part of the real events where they are, else generated ones with every defect."""

    name: ClassVar[str] = "reading"

    _input: Input
    #: Of the input, and of what was there before it.
    _expected: Expected
    _since: datetime
    _ids: Mapping[str, Sequence[str]]
    _last: tuple[object, float] = (None, 0.0)

    def load(self) -> Sequence[Landed]:
        """Publish the messages and upload the history, as any client would."""
        folder = self.work_dir / self.name
        if self.data_dir is None:
            self._input = sample_input(folder)
        else:
            self._input = real_input(self.data_dir / "reading", folder)
        with self._warehouse() as warehouse:
            events, categories = left_by_others(warehouse)
        self._expected = Expected(
            self._input.events | events,
            self._input.categories | categories,
            self._input.query_date,
        )
        self._since = datetime.now(UTC)
        self._ids = {kind: self._publish(kind, m) for kind, m in self._input.messages.items()}
        return self._upload()

    def figures(self, landed: Sequence[Landed]) -> Figures:
        """The ledger's counts over the history, and how far messages and answers have come."""
        with self._warehouse() as warehouse:
            found = self._expected.progress(warehouse, self._since)
        rejected = {kind: self._rejected(kind).total() for kind in self._ids}
        with self._postgres().connect() as connection:
            pending, p95 = connection.execute(_SESSIONS).fetchone() or (0, None)
            untold = connection.execute(_UNTOLD).fetchone() or (0,)
        waiting = {
            "messages": sum(
                abs(len(ids) - found.messages.get(kind, 0) - rejected[kind])
                for kind, ids in self._ids.items()
            ),
            "unacknowledged": self._unacknowledged(int(pending)),
            "events": abs(len(self._expected.events) - found.events),
            "categories": abs(len(self._expected.categories) - found.categories),
            "changes untold": int(untold[0]),
            "days to count": found.days_to_count,
            "shares to compute": found.shares_to_compute,
        }
        more = {
            "messages published": f"{sum(map(len, self._ids.values())):,}",
            "→ rejected": f"{sum(rejected.values()):,}",
            "events stored, each once": f"{found.events:,}",
            "categories stored": f"{found.categories:,}",
        }
        if p95 is not None:
            more["publish → merged, p95 of the last minute"] = f"{p95:.2f} s"
        figures = replace(ledger_figures(self._postgres(), landed), waiting=waiting, more=more)
        return replace(figures, waiting={}) if self._stalled(figures) else figures

    def verify(self, figures: Figures) -> Sequence[str]:
        """Recount everything in plain Python over what was put in."""
        accounted = figures.written + figures.unchanged + figures.superseded + figures.rejected
        must: dict[str, tuple[object, object]] = {
            "history rows accounted for": (accounted, figures.read),
            "history rows read": (figures.read, self._input.rows),
            "history rows rejected": (figures.rejected, self._input.rejected_rows),
            **{
                f"rejected {kind} messages": (dict(self._rejected(kind)), dict(reasons))
                for kind, reasons in self._input.rejected.items()
            },
        }
        problems = [
            f"{what}: {found} found, {expected} expected"
            for what, (found, expected) in must.items()
            if found != expected
        ]
        with self._warehouse() as warehouse:
            return [*problems, *self._expected.problems(warehouse)]

    def answer(self, service: QueryService) -> Answer:
        """The categories that the busiest reader of the two weeks reads."""
        user_id = self._expected.busiest(frozenset(event[0] for event in self._input.events))
        asked = {"query_date": self._input.query_date.isoformat()}
        found = service.ask("v1", "reading", "users", str(user_id), "categories", **asked)["answer"]
        counted = self._expected.shares[user_id]
        said = {one["category"]: one["share"] for one in found["categories"]}
        wrong = [
            f"{category} of user {user_id}: {said.get(category)} said, {counted.get(category)} "
            "counted"
            for category in sorted({*said, *counted})
            if abs(said.get(category, 0) - counted.get(category, 0)) > TOLERANCE
        ]
        old = service.ask("user_content", "", user_id=user_id, **asked)
        if old != said:
            wrong.append(f"the old address says {old} of user {user_id}")
        title, *shares = told(_read(found))
        shown = [f"  Read to the end by {title}"]
        shown += [f"  {line}" for line in shares[:SHOWN_CATEGORIES]]
        if len(shares) > SHOWN_CATEGORIES:
            shown.append(f"    … and {len(shares) - SHOWN_CATEGORIES} more")
        return Answer(shown, wrong)

    def _publish(self, kind: str, messages: Sequence[bytes]) -> Sequence[str]:
        """The ids that Pub/Sub gave the messages."""
        from google.cloud.pubsub_v1.types import BatchSettings

        pubsub = self._pubsub()
        topic = pubsub.topic_path(self.env[_TOPICS[kind]])
        with pubsub.publisher(batch=BatchSettings(max_messages=1000, max_latency=0.05)) as client:
            futures = [client.publish(topic, data, source="demo") for data in messages]
            return [future.result(timeout=PUBLISH_TIMEOUT) for future in futures]

    def _upload(self) -> Sequence[Landed]:
        client = GcsResource(project=self.env["GOOGLE_CLOUD_PROJECT"]).client()
        bucket = client.bucket(self.env["READING_BUCKET"])
        landed = []
        for file in self._input.files:
            blob = bucket.blob(self.env["READING_PREFIX"] + file.name)
            blob.upload_from_filename(str(file), content_type="text/csv")
            landed.append(Landed(bucket.name, blob.name, str(blob.generation)))
        client.close()
        return landed

    def _unacknowledged(self, pending: int) -> int:
        """Messages that the subscriptions still hold, or where nobody tells, a session does."""
        counts = PubSubCountsResource(url=self.env.get("PUBSUB_COUNTS_URL", "")).read()
        if counts is None:
            return pending
        names = [self._pubsub().subscription_path(self.env[v]) for v in _SUBSCRIPTIONS.values()]
        return sum(counts.unacknowledged.get(name, 0) for name in names)

    def _rejected(self, kind: str) -> Counter[str]:
        """Reasons of the demo's messages that were rejected."""
        name = self.env[_SUBSCRIPTIONS[kind]]
        with self._postgres().connect() as connection:
            rows = connection.execute(_REJECTED, (name, list(self._ids[kind]))).fetchall()
        return Counter({reason: int(count) for reason, count in rows})

    def _stalled(self, figures: Figures) -> bool:
        """Whether nothing has moved for so long that only a look at everything says why."""
        state = (figures.processed, tuple(figures.batches.items()), tuple(figures.waiting.items()))
        if state != self._last[0]:
            self._last = (state, time.monotonic())
        return time.monotonic() - self._last[1] > STALLED

    @contextmanager
    def _warehouse(self) -> Iterator[Warehouse]:
        bigquery = BigQueryResource(
            project=self.env["GOOGLE_CLOUD_PROJECT"],
            api_endpoint=self.env.get("BIGQUERY_API_ENDPOINT", ""),
        )
        with bigquery.client() as client:
            yield warehouse_of(client, self.env["READING_DATASET"])

    def _pubsub(self) -> PubSubResource:
        return PubSubResource(
            project=self.env["GOOGLE_CLOUD_PROJECT"],
            emulator_host=self.env.get("PUBSUB_EMULATOR_HOST", ""),
        )

    def _postgres(self) -> PostgresResource:
        return PostgresResource(url=self.env["POSTGRES_URL"])


def _read(sent: Mapping[str, Any]) -> CategoryShares:
    """An answer as it was before it was sent."""
    categories = tuple(CategoryShare(**one) for one in sent["categories"])
    first, last = (date.fromisoformat(sent[name]) for name in ("first", "last"))
    return CategoryShares(sent["user_id"], first, last, categories)
