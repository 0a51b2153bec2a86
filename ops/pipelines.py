"""Where each pipeline's objects land, as far as the operator's commands need to know.

Belongs here: from a declaration to its opened buckets and the way back for rejects. Does not: what
is done there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from assets.frame.buckets import StoreResource, opened
from assets.pipelines import reject_reasons
from landing.batch.reasons import RejectReason
from landing.stores.base import ObjectStore
from ops.environment import require
from resources.gcs import GcsResource
from resources.minio import MinioResource
from resources.postgres import PostgresResource
from resources.s3 import S3Resource

if TYPE_CHECKING:
    from assets.frame.declared import LandedFiles
    from ops.rejects import Reject, Replayed

PutBack = Callable[["Iterable[Reject]", str], "Replayed"]


@dataclass(frozen=True, slots=True)
class LandedPipeline:
    """One pipeline of landed objects.

    ``open_bucket`` connects to one of its buckets, landing or quarantine, ``put_back`` lets the
    rejects of the batch with that id arrive again, and ``reasons`` are those it rejects for.
    """

    name: str
    open_bucket: Callable[[str], ObjectStore]
    put_back: PutBack
    reasons: Mapping[str, RejectReason]


@contextmanager
def landed_pipeline(files: LandedFiles) -> Iterator[LandedPipeline]:
    """The pipeline as far as these files go; its client is closed at the end."""
    name = files.pipeline
    with ExitStack() as stack:

        def open_bucket(bucket: str) -> ObjectStore:
            return stack.enter_context(opened(_resource(files), bucket))

        reasons = reject_reasons(name)
        put_back = (
            _files_back(_minio(), reasons)
            if name == "music"
            else _rows_back(files, open_bucket, reasons)
        )
        yield LandedPipeline(name, open_bucket, put_back, reasons)


def _resource(files: LandedFiles) -> StoreResource:
    if files.store == "gcs":
        return GcsResource(project=require("GOOGLE_CLOUD_PROJECT"))
    if files.store == "s3":
        return S3Resource(endpoint=os.environ["AWS_ENDPOINT_URL_S3"], region=require("AWS_REGION"))
    return _minio()


def _minio() -> MinioResource:
    return MinioResource(
        endpoint=require("MINIO_ENDPOINT"),
        access_key=require("MINIO_ACCESS_KEY"),
        secret_key=require("MINIO_SECRET_KEY"),
    )


def _rows_back(
    files: LandedFiles,
    open_bucket: Callable[[str], ObjectStore],
    reasons: Mapping[str, RejectReason],
) -> PutBack:
    """Rows of CSV files, compressed or not, in objects of their own under the prefix."""

    def put_back(rejects: Iterable[Reject], batch_id: str) -> Replayed:
        from landing.arrival.arrivals import note_put_back
        from ops.rejects import put_back as put_rows_back

        places = files.places()
        landing = open_bucket(places.bucket)
        postgres = PostgresResource(url=require("POSTGRES_URL"))

        def note(of: tuple[str, str], key: str) -> None:
            with postgres.connect(autocommit=True) as connection:
                note_put_back(connection, landing.kind, landing.bucket, of=of, key=key)

        return put_rows_back(
            rejects,
            landing,
            note=note,
            prefix=places.prefix,
            suffix=".csv",
            batch_id=batch_id,
            reasons=reasons,
        )

    return put_back


def _files_back(minio: MinioResource, reasons: Mapping[str, RejectReason]) -> PutBack:
    """Files of songs, whole: a row of HDF5 is no file."""

    def put_back(rejects: Iterable[Reject], _batch_id: str) -> Replayed:
        from assets.music.bronze.archive import Archive
        from assets.music.bronze.copies import copies_in
        from assets.music.settings import MusicSettings
        from landing.stores.minio import MinioStore
        from ops.rejected_files import put_back as put_files_back

        music = MusicSettings.current()
        postgres = PostgresResource(url=require("POSTGRES_URL"))
        client = minio.client()
        raw = MinioStore(client, music.raw_bucket)
        processed = MinioStore(client, music.processed_bucket)
        archive = Archive(raw, processed, copies_in(postgres, raw.bucket))
        return put_files_back(rejects, raw, archive, postgres, reasons)

    return put_back
