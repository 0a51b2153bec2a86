"""WebDataset shards of a task's images: tar files that training reads front to back.

Belongs here: what a shard holds. Does not: the images themselves, which lie beside it.
The format: https://github.com/webdataset/webdataset, files of one sample have one stem and lie
next to each other.
"""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import IO, TYPE_CHECKING, Any

from assets.images.requests.request import ImageRequest
from assets.images.tasks.metadata_files import Written, put
from landing.stores.listing import pages

if TYPE_CHECKING:
    import psycopg

    from landing.stores.minio import MinioStore

#: Where they lie within a task's folder, and samples of one.
FOLDER = "webdataset/"
SAMPLES = 1_000
_READERS = 8
_MEMORY_BYTES = 8 * 1024 * 1024

_COLUMNS = (*ImageRequest.FILTERS, "year", "product_display_name")
_PAGE = f"""
SELECT i.number, i.product_id, i.extension, {", ".join(f"p.{name}" for name in _COLUMNS)}
FROM images.image_task_item AS i LEFT JOIN images.product AS p ON p.id = i.product_id
WHERE i.task_id = %s AND i.status = 'ok' AND i.number > %s ORDER BY i.number LIMIT {SAMPLES}
"""


def write(
    connection: psycopg.Connection[Any], store: MinioStore, task_id: str
) -> dict[str, Written]:
    """Write the shards of the task's good items; by their names within its folder.

    The same items give the same bytes. One shard is on disk at a time. Raises psycopg.Error and
    what the store raises.
    """
    written: dict[str, Written] = {}
    with ThreadPoolExecutor(_READERS) as readers:
        for number, rows in enumerate(_pages(connection, task_id)):
            keys = [f"{task_id}/{row[1]}.{row[2]}" for row in rows]
            name = f"{FOLDER}{number:06d}.tar"
            with tempfile.SpooledTemporaryFile(_MEMORY_BYTES, prefix="quintet-") as spool:
                fill(spool, rows, _read(readers, store, keys))
                written[name] = put(store, f"{task_id}/{name}", spool, "application/x-tar")
    return written


def _read(readers: Executor, store: MinioStore, keys: Sequence[str]) -> Iterator[bytes]:
    """The objects in order, a few ahead of who takes them: copies may be of any size."""
    ahead: deque[Future[bytes]] = deque()
    for key in keys:
        ahead.append(readers.submit(store.get, key))
        if len(ahead) > _READERS:
            yield ahead.popleft().result()
    while ahead:
        yield ahead.popleft().result()


def remove_others(store: MinioStore, task_id: str, written: Collection[str]) -> None:
    """Remove shards that are none of these, such as those of an earlier, longer request."""
    for page in pages(store, f"{task_id}/{FOLDER}", limit=SAMPLES):
        for version in page.objects:
            if version.key.removeprefix(f"{task_id}/") not in written:
                store.delete(version.key)


def fill(spool: IO[bytes], rows: Sequence[Sequence[Any]], images: Iterator[bytes]) -> None:
    """Write a shard, two files of each row: number, product, extension, what is known of it."""
    with tarfile.open(fileobj=spool, mode="w", format=tarfile.USTAR_FORMAT) as shard:
        for (_, product_id, extension, *said), image in zip(rows, images, strict=True):
            told = {"id": product_id, **dict(zip(_COLUMNS, said, strict=True))}
            text = json.dumps(told, ensure_ascii=False).encode("utf-8", "backslashreplace")
            for name, data in ((extension, image), ("json", text)):
                member = tarfile.TarInfo(f"{product_id}.{name}")
                member.size = len(data)
                shard.addfile(member, io.BytesIO(data))


def _pages(connection: psycopg.Connection[Any], task_id: str) -> Iterator[list[tuple[Any, ...]]]:
    last = 0
    while rows := connection.execute(_PAGE, (task_id, last)).fetchall():
        yield rows
        last = rows[-1][0]
