"""A batch's files of plays into ``music.fact_play``, each whole, in one transaction.

Belongs here: replacing and taking back the rows of a file. Does not: lines of the format
(``bronze/formats/plays.py``), plays per song and artist (``gold``).

A file is one record of bronze. Its pairs are read from its copy in the archive and streamed into
COPY: a run holds a block of them. What the file said before goes in the same transaction, in which
the ledger's note is made, too; nothing is written of a file that is there with the same hash.
Imported lazily: needs polars.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import polars as pl  # noqa: TID253

from assets.formats.gzipped import plain
from assets.music.bronze.formats.plays import blocks
from assets.music.plays import indexes
from assets.sinks.result import SAMPLE, SinkResult, Verification
from landing.arrival.identity import ObjectVersion

if TYPE_CHECKING:
    import psycopg

    from landing.batch.delivery import Delivery

    Connection = psycopg.Connection[Any]

#: Opens what was archived of a version, as bronze's Archive does.
Open = Callable[[ObjectVersion], AbstractContextManager[BinaryIO]]

_COPY = "COPY {} (user_id, song_id, plays, file_id) FROM STDIN (FORMAT csv)"
_SETTINGS = """
SET LOCAL work_mem = '64MB';
SET LOCAL jit = off
"""
#: The row is locked until the commit: of two loads of one file the second waits for the first.
_FILE = """
INSERT INTO music.play_file AS f (record_key, row_hash, seq, source, pairs)
VALUES (%(record_key)s, %(row_hash)s, %(seq)s, %(source)s, %(pairs)s)
ON CONFLICT (record_key) DO UPDATE SET seq = f.seq
RETURNING file_id, row_hash, (xmax = 0)
"""
#: What says the same again keeps the place where it was read first, whichever is loaded first.
_SAME = """
UPDATE music.play_file SET seq = %(seq)s, source = %(source)s
WHERE file_id = %(file_id)s AND seq > %(seq)s
"""
_REPLACED = """
UPDATE music.play_file
SET row_hash = %(row_hash)s, seq = %(seq)s, source = %(source)s, pairs = %(pairs)s
WHERE file_id = %(file_id)s
"""
#: In the order of the table's key, which is faster than any other.
_TOUCH = """
INSERT INTO music.touched (batch_id, kind, key)
SELECT DISTINCT %(batch)s, 'plays', song_id FROM music.fact_play WHERE file_id = %(file_id)s
ORDER BY song_id
ON CONFLICT DO NOTHING
"""
#: Of a file in which some pair is there twice: the last line counts.
_INCOMING = """
CREATE TEMP TABLE incoming_play (user_id text COLLATE "C", song_id text COLLATE "C",
    plays integer, file_id integer, line bigint GENERATED ALWAYS AS IDENTITY) ON COMMIT DROP
"""
_LAST_LINES = """
INSERT INTO music.fact_play (user_id, song_id, plays, file_id)
SELECT DISTINCT ON (user_id, song_id) user_id, song_id, plays, file_id
FROM pg_temp.incoming_play ORDER BY user_id, song_id, line DESC
"""
_VERSION = """
SELECT store, bucket, key, version, size, modified_at FROM landing.object_version WHERE seq = %s
"""


@dataclass(slots=True)
class _Done:
    """Rows of the batch's files, and files by what became of them."""

    written: int = 0
    unchanged: int = 0
    deleted: int = 0
    files: int = 0
    missing: int = 0
    unexpected: int = 0
    sample: tuple[str, ...] = ()


def load_batch(
    conn: Connection, delivery: Delivery, open_copy: Open
) -> tuple[SinkResult, Verification]:
    """Make ``fact_play`` what the batch's files say, and mark the sink done, in one transaction.

    Nothing is kept when a file has not as many pairs as bronze counted (``Verification.ok`` is
    false then). ``details``: files, files_withdrawn. Raises psycopg errors and what ``open_copy``
    does.
    """
    import psycopg

    started = time.monotonic()
    done = _Done()
    with conn.transaction() as transaction:
        conn.execute(_SETTINGS)
        gone = [key for key in delivery.withdrawn() if _is_file(key)]
        for key in gone:
            done.deleted += _take_back(conn, delivery.batch_id, key)
        for frame in delivery.chunks():
            for record in _files(frame):
                _load_file(conn, delivery.batch_id, record, open_copy, done)
        found = Verification(
            expected=done.written + done.unchanged,
            missing=done.missing,
            unexpected=done.unexpected,
            sample=done.sample[:SAMPLE],
        )
        if not found.ok:
            raise psycopg.Rollback(transaction)
        delivery.done_in(conn, rows_written=done.written)
    details = {"files": done.files, "files_withdrawn": len(gone)}
    seconds = time.monotonic() - started
    return SinkResult(done.written, done.unchanged, done.deleted, seconds, details), found


def _is_file(key: str) -> bool:
    """Whether a record's key, behind its origin, is of a file of plays."""
    return key.partition(":")[2].partition(":")[0] == "plays"


def _files(frame: pl.DataFrame) -> Iterable[dict[str, Any]]:
    if "plays" not in frame.columns:  # staged before there were any
        return []
    columns = ("record_key", "row_hash", "seq", "source", "plays")
    return frame.filter(pl.col("format") == "plays").select(columns).to_dicts()


def _load_file(
    conn: Connection, batch_id: str, record: dict[str, Any], open_copy: Open, done: _Done
) -> None:
    (said,) = record["plays"]
    ordered = conn.execute(
        "SELECT coalesce(order_seq, seq) FROM landing.object_version WHERE seq = %s",
        (record["seq"],),
    ).fetchone()
    file = {**record, **said, "seq": ordered[0] if ordered else record["seq"]}
    file_id, row_hash, new = _one(conn, _FILE, file)
    file["file_id"] = file_id
    done.files += 1
    if not new and row_hash == file["row_hash"]:
        conn.execute(_SAME, file)
        _touch(conn, batch_id, file_id)
        done.unchanged += said["pairs"]
        return
    if not new:
        _touch(conn, batch_id, file_id)
        done.deleted += _delete(conn, file_id)
        conn.execute(_REPLACED, file)
    version = ObjectVersion(*_one(conn, _VERSION, (record["seq"],)))
    taken = indexes.take_away(conn, said["pairs"])
    with open_copy(version) as stream, plain(stream) as text:
        rows = _copied(conn, cast("BinaryIO", text), file_id, repeated=said["repeated"] > 0)
    indexes.bring_back(conn, taken)
    _touch(conn, batch_id, file_id)
    done.written += rows
    if rows != said["pairs"]:
        done.missing += max(said["pairs"] - rows, 0)
        done.unexpected += max(rows - said["pairs"], 0)
        done.sample += (f"{record['source']}: {rows:,} pairs of {said['pairs']:,}",)


def _copied(conn: Connection, text: BinaryIO, file_id: int, *, repeated: bool) -> int:
    """Copy the good lines of a file; how many rows it has."""
    table = "music.fact_play"
    if repeated:
        conn.execute(_INCOMING)
        table = "pg_temp.incoming_play"
    with conn.cursor() as cursor:
        with cursor.copy(_COPY.format(table)) as copy:
            for block in blocks(text):
                facts = block.facts.select(
                    "user_id", "song_id", "plays", pl.lit(file_id).alias("file_id")
                )
                copy.write(facts.write_csv(include_header=False).encode())
        rows = cursor.rowcount
    if repeated:
        rows = conn.execute(_LAST_LINES).rowcount
        conn.execute("DROP TABLE pg_temp.incoming_play")
    return rows


def _take_back(conn: Connection, batch_id: str, record_key: str) -> int:
    """Remove the rows of a file that says them no more."""
    row = conn.execute(
        "SELECT file_id FROM music.play_file WHERE record_key = %s FOR UPDATE", (record_key,)
    ).fetchone()
    if row is None:
        return 0
    _touch(conn, batch_id, row[0])
    rows = _delete(conn, row[0])
    conn.execute("DELETE FROM music.play_file WHERE file_id = %s", row)
    return rows


def _touch(conn: Connection, batch_id: str, file_id: int) -> None:
    """Note the songs of the file: what is derived of them follows."""
    conn.execute(_TOUCH, {"batch": batch_id, "file_id": file_id})


def _delete(conn: Connection, file_id: int) -> int:
    return conn.execute("DELETE FROM music.fact_play WHERE file_id = %s", (file_id,)).rowcount


def _one(conn: Connection, statement: str, values: Any) -> tuple[Any, ...]:
    row = conn.execute(statement, values).fetchone()
    if row is None:
        raise LookupError(f"no row: {statement.strip()[:60]}")
    return tuple(row)
