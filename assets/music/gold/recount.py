"""Gold against silver, by other queries than those that made it: a batch's rows, or all.

Belongs here: the comparison. Does not: its SQL (``targets.py``), how Dagster shows it (music's
``checks.py``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from assets.music.gold.replacement import rows_of
from assets.music.gold.targets import Target
from assets.music.pipeline import MUSIC
from assets.music.registry.gold import OF_PLAYS
from assets.sinks.result import SAMPLE, Verification

if TYPE_CHECKING:
    import psycopg

_COUNT_PROBLEMS = """
SELECT problem, count(*), (array_agg(key ORDER BY key))[:{sample}] FROM ({recount}) AS r
WHERE NOT key = ANY(%(aside)s) GROUP BY problem
"""
_UNDER_WAY = """
SELECT b.batch_id FROM landing.batch AS b
JOIN landing.batch_sink AS ahead ON ahead.batch_id = b.batch_id AND ahead.sink = %(ahead)s
JOIN landing.batch_sink AS behind ON behind.batch_id = b.batch_id AND behind.sink = %(behind)s
WHERE b.pipeline = %(pipeline)s AND ahead.state = 'done' AND behind.state <> 'done'
ORDER BY b.batch_id
"""
# Songs that a scheduled round of asking changed wait in a table of their own.
_CHANGED = "SELECT song_key FROM music.lyrics_changed"


@dataclass(frozen=True, slots=True)
class Audit:
    """What was found; None when silver is ahead and the table is always replaced as a whole.

    Keys of ``batches``, which silver has taken and the table has not, were left aside, and so were
    ``songs`` whose lyrics or genre changed outside any batch.
    """

    found: Verification | None
    batches: tuple[str, ...]
    songs: int


def recount(
    conn: psycopg.Connection[Any], target: Target, *, aside: Iterable[str] = ()
) -> Verification:
    """What was replaced against a recount from silver, by another query.

    Of a table with a scope, its keys; else the whole table. Keys ``aside`` are left out. Call it
    after ``replacement.replace``, in the same transaction.
    """
    found = {
        problem: (int(count), sample)
        for problem, count, sample in conn.execute(
            _COUNT_PROBLEMS.format(recount=target.recount, sample=SAMPLE), {"aside": list(aside)}
        )
    }
    expected = rows_of(conn, "pg_temp.gold_scope" if target.population else target.table.qualified)
    missing, differing, unexpected = (
        found.get(problem, (0, [])) for problem in ("missing", "differing", "unexpected")
    )
    return Verification(
        expected=expected,
        missing=missing[0],
        differing=differing[0],
        unexpected=unexpected[0],
        sample=tuple([*missing[1], *differing[1], *unexpected[1]][:SAMPLE]),
    )


def under_way(conn: psycopg.Connection[Any], ahead: str, behind: str) -> tuple[str, ...]:
    """Batches that the sink ``ahead`` has taken and the sink ``behind`` has not."""
    names = {"ahead": ahead, "behind": behind, "pipeline": MUSIC.pipeline}
    return tuple(batch_id for (batch_id,) in conn.execute(_UNDER_WAY, names))


def changed_songs(conn: psycopg.Connection[Any]) -> int:
    """Songs that changed outside any batch and that gold has not followed yet."""
    return rows_of(conn, "music.lyrics_changed")


def compare(conn: psycopg.Connection[Any], target: Target) -> Audit:
    """Recount every row. Call it in a transaction of one snapshot; raises psycopg.Error."""
    behind = target.table.name
    ahead = ("silver_songs", "fact_play") if target.table in OF_PLAYS else ("silver_songs",)
    batches = tuple(dict.fromkeys(one for sink in ahead for one in under_way(conn, sink, behind)))
    songs = changed_songs(conn)
    if target.population is None:
        return Audit(None if batches or songs else recount(conn, target), batches, songs)
    conn.execute("DROP TABLE IF EXISTS pg_temp.gold_scope")
    conn.execute('CREATE TEMPORARY TABLE gold_scope (key text COLLATE "C") ON COMMIT DROP')
    conn.execute(
        f"INSERT INTO gold_scope {target.keys} EXCEPT ({target.scope}) EXCEPT {_CHANGED}",
        {"batches": list(batches)},
    )
    conn.execute("ANALYZE gold_scope")
    return Audit(recount(conn, target), batches, songs)
