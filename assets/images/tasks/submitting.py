"""Requests that come in over the service: judged at once, then put where request files land.

Belongs here: whether a request may be put, and under which key; putting that of a task again. Does
not: what a request may say (``requests``), what becomes of the file (``taking.py``).

Nothing is run here: the sensor finds the file. In the bucket a later request takes the place of
another one of its name; a service has many clients that know nothing of each other, so that here it
is refused. A lock for each name lets one be put at a time: stores need not know ``If-None-Match``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from assets.images.requests.known_values import known_values, require_known
from assets.images.requests.request import is_task_name, parse
from assets.images.tasks import ledger, manifest
from assets.images.tasks.ledger import State, UnknownTaskError
from resources import advisory_locks
from resources.advisory_locks import Lock

if TYPE_CHECKING:
    import psycopg

    from assets.images.tasks.ledger import Task
    from landing.arrival.identity import ObjectVersion
    from landing.stores.minio import MinioStore

    Connection = psycopg.Connection[Any]

_FOLDER = "api/"
_JSON = "application/json"


class NoProductsError(Exception):
    """Nothing can be said about a request before there is a catalogue."""


class NameTakenError(Exception):
    """Another request has the name already."""


class NothingToRetryError(Exception):
    """A further run of the task would do nothing."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """A request that is a task, or will be: ``submitted`` until a run has taken it."""

    task_id: str
    state: State | Literal["submitted"]


@dataclass(frozen=True, slots=True)
class Retried:
    """A task whose next run is asked for, and how many items that will work on.

    ``items`` is None where it is not decided yet which the task has.
    """

    task_id: str
    items: int | None


@dataclass(frozen=True, slots=True)
class Inbox:
    """Where requests are put: a bucket, and how its requests' names begin."""

    store: MinioStore
    prefix: str

    def key(self, task_id: str) -> str:
        """Of the request that came in under the name of a task."""
        return f"{self.prefix}{_FOLDER}{task_id}.json"

    def submit(self, connection: Connection, data: bytes) -> Submitted:
        """Put a request; one that is there, or a task already, is put no second time.

        Raises RefusedRequestError, NoProductsError, NameTakenError, psycopg.Error and what the
        store raises.
        """
        asked = parse(data)
        known = known_values(connection)
        if not any(known.values()):
            raise NoProductsError("the catalogue has no product yet")
        require_known(asked, known)
        task_id = asked.task_id
        state: State | None = None
        held: str | None = None
        with connection.transaction():
            advisory_locks.take_until_commit(connection, Lock.IMAGE_REQUEST, task_id)
            task = _known(connection, task_id)
            if task and not task.refused:
                held, state = task.request_hash, task.state
            elif self._waiting(task_id, task):
                held = self._canonical(task_id)
            if held is None:
                self.store.put(self.key(task_id), data, content_type=_JSON)
            elif held != asked.canonical():
                raise NameTakenError(f"the task {task_id} asks for something else")
        return Submitted(task_id, state or "submitted")

    def submitted_at(self, task_id: str) -> datetime:
        """When the request was put that no run has taken yet. Raises UnknownTaskError."""
        found = self._put(task_id) if is_task_name(task_id) else None
        if found is None:
            raise UnknownTaskError(f"no task {task_id}: no request of this name was taken")
        return found.modified_at

    def retry(self, connection: Connection, task_id: str) -> Retried:
        """Put the request of a task again, so that a run does what failed and can be done now.

        Raises UnknownTaskError, NothingToRetryError, psycopg.Error and what the store raises.
        """
        with connection.transaction():
            advisory_locks.take_until_commit(connection, Lock.IMAGE_REQUEST, task_id)
            task = ledger.task(connection, task_id)
            items = _to_do(connection, task)
            # A name that is a hash stays what it is, whatever is hashed in later versions.
            said = json.dumps({**task.request, "task": task_id})
            self.store.put(self.key(task_id), said.encode(), content_type=_JSON)
        return Retried(task_id, items)

    def _waiting(self, task_id: str, refused: Task | None) -> ObjectVersion | None:
        """The request that was put and that no run has looked at."""
        found = self.store.stat(self.key(task_id))
        if found and refused and found.modified_at <= refused.requested_at:
            return None
        return found

    def _put(self, task_id: str) -> ObjectVersion | None:
        from minio.error import S3Error

        try:
            return self.store.stat(self.key(task_id))
        except S3Error as error:
            # Before there is a bucket nothing was put into it.
            if error.code == "NoSuchBucket":
                return None
            raise

    def _canonical(self, task_id: str) -> str:
        return parse(self.store.get(self.key(task_id))).canonical()


def _known(connection: Connection, task_id: str) -> Task | None:
    try:
        return ledger.task(connection, task_id)
    except UnknownTaskError:
        return None


def _to_do(connection: Connection, task: Task) -> int | None:
    """Items that another run would work on. Raises NothingToRetryError."""
    if task.refused:
        raise NothingToRetryError("it was refused: send a request that is right under its name")
    if task.state in ledger.DONE:
        changed = manifest.changed(connection, task.task_id)
        if not changed:
            raise NothingToRetryError(
                "its images are made; of no product that failed has another image landed since"
            )
        return changed
    # An operator has resumed a task that had an end, and no run of it is asked for.
    resumed = task.state == "pending" and task.finished_at is not None
    if task.state != "failed" and not resumed:
        raise NothingToRetryError(f"it is {task.state}")
    return None if task.items is None else task.items - task.settled
