"""Which products a task is about: decided once, with the image that the inventory has of each.

Belongs here: from a request to item rows. Does not: the request's form, working on items.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from assets.images.processing.operation import EXTENSIONS, Operation
from assets.images.requests.request import ImageRequest
from assets.images.tasks import ledger
from assets.sinks.result import SinkResult, Verification
from resources import advisory_locks
from resources.advisory_locks import Lock

if TYPE_CHECKING:
    import psycopg

    from assets.images.tasks.ledger import Task

    Connection = psycopg.Connection[Any]

_NO_IMAGE = "the inventory has no image of it"
_NO_PRODUCT = "the catalogue has no such product"

#: An item as the inventory makes it: without an image it is settled at once.
_STATUS = "CASE WHEN i.product_id IS NULL THEN 'missing' WHEN i.status <> 'ok' THEN i.status END"
_DETAIL = f"CASE WHEN i.product_id IS NULL THEN '{_NO_IMAGE}' ELSE coalesce(i.detail, '') END"

_INSERT = """
INSERT INTO images.image_task_item
    (task_id, number, product_id, source_key, source_version, extension, status, detail)
SELECT %(task)s, row_number() OVER (ORDER BY m.product_id), m.product_id, m.key, m.version,
    m.extension, m.status, m.detail
FROM ({matching} {unknown}) AS m
"""
#: Beside the rest of a limit: a product that was asked for by its id is told of in any case, once.
_UNKNOWN = f"""
UNION ALL
SELECT DISTINCT w.id, NULL, NULL, coalesce(%(extension)s, 'jpg'), 'missing', '{_NO_PRODUCT}'
FROM unnest(%(ids)s::bigint[]) AS w (id)
WHERE NOT EXISTS (SELECT FROM images.product AS p WHERE p.id = w.id)
"""
#: What failed, and of which another image has landed since. One of no product stays missing.
_ANOTHER = """
t.task_id = %(task)s AND i.product_id = t.product_id AND t.status <> 'ok'
    AND (t.source_key, t.source_version) IS DISTINCT FROM (i.key, i.version)
    AND EXISTS (SELECT FROM images.product AS p WHERE p.id = t.product_id)
"""
_CHANGED = f"""
UPDATE images.image_task_item AS t SET source_key = i.key, source_version = i.version,
    status = {_STATUS}, detail = {_DETAIL}, content = NULL, digest = NULL, width = NULL,
    height = NULL, bytes = NULL, seconds = NULL, extension = coalesce(%(extension)s, {{format}})
FROM images.image AS i WHERE {_ANOTHER}
"""
_CHANGES = f"SELECT count(*) FROM images.image_task_item AS t, images.image AS i WHERE {_ANOTHER}"
_TOTAL = """
SELECT count(*), count(*) FILTER (WHERE status IS NOT NULL) FROM images.image_task_item
WHERE task_id = %s
"""


def decide(connection: Connection, task: Task) -> tuple[SinkResult, Verification]:
    """Write the task's items and set it running; of a task that has them, those to be done again.

    A task that is done stays as it is, unless an image has landed since of a product that had no
    good one. A refused one has none. All in one transaction. Raises psycopg.Error.
    """
    started = time.monotonic()
    if task.refused:
        return SinkResult(0, 0, 0, 0.0), Verification()
    with connection.transaction():
        fresh = _first(connection, task) if task.items is None else _again(connection, task)
        ledger.begin(connection, task.task_id)
        total = ledger.task(connection, task.task_id).items or 0
        row = connection.execute(_TOTAL, (task.task_id,)).fetchone()
    there = row[0] if row else 0
    seconds = time.monotonic() - started
    return (
        SinkResult(there, there - fresh, 0, seconds),
        Verification(total, missing=max(total - there, 0), unexpected=max(there - total, 0)),
    )


def changed(connection: Connection, task_id: str) -> int:
    """How many items of a task that is done the next :func:`decide` does again."""
    row = connection.execute(_CHANGES, {"task": task_id}).fetchone()
    return int(row[0]) if row else 0


def matching(request: ImageRequest, operation: Operation) -> tuple[str, dict[str, Any]]:
    """The query for the products of a request with their images, and its parameters. Pure.

    Columns are named by us, values are bound.
    """
    conditions, values = ["TRUE"], dict[str, Any]()
    for field in (*request.FILTERS, "year"):
        if (wanted := request.wanted(field)) is not None:
            conditions.append(f"p.{field} = ANY(%({field})s)")
            values[field] = wanted
    if request.ids is not None:
        conditions.append("p.id = ANY(%(ids)s)")
        values["ids"] = request.ids
    for field, sign in (("start_year", ">="), ("end_year", "<=")):
        if (bound := getattr(request, field)) is not None:
            conditions.append(f"p.year {sign} %({field})s")
            values[field] = bound
    values["extension"] = _extension(operation)
    values["limit"] = request.limit
    query = f"""
    (SELECT p.id AS product_id, i.key, i.version, coalesce(%(extension)s, {_FORMAT}) AS extension,
        {_STATUS} AS status, {_DETAIL} AS detail
    FROM images.product AS p LEFT JOIN images.image AS i ON i.product_id = p.id
    WHERE {" AND ".join(conditions)} ORDER BY p.id LIMIT %(limit)s)
    """
    return query, values


#: A copy is named by what it is.
_FORMAT = (
    "CASE i.format "
    + " ".join(f"WHEN '{name}' THEN '{ending}'" for name, ending in EXTENSIONS.items())
    + " ELSE 'jpg' END"
)


def _extension(operation: Operation) -> str | None:
    return None if operation.kind == "copy" else EXTENSIONS[operation.format]


def _first(connection: Connection, task: Task) -> int:
    # A worker of other machines that is still at the items of another request of this name sees
    # within a second that they are gone.
    advisory_locks.take_until_commit(connection, Lock.IMAGE_TASK, task.task_id)
    request = task.asked()
    query, values = matching(request, request.work())
    statement = _INSERT.format(matching=query, unknown=_UNKNOWN if request.ids else "")
    made = connection.execute(statement, {**values, "task": task.task_id}).rowcount
    connection.execute(
        """
        UPDATE images.image_task AS t SET items = %(made)s, settled = (
            SELECT count(*) FROM images.image_task_item AS i
            WHERE i.task_id = t.task_id AND i.status IS NOT NULL)
        WHERE t.task_id = %(task)s
        """,
        {"made": made, "task": task.task_id},
    )
    return made


def _again(connection: Connection, task: Task) -> int:
    if task.state not in ledger.DONE:
        return 0
    values = {"task": task.task_id, "extension": _extension(task.asked().work())}
    changed = connection.execute(_CHANGED.format(format=_FORMAT), values).rowcount
    if changed:
        waiting = connection.execute(_TOTAL, (task.task_id,)).fetchone() or (0, 0)
        ledger.reopen(connection, task.task_id, waiting[0] - waiting[1])
    return changed
