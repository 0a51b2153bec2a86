"""The sinks that the code declares, against those that the ledger's batches have.

Belongs here: what a deploy that renames, drops or adds a sink does to batches. Does not: what a
sink is (the pipeline's declaration).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from landing.batch.delivery import close_if_done

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]

#: What the row of a sink says that the code does not know any more.
RETIRED = "the code declares no such sink any more; it counts again if one of this name comes back"


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What a deploy changed. ``lacking``: how many loaded batches have not been in a new sink."""

    retired: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    closed: tuple[str, ...] = ()
    lacking: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        said = [f"sinks retired: {', '.join(self.retired)}"] if self.retired else []
        said += [f"sinks added: {', '.join(self.added)}"] if self.added else []
        said += [f"{len(self.closed)} batches loaded by that"] if self.closed else []
        said += [
            f"{count} loaded batches were never in {sink}: a backfill writes them"
            for sink, count in self.lacking.items()
        ]
        return "; ".join(said)


def reconcile(
    connection: Connection, source: str, sinks: Sequence[str], now: datetime
) -> Reconciled:
    """Bring the open batches of a source to the declared sinks, in the caller's transaction.

    All of them are read only when the code's sinks are others than at the last time. A sink that
    the code does not know is retired, one that comes back is pending again, a new one is added to
    batches that no run works on; a batch that has nothing left to do is closed.
    """
    known = connection.execute(
        "SELECT sinks FROM landing.scan WHERE source = %s", (source,)
    ).fetchone()
    declared = sorted(sinks)
    if known is not None and known[0] == declared:
        return Reconciled()
    found, whole = _reconcile_all(connection, source, sinks)
    if not whole:  # a run is committing one of them: at the next tick
        return found
    connection.execute(
        """
        INSERT INTO landing.scan (source, cycle, cycle_started_at, last_tick_at, listed, known,
            ignored, sinks)
        VALUES (%(source)s, 0, %(now)s, %(now)s, 0, 0, 0, %(sinks)s)
        ON CONFLICT (source) DO UPDATE SET sinks = EXCLUDED.sinks
        """,
        {"source": source, "now": now, "sinks": declared},
    )
    before = None if known is None else known[0]
    new = () if before is None else tuple(sink for sink in declared if sink not in before)
    lacking = {sink: count for sink, count in lacking_sinks(connection, source, new) if count}
    return Reconciled(found.retired, found.added, found.closed, lacking)


def reconcile_batches(
    connection: Connection, source: str, sinks: Sequence[str], batch_ids: Sequence[str]
) -> Reconciled:
    """The same for these open batches, whatever was done before: an old run may have ended."""
    return _reconcile_all(connection, source, sinks, batch_ids)[0]


_CHOSEN = """
    b.source = %(source)s AND b.state NOT IN ('loaded', 'loaded_with_rejects')
    AND (%(only)s::text[] IS NULL OR b.batch_id = ANY(%(only)s))
"""
_OFF = f"""
SELECT b.batch_id FROM landing.batch b
WHERE {_CHOSEN} AND (
    EXISTS (SELECT FROM landing.batch_sink s WHERE s.batch_id = b.batch_id
            AND CASE WHEN s.sink = ANY(%(sinks)s) THEN s.state = 'retired'
                     ELSE s.state IN ('pending', 'failed') END)
    OR (b.state <> 'running' AND (SELECT count(*) FROM landing.batch_sink s
        WHERE s.batch_id = b.batch_id AND s.sink = ANY(%(sinks)s)) < %(count)s))
"""


def _reconcile_all(
    connection: Connection, source: str, sinks: Sequence[str], only: Sequence[str] | None = None
) -> tuple[Reconciled, bool]:
    """What changed, and whether no batch that is off was in use by another transaction."""
    values: dict[str, Any] = {
        "source": source,
        "sinks": list(sinks),
        "count": len(set(sinks)),
        "only": None if only is None else list(only),
        "note": RETIRED,
    }
    off = [row[0] for row in connection.execute(_OFF, values)]
    if not off:
        return Reconciled(), True
    # Batches before their sinks, as a run that reports does; one that is committing is not waited
    # for.
    locked = connection.execute(
        "SELECT batch_id FROM landing.batch WHERE batch_id = ANY(%s) ORDER BY batch_id"
        " FOR UPDATE SKIP LOCKED",
        (off,),
    ).fetchall()
    values["batches"] = [row[0] for row in locked]
    retired = connection.execute(
        """
        UPDATE landing.batch_sink SET state = 'retired', error_class = NULL, error = %(note)s
        WHERE batch_id = ANY(%(batches)s) AND state IN ('pending', 'failed')
          AND sink <> ALL(%(sinks)s)
        RETURNING sink
        """,
        values,
    ).fetchall()
    added = connection.execute(
        """
        INSERT INTO landing.batch_sink AS s (batch_id, sink)
        SELECT b.batch_id, t.sink FROM landing.batch b, unnest(%(sinks)s::text[]) AS t (sink)
        WHERE b.batch_id = ANY(%(batches)s) AND b.state <> 'running'
        ON CONFLICT (batch_id, sink) DO UPDATE SET state = 'pending', error = NULL
            WHERE s.state = 'retired'
        RETURNING sink
        """,
        values,
    ).fetchall()
    finished = connection.execute(
        """
        SELECT b.batch_id FROM landing.batch b
        WHERE b.batch_id = ANY(%(batches)s) AND b.validated_at IS NOT NULL AND NOT EXISTS (
            SELECT FROM landing.batch_sink s
            WHERE s.batch_id = b.batch_id AND s.state NOT IN ('done', 'retired'))
        ORDER BY b.batch_id
        """,
        values,
    ).fetchall()
    closed = tuple(batch_id for (batch_id,) in finished if close_if_done(connection, batch_id))
    names = [tuple(sorted({sink for (sink,) in rows})) for rows in (retired, added)]
    return Reconciled(names[0], names[1], closed), len(locked) == len(off)


def lacking_sinks(
    connection: Connection, source: str, sinks: Sequence[str]
) -> list[tuple[str, int]]:
    """How many loaded batches of the source each of these sinks has never been given.

    Those whose partition was removed do not count: no backfill reaches them by itself.
    """
    rows = connection.execute(
        """
        SELECT t.sink, count(b.batch_id) FROM unnest(%(sinks)s::text[]) AS t (sink)
        LEFT JOIN landing.batch b ON b.source = %(source)s
            AND b.state IN ('loaded', 'loaded_with_rejects') AND b.partition_removed_at IS NULL
            AND NOT EXISTS (SELECT FROM landing.batch_sink s
                            WHERE s.batch_id = b.batch_id AND s.sink = t.sink)
        GROUP BY t.sink ORDER BY t.sink
        """,
        {"sinks": list(sinks), "source": source},
    )
    return rows.fetchall()
