"""What streaming sessions did with their deliveries, and the messages that they rejected, as lists.

Belongs here: these questions to ``reading.session_stream`` and ``reading.rejected_message``. Does
not: writing them (``session``), what an operator does with a message (``ops``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from resources.keyset import By, Listing, where

if TYPE_CHECKING:
    import psycopg


@dataclass(frozen=True, slots=True)
class Stream:
    """What one session did of one subscription so far; its id is its Dagster run's.

    ``lag`` is the age in seconds of the oldest message in hand, ``latency_…`` seconds from publish
    to merged, of the last minute; ``waiting`` says what it waits for.
    """

    session_id: str
    subscription: str
    state: str
    started_at: datetime
    updated_at: datetime
    ended_at: datetime | None
    received: int
    redelivered: int
    accepted: int
    rejected: int
    released: int
    pending: int
    written: int
    micro_batches: int
    lag: float | None
    latency_p50: float | None
    latency_p95: float | None
    waiting: str | None
    error: str | None


@dataclass(frozen=True, slots=True)
class RejectedMessage:
    """A message that cannot become a row; ``data`` as Postgres escapes bytes beyond ASCII."""

    subscription: str
    message_id: str
    publish_time: datetime
    reason: str
    detail: str
    attempts: int
    data: str
    session_id: str
    rejected_at: datetime
    replayed_at: datetime | None


_STREAMS = """
SELECT s.session_id, t.subscription, s.state, s.started_at, s.updated_at, s.ended_at, t.received,
    t.redelivered, t.accepted, t.rejected, t.released, t.pending, t.written, t.micro_batches,
    t.lag, t.latency_p50, t.latency_p95, t.waiting, s.error
FROM reading.session s JOIN reading.session_stream t USING (session_id)
"""
_MESSAGES = """
SELECT subscription, message_id, publish_time, reason, detail, attempts,
    encode(data, 'escape') AS data, session_id, rejected_at, replayed_at
FROM reading.rejected_message
"""
_NEWEST = f"""{_STREAMS}
WHERE s.session_id = (
    SELECT session_id FROM reading.session ORDER BY started_at DESC, session_id DESC LIMIT 1
)
"""


def streams() -> Listing[Stream]:
    """Of all sessions, those that began last before others."""
    order = (
        By("started_at", "timestamptz", descending=True),
        By("session_id", "text", descending=True), By("subscription", "text", descending=True),
    )  # fmt: skip
    return Listing(Stream, _STREAMS, order)


def newest_streams(connection: psycopg.Connection[Any]) -> list[Stream]:
    """Those of the session that began last."""
    found = Listing(Stream, _NEWEST, (By("subscription", "text"),))
    return found.page(connection, 100).rows


def rejected_messages(
    subscription: str | None = None, reason: str | None = None
) -> Listing[RejectedMessage]:
    """Messages that were rejected, the last ones first."""
    filters, bound = where({"subscription = {}": subscription, "reason = {}": reason})
    order = (
        By("rejected_at", "timestamptz", descending=True),
        By("subscription", "text", descending=True), By("message_id", "text", descending=True),
    )  # fmt: skip
    return Listing(RejectedMessage, f"{_MESSAGES} {filters}", order, bound)
