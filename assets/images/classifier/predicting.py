"""What the model sees in a task's results: a row per good item, in blocks.

Belongs here: which items, reading their results, writing rows. Does not: the model (``model.py``),
the task's own state and files (``tasks``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from assets.images.classifier.model import BLOCK, Classifier, Prediction, vector_or_none
from assets.images.tasks import ledger
from assets.sinks.result import SAMPLE, Verification
from landing.batch.failures import TransientError

if TYPE_CHECKING:
    import logging

    import psycopg
    from dagster import DagsterLogManager

    from assets.images.classifier.model import Vectors
    from landing.stores.base import ObjectStore

    Connection = psycopg.Connection[Any]
    Log = DagsterLogManager | logging.Logger

#: Results read side by side. Most of an image's time is decoding, during which others can run.
THREADS = 4
_PROGRESS_SECONDS = 10.0

_ASKED = """
SELECT coalesce((request ->> 'predict')::boolean, false) FROM images.image_task WHERE task_id = %s
"""
#: Good items without a prediction of this result. One by an older model stays: a task that is run
#: again is left as it was.
_DUE = """
SELECT i.number, i.task_id || '/' || i.product_id || '.' || i.extension, i.digest
FROM images.image_task_item AS i
LEFT JOIN images.image_task_prediction AS p USING (task_id, number)
WHERE i.task_id = %s AND i.number > %s AND i.status = 'ok'
    AND p.digest IS DISTINCT FROM coalesce(i.digest, '')
ORDER BY i.number LIMIT %s
"""
_WRITE = """
INSERT INTO images.image_task_prediction (task_id, number, model_version, digest, master_category,
    master_score, article_type, article_score, dominant_colour, colour_score)
SELECT %s, n.number, %s, n.digest, n.master, n.master_score, n.article, n.article_score, n.colour,
    n.colour_score
FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::real[], %s::text[], %s::real[], %s::text[],
        %s::real[])
    AS n (number, digest, master, master_score, article, article_score, colour, colour_score)
ON CONFLICT (task_id, number) DO UPDATE SET model_version = excluded.model_version,
    digest = excluded.digest, master_category = excluded.master_category,
    master_score = excluded.master_score, article_type = excluded.article_type,
    article_score = excluded.article_score, dominant_colour = excluded.dominant_colour,
    colour_score = excluded.colour_score
"""
_REMOVE = """
DELETE FROM images.image_task_prediction AS p USING images.image_task_item AS i
WHERE p.task_id = %s AND i.task_id = p.task_id AND i.number = p.number
    AND (i.status IS DISTINCT FROM 'ok' OR NOT %s)
"""
_HELD = """
SELECT count(*), count(*) FILTER (WHERE p.number IS NULL),
    count(*) FILTER (WHERE p.digest <> coalesce(i.digest, '')),
    (array_agg(i.number::text) FILTER (WHERE
        p.digest IS DISTINCT FROM coalesce(i.digest, '')))[:{sample}],
    count(*) FILTER (WHERE p.number IS NOT NULL AND p.master_category IS NULL)
FROM images.image_task_item AS i
LEFT JOIN images.image_task_prediction AS p USING (task_id, number)
WHERE i.task_id = %s AND i.status = 'ok'
""".format(sample=SAMPLE)  # noqa: UP032 - the statement's own placeholders stay readable
_NAMED = """
SELECT {column}, count(*) FROM images.image_task_prediction
WHERE task_id = %s AND {column} IS NOT NULL GROUP BY 1
"""


@dataclass(frozen=True, slots=True)
class Counts:
    """Of a task's good items: ``predicted`` now, ``unchanged`` from before, in all ``unreadable``.

    ``removed`` are predictions of items that have no result any more.
    """

    predicted: int = 0
    unchanged: int = 0
    unreadable: int = 0
    removed: int = 0
    seconds: float = 0.0
    found: Verification = field(default_factory=Verification)


def asked(connection: Connection, task_id: str) -> bool:
    """Whether the task's request wants predictions; False for no such task."""
    row = connection.execute(_ASKED, (task_id,)).fetchone()
    return bool(row and row[0])


def forget(connection: Connection, task_id: str) -> int:
    """Remove all predictions of a task that does not want any; how many there were."""
    return _remove(connection, task_id, wanted=False)


def predict_task(
    connection: Connection,
    results: ObjectStore,
    classifier: Classifier,
    task_id: str,
    log: Log,
) -> Counts:
    """Write what the model sees in each good item's result, unless it has said so before.

    BLOCK images and their vectors are in memory at a time, each block in a transaction, which also
    says that the task's files do not tell of it: whoever comes after one that was killed goes on.
    ``connection`` is in autocommit mode. A task that asks for no prediction gets none. Raises
    TransientError: a result is not in the bucket, as the next run of ``task_images`` sees;
    psycopg.Error, what the store raises.
    """
    started = shown = time.monotonic()
    if not asked(connection, task_id):
        return Counts(removed=forget(connection, task_id))
    removed = _remove(connection, task_id, wanted=True)
    number, predicted = 0, 0
    vector = _vectors(results)
    with ThreadPoolExecutor(THREADS, "predict") as pool:
        while rows := connection.execute(_DUE, (task_id, number, BLOCK)).fetchall():
            vectors = list(pool.map(vector, (row[1] for row in rows)))
            _write(connection, task_id, classifier.version, rows, classifier.named(vectors))
            number, predicted = rows[-1][0], predicted + len(rows)
            if time.monotonic() - shown > _PROGRESS_SECONDS:
                shown = time.monotonic()
                log.info(
                    "predicting task=%s predicted=%d per_second=%.1f",
                    task_id,
                    predicted,
                    predicted / (shown - started),
                )
    row = connection.execute(_HELD, (task_id,)).fetchone()
    expected, missing, differing, sample, unreadable = row or (0, 0, 0, None, 0)
    return Counts(
        predicted=predicted,
        unchanged=max(expected - predicted, 0),
        unreadable=unreadable,
        removed=removed,
        seconds=time.monotonic() - started,
        found=Verification(expected, missing, differing, sample=tuple(sample or ())),
    )


def label_counts(connection: Connection, task_id: str) -> dict[str, dict[str, int]]:
    """How many of a task's results show which label, by column. Raises psycopg.Error."""
    return {
        column: dict(connection.execute(_NAMED.format(column=column), (task_id,)).fetchall())
        for column in ("master_category", "article_type", "dominant_colour")
    }


def _remove(connection: Connection, task_id: str, *, wanted: bool) -> int:
    with connection.transaction():
        ledger.hold(connection, task_id)
        removed = connection.execute(_REMOVE, (task_id, wanted)).rowcount
        if removed:
            ledger.outdate(connection, task_id)
    return removed


def _vectors(results: ObjectStore) -> Callable[[str], Vectors | None]:
    def vector(key: str) -> Vectors | None:
        try:
            return vector_or_none(results.get(key))
        except KeyError as error:
            raise TransientError(f"the result {key} is not in the bucket") from error

    return vector


def _write(
    connection: Connection,
    task_id: str,
    version: str,
    rows: Sequence[Sequence[Any]],
    predictions: Sequence[Prediction | None],
) -> None:
    columns: list[list[Any]] = [[row[0] for row in rows], [row[2] or "" for row in rows]]
    for head in ("master_category", "article_type", "base_colour"):
        named = [getattr(one, head, None) for one in predictions]
        columns += [
            [one.label if one else None for one in named],
            [one.score if one else None for one in named],
        ]
    with connection.transaction():
        ledger.hold(connection, task_id)
        ledger.outdate(connection, task_id)
        connection.execute(_WRITE, (task_id, version, *columns))
