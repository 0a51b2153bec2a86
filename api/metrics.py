"""What Prometheus is told: requests, systems, streams, costs, and what the ledger says of sources.

Belongs here: names, labels and when each is set. Does not: the questions to the ledger
(``landing/arrival/standing.py``).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

if TYPE_CHECKING:
    from assets.domains.answers import Spent
    from assets.reading.answers import Stream

#: What a route that there is not counts under: paths are anybody's, labels must be few.
_NO_ROUTE = "none"
_NO_STATUS = 500


class Metrics:
    """The metrics of one service."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        of = ["route", "method", "status"]
        self.seconds = self._histogram("request_seconds", "Seconds until the answer began.", of)
        #: As the library finds them by their labels, at half the cost of a request's note.
        self._series: dict[tuple[str, str, int], Histogram] = {}
        self._refused = Counter(
            "quintet_requests_refused_total", "Answers of 400 and more, by code of the status.",
            ["status"], registry=self._registry,
        )  # fmt: skip
        self._there = self._gauge("system_there", "1 while a system answers.", ["system"])
        self._oldest = self._gauge(
            "source_oldest_seconds", "Age of the oldest object that is not loaded.", ["source"]
        )
        self._batches = self._gauge(
            "batches_open", "Batches that are not loaded.", ["source", "state"]
        )
        self._quarantined = self._gauge(
            "quarantined_rows", "Rejected rows that were not put back.", ["source"]
        )

        of = ["subscription"]
        self._lag = self._gauge(
            "stream_lag_seconds", "Age of the oldest message in a session's hand.", of
        )
        self._latency = self._gauge(
            "stream_latency_seconds", "Publish to merged, 95th percentile of a minute.", of
        )
        self._pending = self._gauge("stream_pending", "Messages in a session's hand.", of)
        self._heard = self._gauge(
            "stream_heard_seconds", "Since the newest session last said how it is.", of
        )
        of = ["month"]
        self._spent = self._gauge("openai_spent_dollars", "What summaries cost.", of)
        self._budget = self._gauge("openai_budget_dollars", "What they may cost.", of)

    def note_request(self, route: str, method: str, status: int, seconds: float) -> None:
        """One answer."""
        of = (route, method, status)
        series = self._series.get(of)
        if series is None:
            series = self._series[of] = self.seconds.labels(route, method, str(status))
        series.observe(seconds)
        if status >= 400:  # noqa: PLR2004
            self._refused.labels(str(status)).inc()

    def note_systems(self, there: Mapping[str, bool]) -> None:
        """Which systems answer, as far as it is known."""
        for name, one in there.items():
            self._there.labels(name).set(one)

    def note_ledger(
        self,
        sources: Iterable[str],
        oldest: Mapping[str, datetime],
        batches: Mapping[tuple[str, str], int],
        quarantined: Mapping[str, int],
    ) -> None:
        """What the ledger says now; what it said before and does not any more is gone."""
        now = datetime.now(UTC)
        self._batches.clear()
        for (source, state), count in batches.items():
            self._batches.labels(source, state).set(count)
        for source in sources:
            since = oldest.get(source)
            age = max((now - since).total_seconds(), 0.0) if since else 0.0
            self._oldest.labels(source).set(age)
            self._quarantined.labels(source).set(quarantined.get(source, 0))

    def note_streams(self, streams: Iterable[Stream]) -> None:
        """What the newest streaming session says of each subscription."""
        now = datetime.now(UTC)
        for one in (self._lag, self._latency, self._pending, self._heard):
            one.clear()
        for stream in streams:
            name = stream.subscription
            self._pending.labels(name).set(stream.pending)
            self._heard.labels(name).set(max((now - stream.updated_at).total_seconds(), 0.0))
            if stream.lag is not None:
                self._lag.labels(name).set(stream.lag)
            if stream.latency_p95 is not None:
                self._latency.labels(name).set(stream.latency_p95)

    def note_costs(self, months: Iterable[Spent]) -> None:
        """What the newest months cost."""
        for one in (self._spent, self._budget):
            one.clear()
        for month in months:
            self._spent.labels(month.month).set(month.spent)
            self._budget.labels(month.month).set(month.maximum)

    def text(self) -> bytes:
        """All of them, as Prometheus reads them."""
        return generate_latest(self._registry)

    def _gauge(self, name: str, says: str, labels: list[str]) -> Gauge:
        return Gauge(f"quintet_{name}", says, labels, registry=self._registry)

    def _histogram(self, name: str, says: str, labels: list[str]) -> Histogram:
        return Histogram(f"quintet_{name}", says, labels, registry=self._registry)


class Timed:
    """Notes how long every answer took, under its route's template."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), _NO_STATUS
        ended = None

        async def noted(message: Message) -> None:
            nonlocal status, ended
            if message["type"] == "http.response.start":
                status, ended = message["status"], time.perf_counter()
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            route = getattr(scope.get("route"), "path", _NO_ROUTE)
            seconds = (ended or time.perf_counter()) - began
            self._metrics.note_request(route, scope["method"], status, seconds)
