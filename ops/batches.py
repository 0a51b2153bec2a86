"""``make batches``: what is not loaded yet, why, and when it is tried again.

Belongs here: that command and what it prints. Does not: the questions (``landing.arrival.standing``
and ``ledger``), or asking for anything (``ops.replay``).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from assets.pipelines import PIPELINES, declaration
from landing.arrival import ledger, standing
from landing.arrival.states import ALL_STATES, LOADED
from ops.environment import require
from ops.terminal import printable, table
from resources.postgres import PostgresResource

if TYPE_CHECKING:
    from landing.arrival.ledger import Batch
    from landing.arrival.standing import Unloaded

_ERROR_CHARACTERS = 100
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def run(*, limit: int) -> int:
    """Print every source's oldest object that is not loaded, and at most ``limit`` open batches.

    0 always: what waits is no failure of the command.
    """
    postgres = PostgresResource(url=require("POSTGRES_URL"))
    sources = [files.source_name for name in PIPELINES for files in declaration(name).landed]
    open_states = [state for state in ALL_STATES if state not in LOADED]
    with postgres.connect() as connection:
        oldest = {source: standing.oldest_unloaded(connection, source) for source in sources}
        batches = ledger.batches(connection, states=open_states, limit=limit + 1)
    now = datetime.now(UTC)
    # Only now: whoever reads may have gone (`… | head -1`).
    print(table(_source_rows(oldest, now)))
    if not batches:
        print("\nEvery batch is loaded.")
        return 0
    print("\n" + table(_batch_rows(batches[:limit], now)))
    if len(batches) > limit:
        print("\n… and more: python -m ops batches --limit N")
    print("\n`make replay BATCH=…` requests a failed one again; `make quarantine` has the rejects.")
    return 0


def _source_rows(oldest: dict[str, Unloaded | None], now: datetime) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("source", "oldest not loaded", "for", "in batch", "state")]
    for source, found in oldest.items():
        if found is None:
            rows.append((source, "-", "-", "-", "-"))
            continue
        rows.append(
            (
                source,
                printable(found.name),
                age(now - found.since),
                found.batch_id or "none yet",
                found.state or "seen",
            )
        )
    return rows


def _batch_rows(batches: Sequence[Batch], now: datetime) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [
        ("batch", "source", "state", "age", "objects", "attempts", "next", "error")
    ]
    return rows + [
        (
            batch.batch_id,
            batch.source,
            batch.state,
            age(now - batch.created_at),
            f"{batch.objects:,}",
            f"{batch.attempt}",
            _next(batch, now),
            _short(batch.error),
        )
        for batch in batches
    ]


def _next(batch: Batch, now: datetime) -> str:
    """When it is requested again."""
    if batch.state == "failed_permanent":
        return "by you"
    if batch.next_attempt_at is None:
        return "-"
    left = batch.next_attempt_at - now
    return f"in {age(left)}" if left > timedelta() else "due"


def _short(error: str | None) -> str:
    text = printable((error or "-")[: _ERROR_CHARACTERS + 1])
    return text[:_ERROR_CHARACTERS] + "…" if len(text) > _ERROR_CHARACTERS else text


def age(passed: timedelta) -> str:
    """A time in its largest unit: ``40 s``, ``5 min``, ``3 h``, ``2 d``."""
    seconds = max(int(passed.total_seconds()), 0)
    if seconds < _MINUTE:
        return f"{seconds} s"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE} min"
    return f"{seconds // _HOUR} h" if seconds < 2 * _DAY else f"{seconds // _DAY} d"
