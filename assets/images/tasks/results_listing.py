"""A task's results in the bucket against its items in the ledger, by one listing.

Belongs here: seeing what is lost or should not be there. Does not: working on items. A HEAD for
each of a million objects would take a quarter of an hour. Listing them takes minutes, during which
no transaction is open: it would keep Postgres from cleaning up behind everybody. Of an item one bit
is in memory, beside a page of the listing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from assets.images.tasks import ledger
from assets.images.tasks.metadata_files import CSV, PARQUET
from assets.images.tasks.numbers import Numbers
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
#: Objects of a page of the listing, and items of a statement.
_PAGE = 1_000
_REMOVERS = 8

_OK = """
SELECT number FROM images.image_task_item
WHERE task_id = %s AND status = 'ok' AND number > %s ORDER BY number LIMIT %s
"""
#: The items that a page of the listing is about. One that waits may have its result already.
_NAMED = """
SELECT product_id || '.' || extension, number, bytes FROM images.image_task_item
WHERE task_id = %s AND product_id = ANY(%s) AND (status = 'ok' OR status IS NULL)
"""
_NAMES = """
SELECT product_id || '.' || extension FROM images.image_task_item
WHERE task_id = %s AND number = ANY(%s) ORDER BY number
"""
_LOST = """
UPDATE images.image_task_item SET status = NULL, digest = NULL, width = NULL, height = NULL,
    bytes = NULL, seconds = NULL
WHERE task_id = %s AND number = ANY(%s) AND status = 'ok'
"""
#: Of an id of which there may be an image.
_MOST_DIGITS = 18


@dataclass(slots=True)
class _Found:
    """What a listing found: of the good items those ``unlike`` what they say, or not there at all.

    So many of them were ``expected``, are ``differing``; ``removed`` were objects of no item.
    """

    unlike: Numbers
    expected: int
    differing: int = 0
    removed: int = 0


def reconcile(connection: Connection, store: ObjectStore, task_id: str) -> tuple[int, int]:
    """Let items wait again whose results are lost, remove results of no item; how many of each.

    What a killed run had written and not told is left: its items wait, and are written again with
    the same bytes. ``connection`` is in autocommit mode. Raises psycopg.Error and what the store
    raises.
    """
    found = _listed(connection, store, task_id)
    lost, numbers = 0, iter(found.unlike)
    while page := list(islice(numbers, _PAGE)):
        with connection.transaction():
            ledger.hold(connection, task_id)
            count = connection.execute(_LOST, (task_id, page)).rowcount
            if count:
                ledger.settled(connection, task_id, -count, 0.0)
        lost += count
    return lost, found.removed


def verify(connection: Connection, store: ObjectStore, task_id: str) -> Verification:
    """Whether the bucket holds every good item with its size; what is of no item is removed.

    A worker that was ended at its deadline may have written just before. ``connection`` is in
    autocommit mode. Raises psycopg.Error and what the store raises.
    """
    found = _listed(connection, store, task_id)
    some = list(islice(found.unlike, SAMPLE))
    sample = tuple(name for (name,) in connection.execute(_NAMES, (task_id, some)))
    missing = len(found.unlike) - found.differing
    return Verification(found.expected, missing, found.differing, sample=sample)


def _listed(connection: Connection, store: ObjectStore, task_id: str) -> _Found:
    """Compare page by page, and remove what is of no item."""
    # Written down before the bucket is listed: what workers of other machines make meanwhile is in
    # neither, and not lost.
    ok = Numbers(_good(connection, task_id))
    found = _Found(ok, expected=len(ok))
    with ThreadPoolExecutor(_REMOVERS) as removers:
        for page in _pages(store, f"{task_id}/"):
            strange = _compare(connection, task_id, page, found)
            list(removers.map(store.delete, [f"{task_id}/{name}" for name in strange]))
            found.removed += len(strange)
    return found


def _compare(
    connection: Connection, task_id: str, page: Sequence[tuple[str, int]], found: _Found
) -> list[str]:
    """Note what the page has of good items; the names that are of no item."""
    ids = [int(stem) for name, _ in page if _is_id(stem := name.partition(".")[0])]
    rows = connection.execute(_NAMED, (task_id, ids)).fetchall()
    items = {name: (number, size) for name, number, size in rows}
    for number, told, size in ((*items[name], size) for name, size in page if name in items):
        if size == told:
            found.unlike.discard(number)
        elif number in found.unlike:
            found.differing += 1
    return [name for name, _ in page if name not in items]


def _is_id(stem: str) -> bool:
    return stem.isascii() and stem.isdecimal() and len(stem) <= _MOST_DIGITS


def _good(connection: Connection, task_id: str) -> Iterator[int]:
    last = 0
    while rows := connection.execute(_OK, (task_id, last, _PAGE)).fetchall():
        yield from (number for (number,) in rows)
        last = rows[-1][0]


def _pages(store: ObjectStore, prefix: str) -> Iterator[list[tuple[str, int]]]:
    """Names and sizes of the images under the prefix."""
    for page in pages(store, prefix, limit=_PAGE):
        names = [(one.key.removeprefix(prefix), one.size) for one in page.objects]
        if images := [one for one in names if one[0] not in FILES and "/" not in one[0]]:
            yield images
