"""Validation of a batch of music files: what the thin asset calls.

Belongs here: what music supplies to the shared validation. Does not: the steps themselves
(``landing/batch/validation.py``), formats (``formats/``), copies (``archive.py``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import logging

    import psycopg

    from landing.arrival.identity import ObjectVersion
    from landing.batch.chunks import Chunk
    from landing.batch.counts import ObjectCounts
    from landing.batch.object_reading import Reader, Reading
    from landing.batch.validation import RecordRules, ValidationResult
    from landing.stores.base import ObjectStore
    from landing.stores.minio import MinioStore
    from resources.minio_client import Access
    from resources.postgres import PostgresResource


def rules() -> RecordRules:
    """What music supplies to the shared validation."""
    from assets.formats.csv_rules import CSV_REASONS
    from assets.music.bronze.formats.sniffing import read_records
    from assets.music.bronze.reasons import FILE_REASONS, FORMAT_REASONS, VALUE_REASONS
    from assets.music.bronze.records import SCHEMA
    from assets.music.pipeline import MUSIC
    from landing.batch.validation import RecordRules

    # In the Million Song's extracts a NUL is data.
    extract = (reason for reason in CSV_REASONS if reason.code != "nul_character")
    return RecordRules(
        name=MUSIC.pipeline,
        key="record_key",
        event_time=None,
        columns=tuple(SCHEMA),
        attributes=(),
        sinks=MUSIC.sinks,
        read=read_records,
        reasons=(*FILE_REASONS, *VALUE_REASONS, *FORMAT_REASONS, *extract),
        by_object=True,
    )


def validate_batch(
    pg: PostgresResource,
    raw: MinioStore,
    processed: MinioStore,
    quarantine_store: ObjectStore,
    *,
    batch_id: str,
    run_id: str,
    log: logging.Logger,
    formats: Counter[str] | None = None,
    access: Access | None = None,
) -> ValidationResult:
    """Read a batch of ``raw`` into staging and copies in ``processed``, and into quarantine.

    A batch that was validated before is staged again from what is staged, or else from the copies.
    ``formats`` gets the rows that were read and not rejected, by format. With ``access`` to the
    server that has ``raw`` and ``processed``, many small objects are read in several processes.
    Errors are those of landing.batch.validation.validate, and assets.music.bronze.archive.CopyLost.
    """
    from assets.music.bronze.archive import Archive
    from assets.music.bronze.batch_files import archive_reader
    from assets.music.bronze.copies import copies_in
    from assets.music.bronze.parallel_reading import parallel_reader, pays
    from assets.music.bronze.taken_down import refusing
    from landing.arrival.putting_off import put_off
    from landing.batch.validation import validate

    music, known = rules(), copies_in(pg, raw.bucket)
    serial = archive_reader(Archive(raw, processed, known), music.read)

    def reader(versions: Sequence[ObjectVersion]) -> AbstractContextManager[Reading]:
        if access is None or not pays(versions):
            return serial(versions)
        return parallel_reader(access, raw.bucket, processed.bucket, known)(versions)

    counted = reader if formats is None else _counting(reader, formats)
    return validate(
        pg,
        processed,
        quarantine_store,
        music,
        batch_id=batch_id,
        run_id=run_id,
        log=log,
        landing=raw,
        put_off=put_off,
        reader=refusing(counted, pg),
    )


def _counting(reader: Reader, formats: Counter[str]) -> Reader:
    @contextmanager
    def read(versions: Sequence[ObjectVersion]) -> Iterator[Reading]:
        with reader(versions) as reading:
            yield _Counting(reading, formats)

    return read


@dataclass(frozen=True, slots=True)
class _Counting:
    """A reading that counts on the way."""

    reading: Reading
    formats: Counter[str]

    def chunks(self, version: ObjectVersion) -> Iterator[Chunk]:
        for chunk in self.reading.chunks(version):
            if len(chunk.accepted):  # all of one object, hence of one format
                rows = len(chunk.accepted) * chunk.stands_for
                self.formats[chunk.accepted.item(0, "format")] += rows
            yield chunk

    def save(self, conn: psycopg.Connection[Any], objects: Sequence[ObjectCounts]) -> None:
        self.reading.save(conn, objects)
