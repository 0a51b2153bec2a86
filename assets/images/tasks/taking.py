"""Request files read: each is a task that is taken, or refused with a result file that says why.

Belongs here: from an object to a task in the ledger or to a refusal. Does not: what a request may
say (``request.py``), working on tasks.
Imported lazily: needs polars.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import polars as pl  # noqa: TID253

from assets.frame.table_frames import frame_schema
from assets.images.requests import request as requests
from assets.images.requests.known_values import known_values, require_known
from assets.images.requests.reasons import REQUEST_REASONS
from assets.images.requests.request import ImageRequest, RefusedRequestError
from assets.images.requests.tables import REQUESTS
from assets.images.tasks import ledger
from assets.images.tasks.result_file import RESULT, refusal
from assets.images.tasks.results_listing import FILES, REFUSED
from landing.batch.chunks import REJECT_SCHEMA, Chunk, original_text
from landing.batch.failures import TransientError
from landing.batch.validation import FactRules

if TYPE_CHECKING:
    from landing.arrival.identity import ObjectVersion
    from landing.stores.base import ObjectStore
    from resources.postgres import PostgresResource

#: Takes a request that is fine.
Take = Callable[[ImageRequest, "ObjectVersion"], None]
#: Takes what is known of one that is not: its task's name, what it holds, what is wrong.
Refuse = Callable[[str, bytes, "ObjectVersion", RefusedRequestError], None]


class NoCatalogueError(TransientError):
    """Nothing can be said about a request before there is a catalogue."""


def rules(
    sinks: tuple[str, ...], take: Take | None = None, refuse: Refuse | None = None
) -> FactRules:
    """What a request file must be. ``take`` and ``refuse`` are told before the batch's commit.

    Both can be told the same again, by a run that goes on for a killed one. ``take`` raises
    RefusedRequestError for what the catalogue does not know.
    """

    def read(stream: BinaryIO, version: ObjectVersion) -> Iterator[Chunk]:
        data = stream.read(requests.MOST_BYTES + 1)
        try:
            asked = requests.parse(data)
            if take:
                take(asked, version)
        except RefusedRequestError as error:
            if refuse:
                refuse(requests.task_of(data), data, version, error)
            yield _rejected(data, error)
        else:
            yield _accepted(asked, version, data)

    return FactRules("images", REQUESTS.names, sinks, read, REQUEST_REASONS)


@dataclass(frozen=True, slots=True)
class Desk:
    """Takes and refuses requests: in the ledger of tasks, and in the bucket of results."""

    postgres: PostgresResource
    results: ObjectStore

    def take(self, asked: ImageRequest, version: ObjectVersion) -> None:
        """Register its task. Raises RefusedRequestError, NoCatalogueError, psycopg.Error.

        Of a task that is new, or another one now, there is no result before it has ended.
        """
        with self.postgres.connect() as connection:
            known = known_values(connection)
            if not any(known.values()):
                raise NoCatalogueError("the catalogue has no product yet: images_catalogue")
            require_known(asked, known)
            ledger.register(connection, asked, version)
            held = ledger.task(connection, asked.task_id)
        if held.state == "pending" and held.items is None:
            # Of another request of this name: a client must not take it for this one's.
            for name in FILES:
                self.results.delete(f"{asked.task_id}/{name}")

    def refuse(
        self, task_id: str, data: bytes, version: ObjectVersion, error: RefusedRequestError
    ) -> None:
        """Note it, and put the file that says why: beside the result of a task of that name."""
        with self.postgres.connect() as connection:
            digest = f"refused {requests.digest(data)}"
            ledger.refuse(connection, task_id, version, digest, *error.problems)
            held = ledger.task(connection, task_id)
        name = RESULT if held.refused else REFUSED
        body = refusal(task_id, version.uri, error.code, error.problems)
        self.results.put(f"{task_id}/{name}", body, content_type="application/json")


def _accepted(asked: ImageRequest, version: ObjectVersion, data: bytes) -> Chunk:
    row: dict[str, Any] = {
        "task_id": asked.task_id,
        "request": json.dumps(asked.model_dump(mode="json", exclude_defaults=True)),
        "source": version.uri,
        "written_at": version.modified_at,
    }
    frame = pl.DataFrame([row], schema=frame_schema(REQUESTS), orient="row")
    line = pl.lit(1, pl.Int64).alias("line")
    text = pl.lit(original_text(data)[0]).alias("text")
    return Chunk(frame.with_columns(line, text), pl.DataFrame(schema=REJECT_SCHEMA))


def _rejected(data: bytes, error: RefusedRequestError) -> Chunk:
    text, cut = original_text(data)
    row = {"line": 1, "reason": error.code, "detail": str(error), "text": text, "truncated": cut}
    columns = [*REQUESTS.names, "line", "text"]
    schema = frame_schema(REQUESTS) | {"line": pl.Int64, "text": pl.String}
    none = pl.DataFrame(schema={name: schema[name] for name in columns})
    return Chunk(none, pl.DataFrame([row], schema=REJECT_SCHEMA, orient="row"))
