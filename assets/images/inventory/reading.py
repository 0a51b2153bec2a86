"""Reading a batch of images: each is fetched, hashed and probed, several side by side.

Belongs here: from an object to its row. Does not: what makes a file an image (``processing``), the
threads (``landing/batch/read_ahead.py``).
One object after another would wait for the store most of the time: a million would take hours.
Imported lazily: needs polars and pillow.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO

import polars as pl  # noqa: TID253

from assets.frame.rows import hashed
from assets.frame.table_frames import frame_schema
from assets.images.pipeline import INVENTORY
from assets.images.processing.decoding import probe
from assets.images.processing.operation import Limits
from assets.images.settings import InventoryPlaces
from assets.images.tables import IMAGE_PROBES
from landing.arrival.identity import ObjectVersion
from landing.batch.chunks import REJECT_SCHEMA, Chunk
from landing.batch.object_reading import Reader, Reading
from landing.batch.read_ahead import Bounds, ReadAhead, reading_ahead
from landing.batch.validation import RecordRules
from landing.stores.base import ObjectNotCurrent, ObjectStore

if TYPE_CHECKING:
    import psycopg

    from landing.batch.counts import ObjectCounts

#: As many threads as the store's client keeps connections.
BOUNDS = Bounds(threads=16, most_objects=128, most_bytes=64 * 1024 * 1024)
#: Rows that are made at once: one by one, polars takes longer for each than the store.
_TOGETHER = 64

#: What staging adds, and the rest of a row.
_ADDED = ("seq", "line", "source", "ingested_at")
_SCHEMA = pl.Schema(
    {name: kind for name, kind in frame_schema(IMAGE_PROBES).items() if name not in _ADDED}
)
_SAID = tuple(name for name in _SCHEMA if name != "row_hash")
_NO_REJECTS = pl.DataFrame(schema=REJECT_SCHEMA)


@dataclass(frozen=True, slots=True)
class Found:
    """What an object is; None where it is not known. Fields as the columns of IMAGE_PROBES."""

    product_id: str
    key: str
    version: str
    modified_at: datetime
    size: int
    format: str | None
    width: int | None
    height: int | None
    mode: str | None
    content: str | None
    status: str
    detail: str | None


def product_of(key: str) -> str:
    """The product's id in a key that the landing's pattern admits, without leading zeros."""
    return str(int(PurePosixPath(key).stem))


def look(store: ObjectStore, version: ObjectVersion, limits: Limits) -> Found:
    """Fetch and probe an object. Raises ObjectNotCurrent, and what the store's client raises.

    One above the limit of bytes is not fetched.
    """
    if version.size > limits.most_bytes:
        detail = f"{version.size:,} bytes, {limits.most_bytes:,} at most"
        return _found(version, status="too_large", detail=detail)
    with store.open(version) as stream:
        return seen(stream.read(), version, limits)


def seen(data: bytes, version: ObjectVersion, limits: Limits) -> Found:
    """What the bytes of an object are."""
    found = probe(data, limits)
    return _found(
        version,
        format=found.format or None,
        width=found.width or None,
        height=found.height or None,
        mode=found.mode or None,
        content=hashlib.blake2b(data, digest_size=16).hexdigest(),
        status=found.status,
        detail=found.detail or None,
    )


def _limits() -> Limits:
    settings = InventoryPlaces.current()
    return Limits(settings.most_pixels, settings.most_bytes, settings.item_seconds)


def _found(version: ObjectVersion, **said: Any) -> Found:
    unknown = dict.fromkeys(("format", "width", "height", "mode", "content", "detail"))
    return Found(
        product_id=product_of(version.key),
        key=version.key,
        version=version.version,
        modified_at=version.modified_at,
        size=version.size,
        **{**unknown, **said},
    )


class ImageReading:
    """A batch's images, looked at ahead of being asked for."""

    def __init__(self, versions: Sequence[ObjectVersion], ahead: ReadAhead[Found]) -> None:
        self._coming = iter(versions)
        self._ahead = ahead
        self._rows: dict[ObjectVersion, pl.DataFrame | ObjectNotCurrent] = {}

    def chunks(self, version: ObjectVersion) -> Iterator[Chunk]:
        """See landing.batch.object_reading.Reading: one row; asked for in the batch's order."""
        if version not in self._rows:
            self._look_at_some()
        found = self._rows.pop(version)
        if isinstance(found, ObjectNotCurrent):
            raise found
        yield Chunk(found, _NO_REJECTS)

    def save(self, conn: psycopg.Connection[Any], objects: Sequence[ObjectCounts]) -> None:
        """Nothing: the ledger says it all."""

    def _look_at_some(self) -> None:
        found: dict[ObjectVersion, Found] = {}
        for version in islice(self._coming, _TOGETHER):
            try:
                found[version] = self._ahead.take(version)
            except ObjectNotCurrent as error:
                self._rows[version] = error
        rows = rows_of(list(found.values()))
        self._rows.update((version, rows[at : at + 1]) for at, version in enumerate(found))


def rows_of(found: Sequence[Found]) -> pl.DataFrame:
    """Their rows, hashed, with ``line`` and ``text``; each is the only one of its object."""
    columns = {
        name: pl.Series(name, [getattr(one, name) for one in found], dtype=_SCHEMA[name])
        for name in _SAID
    }
    return hashed(pl.DataFrame(columns), _SAID).with_columns(
        pl.lit(1, pl.Int64).alias("line"), pl.lit("").alias("text")
    )


def image_reader(
    store: ObjectStore, limits: Limits | None = None, bounds: Bounds = BOUNDS
) -> Reader:
    """Reads a batch's images from the bucket in which they landed.

    ``limits`` are the settings' where none are given.
    """
    limits = limits or _limits()

    @contextmanager
    def read(versions: Sequence[ObjectVersion]) -> Iterator[Reading]:
        def make(version: ObjectVersion) -> Found:
            return look(store, version, limits)

        with reading_ahead(versions, make, bounds) as ahead:
            yield ImageReading(versions, ahead)

    return read


def _look_at_one(stream: BinaryIO, version: ObjectVersion) -> Iterator[Chunk]:
    """An object that somebody opened."""
    yield Chunk(rows_of([seen(stream.read(), version, _limits())]), _NO_REJECTS)


def rules() -> RecordRules:
    """Of two images of one product, the one that arrived later stands for it.

    Nothing is rejected: what is no image, or a broken one, is a row that says so.
    """
    return RecordRules(
        name=INVENTORY.pipeline,
        key="product_id",
        event_time=None,
        columns=tuple(_SCHEMA),
        attributes=(),
        sinks=INVENTORY.sinks,
        read=_look_at_one,
        records=INVENTORY.records,
    )
