"""What of the stream needs a person: it waits, rejects too much, dead letters do not get through.

Belongs here: which of these there are now, and their words. Does not: sending them
(``sensors/trouble.py``), checks that look back (``checks.py``).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from assets.frame.alert_channels import Alert
from assets.frame.alert_text import escaped, shortened

if TYPE_CHECKING:
    import psycopg

#: Seconds that a step of the stream may be repeated before somebody is told.
LONGEST_WAIT = 60
#: Rejected messages of a session, and their share, above which somebody is told: a publisher has
#: changed what it sends, or we what we take.
MOST_REJECTED, MOST_REJECTED_SHARE = 20, 0.2
_DETAIL_CHARACTERS = 400

_WAITING = """
SELECT t.subscription, t.waiting, s.session_id
FROM reading.session_stream AS t JOIN reading.session AS s USING (session_id)
WHERE s.state IN ('serving', 'draining') AND t.waiting IS NOT NULL
    AND s.updated_at > clock_timestamp() - interval '1 minute'
    AND substring(t.waiting FROM 'since (\\S+Z)')::timestamptz
        < clock_timestamp() - %s * interval '1 second'
"""
_REJECTING = """
SELECT t.subscription, t.rejected, t.accepted + t.rejected AS messages, s.session_id,
    (SELECT reason || ': ' || detail FROM reading.rejected_message AS r
     WHERE r.session_id = s.session_id AND r.subscription = t.subscription
     ORDER BY rejected_at DESC LIMIT 1)
FROM reading.session_stream AS t JOIN reading.session AS s USING (session_id)
WHERE s.updated_at > clock_timestamp() - interval '1 hour' AND t.rejected >= %s
    AND t.rejected > %s * (t.accepted + t.rejected)
"""
_NOT_PASSED_ON = """
SELECT subscription, count(*), min(rejected_at) FROM reading.rejected_message
WHERE dead_letter_id IS NULL AND rejected_at < clock_timestamp() - interval '5 minutes'
GROUP BY subscription
"""


def troubles(connection: psycopg.Connection[Any], now: datetime, link: str) -> Iterator[Alert]:
    """What there is to be told now; ``link`` leads to the stream in Dagster."""
    for subscription, waiting, session_id in connection.execute(_WAITING, (LONGEST_WAIT,)):
        step, _, why = waiting.partition(": ")
        yield Alert(
            dedupe_key=f"stream-waits/{session_id}/{subscription}/{step}",
            title=f"reading: {subscription} waits to {step}",
            body_html=f"{escaped(shortened(why, _DETAIL_CHARACTERS))}\n\nNothing is acknowledged "
            "meanwhile, and nothing lost. <code>make doctor</code> asks every system.",
            severity="error",
            link=link,
        )
    bound = (MOST_REJECTED, MOST_REJECTED_SHARE)
    for subscription, rejected, messages, session_id, last in connection.execute(_REJECTING, bound):
        yield Alert(
            dedupe_key=f"stream-rejects/{session_id}/{subscription}",
            title=f"reading: {rejected:,} of {messages:,} messages of {subscription} rejected",
            body_html=f"The last: {escaped(shortened(last or '', _DETAIL_CHARACTERS))}\n\n"
            f"<code>make quarantine BATCH={escaped(subscription)}</code> shows them.",
            severity="warning",
            link=link,
        )
    for subscription, count, since in connection.execute(_NOT_PASSED_ON):
        yield Alert(
            dedupe_key=f"dead-letters/{subscription}/{now:%Y-%m-%d}",
            title=f"reading: {count:,} rejected messages of {subscription} are not passed on",
            body_html=f"Since {since:%Y-%m-%d %H:%M} UTC. Postgres has them; is the dead-letter "
            "topic there, and may we publish to it? They follow with the next ones.",
            severity="warning",
            link=link,
        )
