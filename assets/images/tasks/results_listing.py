"""A task's results in the bucket against its items in the ledger, by one listing.

Belongs here: seeing what is lost or should not be there. Does not: working on items. A HEAD for
each of a million objects would take a quarter of an hour.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from assets.images.tasks import ledger
from assets.images.tasks.metadata_files import CSV, PARQUET
from assets.images.tasks.result_file import RESULT
from assets.sinks.result import SAMPLE, Verification
from landing.stores.listing import pages

if TYPE_CHECKING:
    import psycopg

    from landing.stores.base import ObjectStore

    Connection = psycopg.Connection[Any]

#: What lies beside a task's images: by name, or in folders of its own.
REFUSED = "refused.json"
FILES = frozenset({CSV, PARQUET, RESULT, REFUSED})
_PAGE = 1_000
_REMOVERS = 8

#: Written down before the bucket is listed: what workers of other machines make meanwhile is in
#: neither, and not lost.
_BEFORE = """
CREATE TEMPORARY TABLE ok_before ON COMMIT DROP AS
SELECT number FROM images.image_task_item WHERE task_id = %s AND status = 'ok'
"""
_TABLE = 'CREATE TEMPORARY TABLE listed (name text COLLATE "C", bytes bigint) ON COMMIT DROP'
_OK = """
SELECT i.number, i.bytes, i.product_id || '.' || i.extension AS name
FROM images.image_task_item AS i WHERE i.task_id = %s AND i.status = 'ok'
"""
_FOUND = f"""
WITH ok AS ({_OK})
SELECT count(*), count(*) FILTER (WHERE l.name IS NULL),
    count(*) FILTER (WHERE l.bytes <> ok.bytes),
    (array_agg(ok.name) FILTER (WHERE l.bytes IS DISTINCT FROM ok.bytes))[:{SAMPLE}]
FROM ok LEFT JOIN listed AS l USING (name)
"""
_LOST = f"""
WITH ok AS ({_OK}), lost AS (
    SELECT ok.number FROM ok JOIN ok_before USING (number) LEFT JOIN listed AS l USING (name)
    WHERE l.bytes IS DISTINCT FROM ok.bytes)
UPDATE images.image_task_item AS i SET status = NULL, digest = NULL, width = NULL, height = NULL,
    bytes = NULL, seconds = NULL
FROM lost WHERE i.task_id = %s AND i.number = lost.number
"""
_STRANGE = """
SELECT l.name FROM listed AS l WHERE NOT EXISTS (
    SELECT FROM images.image_task_item AS i
    WHERE i.task_id = %s AND (i.status = 'ok' OR i.status IS NULL)
        AND i.product_id || '.' || i.extension = l.name)
ORDER BY l.name
"""


def reconcile(connection: Connection, store: ObjectStore, task_id: str) -> tuple[int, int]:
    """Let items wait again whose results are lost, remove results of no item; how many of each.

    What a killed run had written and not told is left: its items wait, and are written again with
    the same bytes. Raises psycopg.Error and what the store raises.
    """
    with connection.transaction():
        connection.execute(_BEFORE, (task_id,))
        _list(connection, store, task_id)
        removed = _remove_strange(connection, store, task_id)
        # Last: whoever cancels the task waits for its row.
        lost = connection.execute(_LOST, (task_id, task_id)).rowcount
        if lost:
            ledger.settled(connection, task_id, -lost, 0.0)
        return lost, removed


def verify(connection: Connection, store: ObjectStore, task_id: str) -> Verification:
    """Whether the bucket holds every good item with its size; what is of no item is removed.

    A worker that was ended at its deadline may have written just before.
    """
    with connection.transaction():
        _list(connection, store, task_id)
        row = connection.execute(_FOUND, (task_id,)).fetchone() or (0, 0, 0, None)
        _remove_strange(connection, store, task_id)
    expected, missing, differing, sample = row
    return Verification(expected, missing, differing, sample=tuple(sample or ()))


def _remove_strange(connection: Connection, store: ObjectStore, task_id: str) -> int:
    """All of an earlier request's, where another format is asked for now: a page at a time."""
    removed = 0
    with connection.cursor("strange") as cursor, ThreadPoolExecutor(_REMOVERS) as removers:
        cursor.execute(_STRANGE, (task_id,))
        while rows := cursor.fetchmany(_PAGE):
            list(removers.map(store.delete, [f"{task_id}/{name}" for (name,) in rows]))
            removed += len(rows)
    return removed


def _list(connection: Connection, store: ObjectStore, task_id: str) -> None:
    connection.execute(_TABLE)
    with (
        connection.cursor() as cursor,
        cursor.copy("COPY listed (name, bytes) FROM STDIN") as copy,
    ):
        for row in _images(store, f"{task_id}/"):
            copy.write_row(row)


def _images(store: ObjectStore, prefix: str) -> Iterator[tuple[str, int]]:
    for page in pages(store, prefix):
        for version in page.objects:
            name = version.key.removeprefix(prefix)
            if name not in FILES and "/" not in name:
                yield name, version.size
