"""The ledger of tasks: what was asked for, in which state it is, how far it got.

Belongs here: reads and state changes of ``images.image_task``. Does not: items (``items.py``),
which products match (``manifest.py``).

    pending -> running -> done | done_with_skips
       |          |-> cancelled -> running (an operator resumes it)
       +----------+-> failed
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from assets.images.requests.request import ImageRequest

if TYPE_CHECKING:
    import psycopg

    from landing.arrival.identity import ObjectVersion

    Connection = psycopg.Connection[Any]

State = Literal["pending", "running", "done", "done_with_skips", "failed", "cancelled"]

DONE: frozenset[State] = frozenset({"done", "done_with_skips"})


class UnknownTaskError(LookupError):
    """No request of this name was taken."""


@dataclass(frozen=True, slots=True)
class Task:
    """One row of ``images.image_task``; ``settled`` of its ``items`` have an outcome."""

    task_id: str
    request: Mapping[str, Any]
    request_hash: str
    source: str
    requested_at: datetime
    state: State
    items: int | None
    settled: int
    refused: bool
    problems: list[str]
    files: Mapping[str, Any] | None
    cancel_requested: bool
    started_at: datetime | None
    finished_at: datetime | None
    seconds: float

    def asked(self) -> ImageRequest:
        """The request, as it was validated."""
        return ImageRequest.model_validate(self.request)


_COLUMNS = ", ".join(column.name for column in fields(Task))

#: A task that exists keeps its request, unless one of another content was written later. One that
#: is fine takes the place of a refused one whenever it was written: they are read in any order.
_REGISTER = """
INSERT INTO images.image_task AS t
    (task_id, request, request_hash, source, requested_at, state, refused, problems, finished_at)
VALUES (%(task)s, %(request)s, %(hash)s, %(source)s, %(at)s, %(state)s, %(refused)s, %(problems)s,
    %(ended)s)
ON CONFLICT (task_id) DO UPDATE SET request = excluded.request,
    request_hash = excluded.request_hash, source = excluded.source,
    requested_at = excluded.requested_at, state = excluded.state, refused = excluded.refused,
    problems = excluded.problems,
    finished_at = excluded.finished_at, items = NULL, settled = 0, files = NULL, seconds = 0,
    started_at = NULL, cancel_requested = false
WHERE t.request_hash <> excluded.request_hash AND (t.refused AND NOT excluded.refused
    OR t.refused = excluded.refused AND t.requested_at <= excluded.requested_at)
RETURNING task_id
"""


def task(connection: Connection, task_id: str) -> Task:
    """One task. Raises UnknownTaskError."""
    row = connection.execute(
        f"SELECT {_COLUMNS} FROM images.image_task WHERE task_id = %s", (task_id,)
    ).fetchone()
    if row is None:
        raise UnknownTaskError(f"no task {task_id}: no request of this name was taken")
    return Task(*row)


def is_taken(connection: Connection, task_id: str) -> bool:
    """Whether there is such a task, and it is to be done."""
    row = connection.execute(
        "SELECT NOT refused FROM images.image_task WHERE task_id = %s", (task_id,)
    ).fetchone()
    return row is not None and bool(row[0])


def latest(connection: Connection, limit: int) -> list[Task]:
    """The tasks that were asked for last, newest first."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM images.image_task ORDER BY requested_at DESC, task_id LIMIT %s",
        (limit,),
    )
    return [Task(*row) for row in rows]


def register(connection: Connection, request: ImageRequest, version: ObjectVersion) -> bool:
    """Take a request that is fine; whether its task is new, or asks for something else now.

    The same request again is the same task. Of two requests of one name the one written later
    counts; what the other one made is forgotten.
    """
    with connection.transaction():
        taken = _register(
            connection,
            request.task_id,
            request=request.model_dump(mode="json", exclude_defaults=True),
            digest=request.canonical(),
            version=version,
        )
        if taken:
            for table in ("image_task_item", "image_task_shard"):
                connection.execute(
                    f"DELETE FROM images.{table} WHERE task_id = %s", (request.task_id,)
                )
    return taken


def refuse(
    connection: Connection, task_id: str, version: ObjectVersion, digest: str, *problems: str
) -> bool:
    """Note a request that can't be done; False where the name is that of a task that was taken."""
    return _register(
        connection, task_id, request={}, digest=digest, version=version, problems=problems
    )


def _register(
    connection: Connection,
    task_id: str,
    *,
    request: Mapping[str, Any],
    digest: str,
    version: ObjectVersion,
    problems: tuple[str, ...] = (),
) -> bool:
    from psycopg.types.json import Jsonb

    values = {
        "task": task_id,
        "request": Jsonb(request),
        "hash": digest,
        "source": version.uri,
        "at": version.modified_at,
        "state": "failed" if problems else "pending",
        "refused": bool(problems),
        "problems": [one.replace("\0", "\\0") for one in problems],
        "ended": version.modified_at if problems else None,
    }
    return connection.execute(_REGISTER, values).fetchone() is not None


def begin(connection: Connection, task_id: str) -> bool:
    """Set it running, unless it is done, was refused, or an operator cancelled it.

    One that has failed is tried again: a run of it is asked for when the cause is mended.
    """
    return _changed(
        connection,
        """
        UPDATE images.image_task SET state = 'running', finished_at = NULL, problems = '{}',
            started_at = coalesce(started_at, clock_timestamp())
        WHERE task_id = %s AND state IN ('pending', 'running', 'cancelled', 'failed')
            AND NOT refused AND NOT cancel_requested
        """,
        task_id,
    )


def reopen(connection: Connection, task_id: str, items: int) -> None:
    """Set a task running again of which so many items are to be done once more."""
    connection.execute(
        """
        UPDATE images.image_task
        SET state = 'running', finished_at = NULL, files = NULL, cancel_requested = false,
            settled = settled - %s
        WHERE task_id = %s
        """,
        (items, task_id),
    )


def hold(connection: Connection, task_id: str) -> None:
    """Lock the task's row until the transaction ends: before any of its items, in every place.

    Who takes a new request of its name does so, too: neither waits for the other for ever.
    """
    connection.execute(
        "SELECT FROM images.image_task WHERE task_id = %s FOR NO KEY UPDATE", (task_id,)
    )


def settled(connection: Connection, task_id: str, items: int, seconds: float) -> None:
    """So many more items have an outcome, after so many further seconds of work.

    What lies beside the task's images does not tell of those.
    """
    connection.execute(
        """
        UPDATE images.image_task SET settled = settled + %(items)s, seconds = seconds + %(seconds)s,
            files = CASE WHEN %(items)s = 0 THEN files END
        WHERE task_id = %(task)s
        """,
        {"items": items, "seconds": seconds, "task": task_id},
    )


def written(connection: Connection, task_id: str, files: Mapping[str, Any]) -> None:
    """These files lie beside the task's images now."""
    from psycopg.types.json import Jsonb

    connection.execute(
        "UPDATE images.image_task SET files = %s WHERE task_id = %s", (Jsonb(files), task_id)
    )


def outdate(connection: Connection, task_id: str) -> None:
    """What lies beside the task's images no longer says all that is known of them."""
    connection.execute("UPDATE images.image_task SET files = NULL WHERE task_id = %s", (task_id,))


def close(connection: Connection, task_id: str, *, skips: bool) -> None:
    """Set it done; an end that it has already stays. Who wanted to cancel it came too late."""
    connection.execute(
        """
        UPDATE images.image_task SET state = %s, finished_at = clock_timestamp(),
            cancel_requested = false
        WHERE task_id = %s AND state = 'running'
        """,
        ("done_with_skips" if skips else "done", task_id),
    )


def fail(connection: Connection, task_id: str, problem: str) -> None:
    """It can't go on."""
    connection.execute(
        """
        UPDATE images.image_task
        SET state = 'failed', problems = ARRAY[%s], finished_at = clock_timestamp()
        WHERE task_id = %s AND state IN ('pending', 'running')
        """,
        (problem.replace("\0", "\\0"), task_id),
    )


def ask_to_cancel(connection: Connection, task_id: str) -> bool:
    """An operator wants it to end; False where it has ended. Its run sees that within seconds."""
    return _changed(
        connection,
        """
        UPDATE images.image_task SET cancel_requested = true,
            state = CASE state WHEN 'pending' THEN 'cancelled' ELSE state END
        WHERE task_id = %s AND state IN ('pending', 'running', 'cancelled')
        """,
        task_id,
    )


def resume(connection: Connection, task_id: str) -> bool:
    """A cancelled task may go on with its next run; False where it is not cancelled."""
    return _changed(
        connection,
        """
        UPDATE images.image_task SET cancel_requested = false, state = 'pending'
        WHERE task_id = %s AND state = 'cancelled'
        """,
        task_id,
    )


def cancelled(connection: Connection, task_id: str) -> None:
    """It has ended where it was."""
    connection.execute(
        """
        UPDATE images.image_task SET state = 'cancelled', finished_at = clock_timestamp()
        WHERE task_id = %s AND state IN ('pending', 'running')
        """,
        (task_id,),
    )


def is_cancelled(connection: Connection, task_id: str) -> bool:
    """Whether an operator wants it to end."""
    row = connection.execute(
        "SELECT cancel_requested FROM images.image_task WHERE task_id = %s", (task_id,)
    ).fetchone()
    return row is not None and bool(row[0])


def goes_on(connection: Connection, known: Task) -> bool:
    """Whether the task is still to be worked on as it is known.

    Not when an operator or the end of its run cancelled it, when it ended, or when another request
    took its name.
    """
    row = connection.execute(
        """
        SELECT state = 'running' AND NOT cancel_requested AND request_hash = %s
        FROM images.image_task WHERE task_id = %s
        """,
        (known.request_hash, known.task_id),
    ).fetchone()
    return row is not None and bool(row[0])


def _changed(connection: Connection, statement: str, task_id: str) -> bool:
    return connection.execute(statement, (task_id,)).rowcount == 1
