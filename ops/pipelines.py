"""Where each pipeline's objects land, as far as the operator's commands need to know.

Belongs here: one entry per pipeline, built from the variables. Does not: what is done there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, BinaryIO

from assets.campaigns.pipeline import BATCHES as CAMPAIGNS_BATCHES
from assets.campaigns.pipeline import PIPELINE as CAMPAIGNS
from assets.music.pipeline import BATCHES as MUSIC_BATCHES
from assets.music.pipeline import PIPELINE as MUSIC
from assets.reading.pipeline import BATCHES as READING_BATCHES
from assets.reading.pipeline import PIPELINE as READING
from landing.stores.base import ObjectStore
from ops.environment import require
from resources.gcs import GcsResource
from resources.minio import MinioResource
from resources.postgres import PostgresResource

if TYPE_CHECKING:
    from ops.rejects import Reject, Replayed

#: An object's stream to that of its text.
Plain = Callable[[BinaryIO], AbstractContextManager[IO[bytes]]]


#: The names of their dynamic partitions in Dagster.
PARTITIONS = {
    CAMPAIGNS: CAMPAIGNS_BATCHES.name or "",
    MUSIC: MUSIC_BATCHES.name or "",
    READING: READING_BATCHES.name or "",
}


@dataclass(frozen=True, slots=True)
class LandedPipeline:
    """One pipeline of landed objects.

    ``open_bucket`` connects to one of its buckets, landing or quarantine, and ``put_back`` lets the
    rejects of the batch with that id arrive again.
    """

    name: str
    open_bucket: Callable[[str], ObjectStore]
    put_back: Callable[[Iterable[Reject], str], Replayed]


@contextmanager
def landed_pipeline(name: str, env: Mapping[str, str]) -> Iterator[LandedPipeline]:
    """The pipeline called ``name``; its client is closed at the end. Raises KeyError."""
    with _PIPELINES[name](env) as pipeline:
        yield pipeline


@contextmanager
def _campaigns(env: Mapping[str, str]) -> Iterator[LandedPipeline]:
    with _rows_on_gcs(env, CAMPAIGNS, "CAMPAIGNS") as pipeline:
        yield pipeline


@contextmanager
def _reading(env: Mapping[str, str]) -> Iterator[LandedPipeline]:
    from assets.reading.history.formats import plain

    with _rows_on_gcs(env, READING, "READING", plain) as pipeline:
        yield pipeline


@contextmanager
def _rows_on_gcs(
    env: Mapping[str, str], name: str, variables: str, plain: Plain = nullcontext
) -> Iterator[LandedPipeline]:
    """Rows of CSV files on GCS; ``plain`` is what a compressed file has to go through."""
    from landing.stores.gcs import GcsStore

    client = GcsResource(project=env["GOOGLE_CLOUD_PROJECT"]).client()

    def put_back(rejects: Iterable[Reject], batch_id: str) -> Replayed:
        from ops.rejects import put_back as put_rows_back

        return put_rows_back(
            rejects,
            GcsStore(client, env[f"{variables}_BUCKET"]),
            prefix=env[f"{variables}_PREFIX"],
            suffix=".csv",
            batch_id=batch_id,
            plain=plain,
        )

    try:
        yield LandedPipeline(
            name=name,
            open_bucket=lambda bucket: GcsStore(client, bucket),
            put_back=put_back,
        )
    finally:
        client.close()


@contextmanager
def _music(env: Mapping[str, str]) -> Iterator[LandedPipeline]:
    from landing.stores.minio import MinioStore

    client = MinioResource(
        endpoint=require("MINIO_ENDPOINT"),
        access_key=require("MINIO_ACCESS_KEY"),
        secret_key=require("MINIO_SECRET_KEY"),
    ).client()

    def put_back(rejects: Iterable[Reject], _batch_id: str) -> Replayed:
        from assets.music.archive import Archive
        from assets.music.copies import copies_in
        from ops.rejected_files import put_back as put_files_back

        postgres = PostgresResource(url=require("POSTGRES_URL"))
        raw = MinioStore(client, env["MUSIC_RAW_BUCKET"])
        processed = MinioStore(client, env["MUSIC_PROCESSED_BUCKET"])
        archive = Archive(raw, processed, copies_in(postgres, raw.bucket))
        return put_files_back(rejects, raw, archive, postgres)

    yield LandedPipeline(
        name=MUSIC,
        open_bucket=lambda bucket: MinioStore(client, bucket),
        put_back=put_back,
    )


_PIPELINES = {CAMPAIGNS: _campaigns, MUSIC: _music, READING: _reading}
