"""Alerts wait in ``alerts.outbox`` until their channel has taken them; nothing waits for them.

Belongs here: putting alerts in, once each, and one sender at a time taking them out. Does not: what
they say (``alert_text.py`` and who enqueues), the channel (``resources/telegram.py``).

At least once: a message is noted as sent right after it was, so a process that dies in between
sends it again; Telegram knows no key by which it could refuse the second.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from assets.frame import alert_text
from resources.advisory_locks import Lock, held_at_once
from resources.telegram import TelegramRefusedError, TelegramResource, TelegramUnavailableError

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]

Severity = Literal["info", "warning", "error"]

CHANNEL = "telegram"
#: How long an alert is known, so that it is not told again.
KEPT = timedelta(days=90)
#: More than so many waiting become one message.
STORM = 10
#: Seconds that one delivery takes at most, well below the 60 s of a tick.
LONGEST_DELIVERY = 25.0
#: Seconds until the next attempt, doubled from failure to failure.
_FIRST_WAIT, _LONGEST_WAIT = 15.0, 900.0


@dataclass(frozen=True, slots=True)
class Alert:
    """What is told once. ``dedupe_key`` names what it is about, ``title`` is plain text."""

    dedupe_key: str
    title: str
    body_html: str = ""
    severity: Severity = "info"
    link: str | None = None


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
    severity: Severity
    title: str
    body_html: str
    link: str | None
    is_storm: bool

    @property
    def text(self) -> str:
        return alert_text.message(self.severity, self.title, self.body_html, self.link)


def enqueue(conn: Connection, alert: Alert, now: datetime) -> bool:
    """Put an alert in, within the transaction of ``conn``; False when it was in already."""
    added = conn.execute(
        """
        INSERT INTO alerts.outbox
            (dedupe_key, channel, severity, title, body_html, link, created_at, next_attempt_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
        ON CONFLICT (dedupe_key) DO NOTHING
        """,
        (
            alert.dedupe_key, CHANNEL, alert.severity,
            alert_text.shortened(alert.title, alert_text.LONGEST_TITLE),
            alert.body_html, alert.link, now, now,
        ),
    )  # fmt: skip
    return bool(added.rowcount)


def waiting(conn: Connection) -> int:
    """How many alerts nobody has been told of and somebody shall be."""
    row = conn.execute(
        """
        SELECT count(*) FROM alerts.outbox
        WHERE channel = %s AND sent_at IS NULL AND aggregated_into IS NULL
          AND next_attempt_at IS NOT NULL
        """,
        (CHANNEL,),
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


def deliver(conn: Connection, telegram: TelegramResource, now: datetime) -> Delivery:
    """Send what waits, oldest first; ``conn`` is in autocommit mode.

    Telegram's failures are noted, not raised. Raises psycopg.Error.
    """
    with held_at_once(conn, Lock.ALERT_SENDER) as free:
        if not free:
            return Delivery(waiting=waiting(conn), problem="another sender is at work")
        held = conn.execute(
            "SELECT held_until, reason FROM alerts.channel WHERE channel = %s AND held_until > %s",
            (CHANNEL, now),
        ).fetchone()
        if held:
            problem = f"held until {held[0]:%H:%M:%S}: {held[1]}"
            return Delivery(waiting=waiting(conn), problem=problem)
        return _send_all(conn, telegram, now)


def _send_all(conn: Connection, telegram: TelegramResource, now: datetime) -> Delivery:
    end = time.monotonic() + LONGEST_DELIVERY
    sent = given_up = 0
    problem = ""
    for row in _due(conn, now):
        if time.monotonic() > end:
            problem = "the rest follows"
            break
        try:
            message_id = telegram.send(row.text)
        except TelegramUnavailableError as error:
            problem = _hold(conn, row, str(error), error.retry_after, now)
            break
        except TelegramRefusedError as error:
            if not error.about_message:
                problem = _hold(conn, row, str(error), _LONGEST_WAIT, now)
                break
            _give_up(conn, row, str(error))
            given_up += 1
        else:
            _note_sent(conn, row, message_id, now)
            sent += 1
    return Delivery(sent, waiting(conn), given_up, problem)


def _due(conn: Connection, now: datetime) -> list[_Row]:
    """What is to be sent now; a storm is one message, and no storm is a part of another."""
    rows = _waiting_rows(conn)
    single = [row for row in rows if not row.is_storm]
    if len(single) <= STORM:
        return rows
    with conn.transaction():
        title, body = alert_text.storm([(row.severity, row.title) for row in single])
        worst: Severity = max((row.severity for row in single), key=_RANKS.__getitem__)
        key = f"storm/{single[0].id}-{single[-1].id}"
        enqueue(conn, Alert(key, title, body, worst), now)
        conn.execute(
            """
            UPDATE alerts.outbox SET aggregated_into =
                (SELECT id FROM alerts.outbox WHERE dedupe_key = %s)
            WHERE id = ANY(%s)
            """,
            (key, [row.id for row in single]),
        )
    return _waiting_rows(conn)


_RANKS: dict[str, int] = {"info": 0, "warning": 1, "error": 2}


def _waiting_rows(conn: Connection) -> list[_Row]:
    rows = conn.execute(
        """
        SELECT id, severity, title, body_html, link, starts_with(dedupe_key, 'storm/')
        FROM alerts.outbox
        WHERE channel = %s AND sent_at IS NULL AND aggregated_into IS NULL
          AND next_attempt_at IS NOT NULL
        ORDER BY id
        """,
        (CHANNEL,),
    )
    return [_Row(*row) for row in rows]


def _note_sent(conn: Connection, row: _Row, message_id: int, now: datetime) -> None:
    with conn.transaction():
        conn.execute(
            """
            UPDATE alerts.outbox
            SET sent_at = %s, message_id = %s, attempts = attempts + 1, error = NULL
            WHERE id = %s
            """,
            (now, message_id, row.id),
        )
        conn.execute("DELETE FROM alerts.channel WHERE channel = %s", (CHANNEL,))


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
            "SELECT failures FROM alerts.channel WHERE channel = %s", (CHANNEL,)
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
            (CHANNEL, until, failures + 1, error),
        )
        conn.execute(
            """
            UPDATE alerts.outbox SET attempts = attempts + 1, error = %s, next_attempt_at = %s
            WHERE id = %s
            """,
            (error, until, row.id),
        )
    return f"held until {until:%H:%M:%S}: {error}"
