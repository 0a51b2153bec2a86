"""What the outside asks of images: how a task gets on, what came of an item, what a product is.

Belongs here: all that an API, the demo or a command may call. Does not: anything that works on
tasks; an operator's word to one (cancel, resume) is a note in its ledger, a request that comes in
is a file of the inbox.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from assets.images.listed import (
    FilterField,
    FilterValue,
    ItemState,
    ListedTask,
    TaskItem,
    UnknownItemError,
    filter_values,
    listed_tasks,
    task_item,
    task_items,
)
from assets.images.requests.request import RefusedRequestError
from assets.images.requests.request import json_schema as request_schema
from assets.images.tasks import items, ledger
from assets.images.tasks.ledger import State, UnknownTaskError
from assets.images.tasks.submitting import (
    Inbox,
    NameTakenError,
    NoProductsError,
    NothingToRetryError,
    Retried,
    Submitted,
)
from landing.arrival.standing import Delivered, newest_delivery

if TYPE_CHECKING:
    import psycopg
    from minio import Minio

    from landing.stores.minio import MinioStore

    Connection = psycopg.Connection[Any]

ManifestForm = Literal["csv", "parquet"]


class NoImageError(LookupError):
    """There is no image of an item; ``status`` says why, None while it waits for its outcome."""

    def __init__(self, item: TaskItem) -> None:
        said = f"{item.status}: {item.detail}".rstrip(": ") if item.status else "it is not made yet"
        super().__init__(f"product {item.product_id} has no image: {said}")
        self.status = item.status


class NoManifestError(LookupError):
    """The task has no metadata files: it has not come to its end."""


__all__ = [
    "FilterField", "FilterValue", "Inbox", "ItemState", "ListedTask", "Manifest", "ManifestForm",
    "NameTakenError", "NoImageError", "NoManifestError", "NoProductsError", "NothingToRetryError",
    "RefusedRequestError", "Retried", "State", "Submitted", "TaskItem", "TaskStatus",
    "UnknownItemError", "UnknownTaskError", "cancel", "filter_values", "image_key",
    "listed_tasks", "manifest", "products", "request_schema", "rests_on", "results", "resume",
    "submitted", "task", "task_item", "task_items", "tasks", "thumbnail",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class TaskStatus:
    """How a task gets on: ``settled`` of ``items`` have an outcome, counted in ``counts``.

    ``items`` is None until it is known which products match. ``left_seconds`` is a guess from the
    pace so far; None without one.
    """

    task_id: str
    state: str
    items: int | None
    settled: int
    counts: Mapping[str, int]
    problems: Sequence[str]
    requested_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    seconds: float
    left_seconds: float | None


@dataclass(frozen=True, slots=True)
class Manifest:
    """A file with a row of every product of a task: its key among the results, and its SHA-256."""

    key: str
    sha256: str


def task(connection: Connection, task_id: str) -> TaskStatus:
    """One task, asked for by any process, at any time. Raises UnknownTaskError."""
    found = ledger.task(connection, task_id)
    counts = items.counts(connection, task_id)
    return _status(found, {str(name): count for name, count in counts.items()})


def submitted(inbox: Inbox, task_id: str) -> TaskStatus:
    """A task whose request came in, and which no run has taken yet. Raises UnknownTaskError."""
    return TaskStatus(
        task_id=task_id,
        state="submitted",
        items=None,
        settled=0,
        counts={},
        problems=(),
        requested_at=inbox.submitted_at(task_id),
        started_at=None,
        finished_at=None,
        seconds=0.0,
        left_seconds=None,
    )


def tasks(connection: Connection, limit: int = 50) -> list[TaskStatus]:
    """The latest tasks, without their counts by outcome."""
    return [_status(one, {}) for one in ledger.latest(connection, limit)]


def cancel(connection: Connection, task_id: str) -> bool:
    """Let a task end where it is; False where it has ended. Raises UnknownTaskError."""
    ledger.task(connection, task_id)
    return ledger.ask_to_cancel(connection, task_id)


def resume(connection: Connection, task_id: str) -> bool:
    """Let a cancelled task go on with its next run; False where it is not cancelled.

    Raises UnknownTaskError.
    """
    ledger.task(connection, task_id)
    return ledger.resume(connection, task_id)


def results(client: Minio, bucket: str) -> MinioStore:
    """The bucket of results, of a client that stays the caller's."""
    from landing.stores.minio import MinioStore

    return MinioStore(client, bucket)


def thumbnail(read: Callable[[str], bytes], task_id: str, item: TaskItem) -> bytes:
    """A small JPEG of an item's result; ``read`` gives an object of the bucket of results by key.

    Raises LookupError for an item without a result, one whose result is too large to be looked at,
    is gone, or is no image; and what ``read`` raises.
    """
    from assets.images.tasks import sheets

    return sheets.thumbnail(read, image_key(task_id, item), item.product_id, item.bytes or 0)


def image_key(task_id: str, item: TaskItem) -> str:
    """Where an item's image lies in the bucket of results. Raises NoImageError."""
    if item.path is None:
        raise NoImageError(item)
    return f"{task_id}/{item.path}"


def manifest(connection: Connection, task_id: str, form: ManifestForm) -> Manifest:
    """The metadata file of a task that is done. Raises UnknownTaskError, NoManifestError."""
    found = ledger.task(connection, task_id)
    name = f"metadata.{form}"
    if found.state not in ledger.DONE or not found.files:
        raise NoManifestError(f"the task {task_id} is {found.state}")
    return Manifest(f"{task_id}/{name}", found.files[name]["sha256"])


def products(connection: Connection) -> tuple[int, int]:
    """Products in the catalogue, and those of them of which there is an image."""
    row = connection.execute(
        """
        SELECT count(*), count(i.product_id)
        FROM images.product AS p LEFT JOIN images.image AS i ON i.product_id = p.id
        """
    ).fetchone()
    return (row[0], row[1]) if row else (0, 0)


def rests_on(connection: Connection) -> Delivered | None:
    """What any sink of images was last told."""
    return newest_delivery(connection, "images")


def _status(found: ledger.Task, counts: Mapping[str, int]) -> TaskStatus:
    left = None
    if found.state == "running" and found.items is not None and found.settled and found.seconds:
        left = (found.items - found.settled) * found.seconds / found.settled
    return TaskStatus(
        task_id=found.task_id,
        state=found.state,
        items=found.items,
        settled=found.settled,
        counts=counts,
        problems=found.problems,
        requested_at=found.requested_at,
        started_at=found.started_at,
        finished_at=found.finished_at,
        seconds=found.seconds,
        left_seconds=left,
    )
