"""Months that wait for answers from batches, their own or another month's: a run of each follows.

Belongs here: rows of awaited_month. Does not: asking for the run (a sensor), the batches
(``batch_ledger``).

A month is noted before its prompts are given away, and forgotten by the run that finds all of them
answered: whoever dies in between, the month is still there.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from assets.domains.asking.ledger import budget_key

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]

#: The clock's time, not the transaction's: every note is another.
_NOTE = """
INSERT INTO domains.awaited_month (month, since) VALUES (%s, clock_timestamp())
ON CONFLICT (month) DO UPDATE SET since = excluded.since
"""
_FORGET = "DELETE FROM domains.awaited_month WHERE month = %s"
_ALL = """
SELECT w.month, w.since, (
    SELECT count(DISTINCT a.prompt_hash)
    FROM domains.summary_prompt s JOIN domains.openai_answer a USING (prompt_hash)
    WHERE s.month = w.month AND a.state = 'batched'), (
    SELECT max(b.batch_id) FROM landing.batch b
    WHERE b.pipeline = 'domains' AND b.unit = to_char(w.month, 'YYYY-MM') AND b.state = 'waiting')
FROM domains.awaited_month w ORDER BY w.month
"""


@dataclass(frozen=True, slots=True)
class Awaited:
    """A month, since when it waits, and how many of its prompts are in any month's batch.

    ``landed`` is the landing batch that asked for it and waits, too; None for a month that a person
    started.
    """

    start: date
    since: datetime
    batched: int
    landed: str | None = None

    @property
    def month(self) -> str:
        """As its partition is called."""
        return budget_key(self.start)

    @property
    def run_key(self) -> str:
        """The same until a run has waited again."""
        return f"summaries/{self.month}/{self.since.astimezone(UTC).isoformat()}"


def note(conn: Connection, month: date) -> None:
    """The month waits, from now on."""
    conn.execute(_NOTE, (month,))


def forget(conn: Connection, month: date) -> None:
    """The month waits no more."""
    conn.execute(_FORGET, (month,))


def months(conn: Connection) -> list[Awaited]:
    """All that wait, the oldest month first."""
    return [Awaited(*row) for row in conn.execute(_ALL)]
