"""Alerts wait in ``alerts.outbox`` until their channel has taken them; nothing waits for them.

Belongs here: putting alerts in, once each, and one sender at a time taking them out. Does not: what
they say (``alert_text.py`` and who enqueues), the channels (``alert_channels.py``).

At least once: a message is noted as sent right after it was, so a process that dies in between
sends it again; Telegram knows no key by which it could refuse the second, a webhook is given one.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from assets.frame import alert_text
from assets.frame.alert_channels import TELEGRAM, Alert, Channel, Severity
from resources.advisory_locks import Lock, held_at_once
from resources.channel_errors import ChannelRefusedError, ChannelUnavailableError

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]

#: How long an alert is known, so that it is not told again.
KEPT = timedelta(days=90)
#: More than so many waiting become one message.
STORM = 10
#: The keys of storms begin with this.
_STORMS = "storm/"
#: Seconds that one tick's deliveries take at most, well below its 60 s.
LONGEST_DELIVERY = 25.0
#: Seconds until the next attempt, doubled from failure to failure.
_FIRST_WAIT, _LONGEST_WAIT = 15.0, 900.0


@dataclass(frozen=True, slots=True)
class Delivery:
    """What one delivery did; ``problem`` is why something still waits."""

    sent: int = 0
    waiting: int = 0
    given_up: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class _Row:
    id: int
    channel: str
    alert: Alert

    @property
    def is_storm(self) -> bool:
        return self.alert.dedupe_key.startswith(_STORMS)


def enqueue(
    conn: Connection, alert: Alert, now: datetime, channels: Sequence[str] = (TELEGRAM,)
) -> bool:
    """Put an alert in for each channel, within the transaction of ``conn``.

    False when it was in already for all of them.
    """
    added = conn.execute(
        """
        INSERT INTO alerts.outbox
            (dedupe_key, channel, severity, title, body_html, link, created_at, next_attempt_at)
        SELECT %s, channel, %s, %s, %s, %s, %s, %s FROM unnest(%s::text[]) AS t (channel)
        ON CONFLICT (dedupe_key, channel) DO NOTHING
        """,
        (
            alert.dedupe_key, alert.severity,
            alert_text.shortened(alert.title, alert_text.LONGEST_TITLE),
            alert.body_html, alert.link, now, now, list(channels),
        ),
    )  # fmt: skip
    return bool(added.rowcount)


def waiting(conn: Connection, channel: str = TELEGRAM) -> int:
    """How many alerts the channel has not told anybody of and shall."""
    row = conn.execute(
        """
        SELECT count(*) FROM alerts.outbox
        WHERE channel = %s AND sent_at IS NULL AND aggregated_into IS NULL
          AND next_attempt_at IS NOT NULL
        """,
        (channel,),
    ).fetchone()
    return int(row[0]) if row else 0


def forget(conn: Connection, now: datetime) -> int:
    """Remove alerts of KEPT ago that nobody waits for any more; how many."""
    # What is part of another message is older than that: both may go in one statement.
    return conn.execute(
        """
        DELETE FROM alerts.outbox WHERE created_at < %s
          AND (sent_at IS NOT NULL OR aggregated_into IS NOT NULL OR next_attempt_at IS NULL)
        """,
        (now - KEPT,),
    ).rowcount


def deliver(
    conn: Connection, channel: Channel, now: datetime, *, seconds: float = LONGEST_DELIVERY
) -> Delivery:
    """Send what waits for the channel, oldest first, for so long; ``conn`` is in autocommit mode.

    The channel's failures are noted, not raised. Raises psycopg.Error.
    """
    with held_at_once(conn, Lock.ALERT_SENDER) as free:
        if not free:
            problem = "another sender is at work"
            return Delivery(waiting=waiting(conn, channel.name), problem=problem)
        held = conn.execute(
            "SELECT held_until, reason FROM alerts.channel WHERE channel = %s AND held_until > %s",
            (channel.name, now),
        ).fetchone()
        if held:
            problem = f"held until {held[0]:%H:%M:%S}: {held[1]}"
            return Delivery(waiting=waiting(conn, channel.name), problem=problem)
        return _send_all(conn, channel, now, time.monotonic() + seconds)


def _send_all(conn: Connection, channel: Channel, now: datetime, end: float) -> Delivery:
    sent = given_up = 0
    problem = ""
    for row in _due(conn, channel.name, now):
        if time.monotonic() > end:
            problem = "the rest follows"
            break
        try:
            message_id = channel.send(row.alert)
        except ChannelUnavailableError as error:
            problem = _hold(conn, row, str(error), error.retry_after, now)
            break
        except ChannelRefusedError as error:
            if not error.about_message:
                problem = _hold(conn, row, str(error), _LONGEST_WAIT, now)
                break
            _give_up(conn, row, str(error))
            given_up += 1
        else:
            _note_sent(conn, row, message_id, now)
            sent += 1
    return Delivery(sent, waiting(conn, channel.name), given_up, problem)


def _due(conn: Connection, channel: str, now: datetime) -> list[_Row]:
    """What is to be sent now; a storm is one message, and no storm is a part of another."""
    rows = _waiting_rows(conn, channel)
    single = [row for row in rows if not row.is_storm]
    if len(single) <= STORM:
        return rows
    with conn.transaction():
        title, body = alert_text.storm([(row.alert.severity, row.alert.title) for row in single])
        worst: Severity = max((row.alert.severity for row in single), key=_RANKS.__getitem__)
        key = f"{_STORMS}{single[0].id}-{single[-1].id}"
        enqueue(conn, Alert(key, title, body, worst), now, [channel])
        conn.execute(
            """
            UPDATE alerts.outbox SET aggregated_into =
                (SELECT id FROM alerts.outbox WHERE dedupe_key = %s AND channel = %s)
            WHERE id = ANY(%s)
            """,
            (key, channel, [row.id for row in single]),
        )
    return _waiting_rows(conn, channel)


_RANKS: dict[str, int] = {"info": 0, "warning": 1, "error": 2}


def _waiting_rows(conn: Connection, channel: str) -> list[_Row]:
    rows = conn.execute(
        """
        SELECT id, channel, dedupe_key, title, body_html, severity, link
        FROM alerts.outbox
        WHERE channel = %s AND sent_at IS NULL AND aggregated_into IS NULL
          AND next_attempt_at IS NOT NULL
        ORDER BY id
        """,
        (channel,),
    )
    return [_Row(number, name, Alert(*alert)) for number, name, *alert in rows]


def _note_sent(conn: Connection, row: _Row, message_id: int | None, now: datetime) -> None:
    with conn.transaction():
        conn.execute(
            """
            UPDATE alerts.outbox
            SET sent_at = %s, message_id = %s, attempts = attempts + 1, error = NULL
            WHERE id = %s
            """,
            (now, message_id, row.id),
        )
        conn.execute("DELETE FROM alerts.channel WHERE channel = %s", (row.channel,))


def _give_up(conn: Connection, row: _Row, error: str) -> None:
    conn.execute(
        """
        UPDATE alerts.outbox SET attempts = attempts + 1, error = %s, next_attempt_at = NULL
        WHERE id = %s
        """,
        (error, row.id),
    )


def _hold(conn: Connection, row: _Row, error: str, asked: float, now: datetime) -> str:
    """Leave the channel alone: for what was asked, and longer from failure to failure."""
    with conn.transaction():
        found = conn.execute(
            "SELECT failures FROM alerts.channel WHERE channel = %s", (row.channel,)
        ).fetchone()
        failures = found[0] if found else 0
        wait = max(asked, min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** min(failures, 10)))
        until = now + timedelta(seconds=wait)
        conn.execute(
            """
            INSERT INTO alerts.channel (channel, held_until, failures, reason)
            VALUES (%s, %s, %s, %s)
            ON CONFLICT (channel) DO UPDATE SET
                held_until = excluded.held_until, failures = excluded.failures,
                reason = excluded.reason
            """,
            (row.channel, until, failures + 1, error),
        )
        conn.execute(
            """
            UPDATE alerts.outbox SET attempts = attempts + 1, error = %s, next_attempt_at = %s
            WHERE id = %s
            """,
            (error, until, row.id),
        )
    return f"held until {until:%H:%M:%S}: {error}"
