"""``metadata.csv`` and ``metadata.parquet``: one row per requested product.

Belongs here: their columns, and writing them in bounded memory. Does not: which items there are.
Imported lazily: needs pyarrow.
"""

from __future__ import annotations

import csv
import hashlib
import io
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa  # noqa: TID253
import pyarrow.parquet as pq  # noqa: TID253

from assets.images.requests.request import ImageRequest

if TYPE_CHECKING:
    import psycopg

    from landing.stores.minio import MinioStore

CSV, PARQUET = "metadata.csv", "metadata.parquet"

#: Rows read, and of a row group.
_ROWS = 20_000
_MEMORY_BYTES = 8 * 1024 * 1024
_BLOCK_BYTES = 1024 * 1024
_DIGEST = "sha256"
_CRLF = "\r\n"

_SCHEMA = pa.schema(
    [
        ("id", pa.int64()),
        *[(name, pa.string()) for name in ImageRequest.FILTERS],
        ("year", pa.int16()),
        ("product_display_name", pa.string()),
        ("status", pa.string()),
        ("detail", pa.string()),
        ("path", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("bytes", pa.int64()),
        ("digest", pa.string()),
        ("source_digest", pa.string()),
        *[
            (f"predicted_{name}", kind)
            for name, kind in (
                ("master_category", pa.string()),
                ("master_score", pa.float32()),
                ("article_type", pa.string()),
                ("article_score", pa.float32()),
                ("dominant_colour", pa.string()),
                ("colour_score", pa.float32()),
            )
        ],
        ("predicted_by", pa.string()),
    ]
)
_QUERY = f"""
SELECT i.product_id, {", ".join(f"p.{name}" for name in ImageRequest.FILTERS)}, p.year,
    p.product_display_name, i.status, i.detail,
    CASE WHEN i.status = 'ok' THEN i.product_id || '.' || i.extension END,
    i.width, i.height, i.bytes, i.digest, i.content,
    q.master_category, q.master_score, q.article_type, q.article_score, q.dominant_colour,
    q.colour_score, q.model_version
FROM images.image_task_item AS i LEFT JOIN images.product AS p ON p.id = i.product_id
LEFT JOIN images.image_task_prediction AS q ON q.task_id = i.task_id AND q.number = i.number
WHERE i.task_id = %s ORDER BY i.number
"""


@dataclass(frozen=True, slots=True)
class Written:
    """A file of a task: the SHA-256, hex, and size by which a reader knows it."""

    sha256: str
    bytes: int


def write(
    connection: psycopg.Connection[Any], store: MinioStore, task_id: str
) -> tuple[int, dict[str, Written]]:
    """Write both files, each complete or absent; how many rows, and the files by name.

    At most a few thousand rows are in memory, the files on disk without a name. Raises
    psycopg.Error and what the store raises.
    """
    with (
        tempfile.SpooledTemporaryFile(_MEMORY_BYTES, prefix="quintet-") as text,
        tempfile.SpooledTemporaryFile(_MEMORY_BYTES, prefix="quintet-") as columns,
    ):
        rows = _fill(_rows(connection, task_id), text, columns)
        kinds = {CSV: (text, "text/csv"), PARQUET: (columns, "application/vnd.apache.parquet")}
        files = {
            name: put(store, f"{task_id}/{name}", spool, kind)
            for name, (spool, kind) in kinds.items()
        }
    return rows, files


def put(store: MinioStore, key: str, spool: IO[bytes], content_type: str) -> Written:
    """Write what was spooled, with its digest as the object's metadata."""
    size = spool.seek(0, io.SEEK_END)
    spool.seek(0)
    digest = hashlib.sha256()
    while block := spool.read(_BLOCK_BYTES):
        digest.update(block)
    spool.seek(0)
    sha256 = digest.hexdigest()
    store.upload(key, spool, size=size, content_type=content_type, metadata={_DIGEST: sha256})
    return Written(sha256, size)


def _rows(connection: psycopg.Connection[Any], task_id: str) -> Iterator[Sequence[Any]]:
    with connection.transaction(), connection.cursor(f"metadata of {task_id}") as cursor:
        cursor.itersize = _ROWS
        yield from cursor.execute(_QUERY, (task_id,))


def _fill(rows: Iterator[Sequence[Any]], text: IO[bytes], columns: IO[bytes]) -> int:
    lines = io.TextIOWrapper(text, encoding="utf-8", newline="", write_through=True)
    out = csv.writer(_LineFeeds(lines), lineterminator=_CRLF)
    out.writerow(_SCHEMA.names)
    count, block = 0, list[Sequence[Any]]()
    with pq.ParquetWriter(columns, _SCHEMA, compression="zstd") as parquet:
        for row in rows:
            out.writerow(row)
            block.append(row)
            count += 1
            if len(block) == _ROWS:
                parquet.write_batch(_batch(block))
                block.clear()
        if block or not count:
            parquet.write_batch(_batch(block))
    lines.detach()
    return count


class _LineFeeds:
    """Takes whole lines of a csv writer, and ends them with a line feed alone.

    Before Python 3.13 a writer quotes a carriage return only where it ends lines with it; a reader
    takes one that is not quoted for the end of a line.
    """

    def __init__(self, lines: io.TextIOWrapper) -> None:
        self._lines = lines

    def write(self, line: str) -> int:
        """Write one line."""
        return self._lines.write(line.removesuffix(_CRLF) + "\n")


def _batch(rows: Sequence[Sequence[Any]]) -> pa.RecordBatch:
    arrays = [
        pa.array([row[position] for row in rows], field.type)
        for position, field in enumerate(_SCHEMA)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=_SCHEMA)
