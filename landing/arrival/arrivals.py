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
from landing.arrival.identity import ObjectVersion, StoreKind
from landing.arrival.scan import ScanResult
from landing.arrival.source import Source
from landing.arrival.states import retry_delay
from resources.advisory_locks import Lock, take_until_commit

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]

MAX_BATCHES_PER_SECOND = 9_999

#: After which a version that is listed again may occur again: the first time, the second, ….
REOPEN_WAITS = [retry_delay(attempt) for attempt in range(1, 5)]


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


#: Versions of a page that the ledger does not know.
_UNKNOWN = """
SELECT page.*, 0 AS occurrence FROM page
WHERE NOT EXISTS (
    SELECT FROM landing.object_version AS known
    WHERE known.store = %(store)s AND known.bucket = %(bucket)s
      AND known.key = page.key AND known.version = page.version)
"""
#: Those that were found gone or superseded, and are current after all.
_BACK = """
SELECT page.*, known.occurrence + 1 FROM page
CROSS JOIN LATERAL (
    SELECT o.* FROM landing.object_version AS o
    WHERE o.store = %(store)s AND o.bucket = %(bucket)s AND o.key = page.key
      AND o.version = page.version AND o.outcome IN ('gone', 'superseded')
    ORDER BY o.occurrence DESC LIMIT 1) AS known
WHERE NOT EXISTS (
    SELECT FROM landing.object_version AS later
    WHERE later.store = known.store AND later.bucket = known.bucket AND later.key = known.key
      AND later.version = known.version AND later.occurrence > known.occurrence)
"""
#: Those that were decided, and are current again since what was decided after them is no more.
#: Looked for by the newest of their key, so that only keys that were rewritten cost anything.
_UNCOVERED = """
SELECT page.*, known.occurrence + 1 FROM page
CROSS JOIN LATERAL (
    SELECT o.version, o.seq FROM landing.object_version AS o
    WHERE o.store = %(store)s AND o.bucket = %(bucket)s AND o.key = page.key
      AND o.key_known AND o.outcome IN ('loaded', 'rejected')
    ORDER BY o.seq DESC LIMIT 1) AS newest
CROSS JOIN LATERAL (
    SELECT o.* FROM landing.object_version AS o
    WHERE o.store = %(store)s AND o.bucket = %(bucket)s AND o.key = page.key
      AND o.version = page.version AND o.version <> newest.version
    ORDER BY o.occurrence DESC LIMIT 1) AS known
WHERE known.outcome IN ('loaded', 'rejected') AND known.seq < newest.seq
"""
#: Of either, only some time after they were decided.
_DUE = """
AND EXISTS (
    SELECT FROM landing.batch AS b
    WHERE b.batch_id = known.batch_id AND b.validated_at <= %(seen_at)s
        - (%(waits)s::interval[])[least(known.occurrence + 1, cardinality(%(waits)s::interval[]))])
"""
#: An object put back from quarantine is as old as the one that its rows came from; one that is
#: current again is newer than all that its key has held.
_RECORD = f"""
WITH page AS MATERIALIZED (
    SELECT * FROM unnest(%(keys)s::text[], %(versions)s::text[], %(sizes)s::bigint[],
                         %(modified)s::timestamptz[])
         WITH ORDINALITY AS page (key, version, size, modified_at, position)
), found AS ({_UNKNOWN} UNION ALL {_BACK} {_DUE} UNION ALL {_UNCOVERED} {_DUE})
INSERT INTO landing.object_version
    (source, store, bucket, key, version, size, modified_at, seen_at, occurrence, key_known,
     order_at, order_seq)
SELECT %(source)s, %(store)s, %(bucket)s, found.key, found.version, found.size, found.modified_at,
    %(seen_at)s, found.occurrence, other.seq IS NOT NULL,
    coalesce(source.order_at, CASE WHEN found.occurrence > 0 THEN (
        SELECT max(greatest(o.arrived, o.order_at)) FROM landing.object_version AS o
        WHERE o.store = %(store)s AND o.bucket = %(bucket)s AND o.key = found.key) END),
    source.order_seq
FROM found
LEFT JOIN LATERAL (
    SELECT o.seq FROM landing.object_version AS o
    WHERE o.store = %(store)s AND o.bucket = %(bucket)s AND o.key = found.key
    LIMIT 1) AS other ON true
LEFT JOIN LATERAL (
    SELECT p.order_at, p.order_seq FROM landing.put_back AS p
    WHERE p.store = %(store)s AND p.bucket = %(bucket)s AND p.key = found.key
      AND p.version IN ('', found.version)
    ORDER BY p.version DESC LIMIT 1) AS source ON true
ORDER BY found.position
ON CONFLICT (store, bucket, key, version, occurrence) DO NOTHING
"""


def record_versions(
    connection: Connection, source: str, versions: Sequence[ObjectVersion], seen_at: datetime
) -> int:
    """Write those versions of a page that the ledger does not know; return how many.

    A version that is listed as current although it was found gone or superseded, or although a
    newer one of its key was decided since, occurs once more: another row, to be read by another
    batch. It waits as long as a failed batch does, so that a store that lists what it does not
    give, or gives in turns, asks for few.
    Two ticks may record the same page at once: each version is written by one of them. A page may
    be older than what it is compared with: the version that occurs again for nothing is found
    superseded when it is read.
    """
    if not versions:
        return 0
    return connection.execute(
        _RECORD,
        {
            "source": source,
            "store": versions[0].store,
            "bucket": versions[0].bucket,
            "seen_at": seen_at,
            "keys": [version.key for version in versions],
            "versions": [version.version for version in versions],
            "sizes": [version.size for version in versions],
            "modified": [version.modified_at for version in versions],
            "waits": REOPEN_WAITS,
        },
    ).rowcount


def note_put_back(
    connection: Connection,
    store: StoreKind,
    bucket: str,
    *,
    of: tuple[str, str],
    key: str,
    version: str = "",
) -> None:
    """Order an object at ``key`` that holds rejects of ``of``, a key and version, as that one.

    Noted before the object is put: it has no version yet, and every one of ``key`` is meant. Where
    ``key`` may get others, ``version`` says which, after it was put; until its batch is validated
    this is in time. Raises LookupError when the ledger does not know ``of``.
    """
    values = {
        "store": store,
        "bucket": bucket,
        "of_key": of[0],
        "of_version": of[1],
        "key": key,
        "version": version,
    }
    with connection.transaction():
        noted = connection.execute(
            """
            INSERT INTO landing.put_back (store, bucket, key, version, of_seq, order_at, order_seq)
            SELECT store, bucket, %(key)s, %(version)s, seq, coalesce(order_at, arrived),
                coalesce(order_seq, seq)
            FROM landing.object_version
            WHERE store = %(store)s AND bucket = %(bucket)s AND key = %(of_key)s
              AND version = %(of_version)s
            ORDER BY occurrence DESC LIMIT 1
            ON CONFLICT (store, bucket, key, version) DO UPDATE SET of_seq = excluded.of_seq,
                order_at = excluded.order_at, order_seq = excluded.order_seq
            """,
            values,
        ).rowcount
        if not noted:
            raise LookupError(f"{of[0]}#{of[1]} of {bucket} is not in the ledger")
        if version:
            connection.execute(
                """
                UPDATE landing.object_version v SET order_at = p.order_at, order_seq = p.order_seq
                FROM landing.put_back p
                WHERE (p.store, p.bucket, p.key, p.version) = (v.store, v.bucket, v.key, v.version)
                  AND v.store = %(store)s AND v.bucket = %(bucket)s AND v.key = %(key)s
                  AND v.version = %(version)s AND v.outcome IS NULL
                """,
                values,
            )


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
