"""The ledger of what arrived: object versions, the batches made of them, where the scan stands.

Belongs here: typed reads and writes of ``landing.object_version``, ``landing.scan`` and the
creation of batches, over a psycopg connection. Does not: what happens to a batch (ledger.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from landing.arrival.batching import Arrival
from landing.arrival.identity import ObjectVersion
from landing.arrival.scan import ScanResult
from landing.arrival.source import Source
from resources.advisory_locks import Lock, take_until_commit

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]

MAX_BATCHES_PER_SECOND = 9_999


@dataclass(frozen=True, slots=True)
class Backlog:
    """What a source has not loaded yet.

    ``oldest_seen_at`` is when the oldest object was seen that no loaded batch holds.
    ``waiting`` are pending batches, ``failed`` those whose next attempt is not due yet,
    ``stopped`` those that wait for an operator, ``elsewhere`` those that wait for somebody else's
    work.
    """

    unassigned: int
    oldest_seen_at: datetime | None
    waiting: int
    in_flight: int
    failed: int
    stopped: int
    elsewhere: int


def record_versions(
    connection: Connection, source: str, versions: Sequence[ObjectVersion], seen_at: datetime
) -> int:
    """Write those versions of a page that the ledger does not know; return how many.

    Two ticks may record the same page at once: each version is written by one of them.
    """
    if not versions:
        return 0
    return connection.execute(
        """
        INSERT INTO landing.object_version
            (source, store, bucket, key, version, size, modified_at, seen_at)
        SELECT %(source)s, %(store)s, %(bucket)s,
               page.key, page.version, page.size, page.modified_at, %(seen_at)s
        FROM unnest(%(keys)s::text[], %(versions)s::text[], %(sizes)s::bigint[],
                    %(modified)s::timestamptz[])
             WITH ORDINALITY AS page (key, version, size, modified_at, position)
        WHERE NOT EXISTS (
            SELECT FROM landing.object_version AS known
            WHERE known.store = %(store)s AND known.bucket = %(bucket)s
              AND known.key = page.key AND known.version = page.version)
        ORDER BY page.position
        ON CONFLICT (store, bucket, key, version, occurrence) DO NOTHING
        """,
        {
            "source": source,
            "store": versions[0].store,
            "bucket": versions[0].bucket,
            "seen_at": seen_at,
            "keys": [version.key for version in versions],
            "versions": [version.version for version in versions],
            "sizes": [version.size for version in versions],
            "modified": [version.modified_at for version in versions],
        },
    ).rowcount


def unassigned(
    connection: Connection,
    source: Source,
    limit: int,
    unit: Callable[[ObjectVersion], str] | None = None,
) -> list[Arrival]:
    """The object versions that belong to no batch, in order of arrival, at most ``limit``.

    ``unit`` gives the partition of each, where the source's own rule does not.
    """
    rows = connection.execute(
        """
        SELECT seq, size, seen_at, store, bucket, key, version, size, modified_at
        FROM landing.object_version
        WHERE source = %s AND batch_id IS NULL ORDER BY seq LIMIT %s
        """,
        (source.name, limit),
    )
    unit = unit or source.unit
    return [
        Arrival(seq, size, seen_at, unit(ObjectVersion(*version)) if unit else None)
        for seq, size, seen_at, *version in rows
    ]


def lock_source(connection: Connection, source: str) -> None:
    """Be the only one, until the transaction ends, who makes and requests batches of a source."""
    take_until_commit(connection, Lock.SOURCE, source)


def create_batch(
    connection: Connection, source: Source, arrivals: Sequence[Arrival], now: datetime
) -> str:
    """Make one batch of these versions, of one unit, with its sinks, in one transaction; its id.

    Ids increase strictly in the order in which batches become visible, whatever the clock does.
    The caller holds :func:`lock_source`. Raises RuntimeError when a version is in a batch already.
    """
    with connection.transaction():
        take_until_commit(connection, Lock.BATCH_ID)
        row = connection.execute("SELECT max(batch_id) FROM landing.batch").fetchone()
        batch_id = next_batch_id(row[0] if row else None, now)
        connection.execute(
            """
            INSERT INTO landing.batch
                (batch_id, unit, source, pipeline, objects, bytes, created_at)
            VALUES (%s, %s, %s, %s, %s, %s, %s)
            """,
            (
                batch_id,
                arrivals[0].unit,
                source.name,
                source.pipeline,
                len(arrivals),
                sum(arrival.size for arrival in arrivals),
                now,
            ),
        )
        taken = connection.execute(
            """
            UPDATE landing.object_version SET batch_id = %s
            WHERE seq = ANY(%s) AND batch_id IS NULL
            """,
            (batch_id, [arrival.seq for arrival in arrivals]),
        ).rowcount
        if taken != len(arrivals):
            message = f"{len(arrivals) - taken} object versions of {source.name} have a batch"
            raise RuntimeError(message)
        connection.execute(
            "INSERT INTO landing.batch_sink (batch_id, sink) SELECT %s, unnest(%s::text[])",
            (batch_id, list(source.sinks)),
        )
    return batch_id


def next_batch_id(last: str | None, now: datetime) -> str:
    """``20261122T101503Z-0001``: the second and a number in it, always above ``last``."""
    second = now.astimezone(UTC).replace(microsecond=0)
    number = 1
    if last is not None:
        stamp, _, suffix = last.partition("-")
        last_second = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        if last_second >= second:
            second, number = last_second, int(suffix) + 1
        if number > MAX_BATCHES_PER_SECOND:
            second, number = second + timedelta(seconds=1), 1
    return f"{second:%Y%m%dT%H%M%SZ}-{number:04d}"


def backlog(connection: Connection, source: str) -> Backlog:
    """What a source has not loaded yet. Cheap: partial indexes cover it."""
    row = connection.execute(
        """
        SELECT
            (SELECT count(*) FROM landing.object_version
             WHERE source = %(source)s AND batch_id IS NULL),
            least(
                (SELECT seen_at FROM landing.object_version
                 WHERE source = %(source)s AND batch_id IS NULL ORDER BY seq LIMIT 1),
                (SELECT min(seen_at) FROM landing.object_version
                 WHERE batch_id = min(open.batch_id))),
            count(*) FILTER (WHERE state = 'pending'),
            count(*) FILTER (WHERE state IN ('requested', 'running')),
            count(*) FILTER (WHERE state = 'failed_transient'),
            count(*) FILTER (WHERE state = 'failed_permanent'),
            count(*) FILTER (WHERE state = 'waiting')
        FROM landing.batch AS open
        WHERE source = %(source)s AND state NOT IN ('loaded', 'loaded_with_rejects')
        """,
        {"source": source},
    ).fetchone()
    if row is None:
        raise AssertionError
    return Backlog(*row)


def save_scan(connection: Connection, source: str, result: ScanResult, now: datetime) -> None:
    """Make where the scan stands visible; the sensor's cursor, not this, is what it goes on from.

    Counts are those of the current cycle.
    """
    position = result.position
    connection.execute(
        """
        INSERT INTO landing.scan (source, position, cycle, cycle_started_at, last_cycle_seconds,
                                  last_tick_at, listed, known, ignored)
        VALUES (%(source)s, %(position)s, %(cycle)s, %(started)s, %(seconds)s, %(now)s,
                %(listed)s, %(known)s, %(ignored)s)
        ON CONFLICT (source) DO UPDATE SET
            position = EXCLUDED.position, cycle = EXCLUDED.cycle,
            cycle_started_at = EXCLUDED.cycle_started_at,
            last_cycle_seconds = EXCLUDED.last_cycle_seconds,
            last_tick_at = EXCLUDED.last_tick_at, listed = EXCLUDED.listed,
            known = EXCLUDED.known, ignored = EXCLUDED.ignored
        """,
        {
            "source": source,
            # Postgres text cannot hold NUL, which a listed key may.
            "position": position.after.replace("\0", "\N{SYMBOL FOR NULL}")
            if position.after
            else None,
            "cycle": position.cycle,
            "started": position.cycle_started_at or now,
            "seconds": position.last_cycle_seconds,
            "now": now,
            "listed": result.listed if result.finished_cycle else position.listed,
            "known": result.known if result.finished_cycle else position.known,
            "ignored": sum(result.ignored.values()) if result.finished_cycle else position.ignored,
        },
    )
