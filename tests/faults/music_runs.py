"""The music job without a daemon, on files in a MinIO bucket."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import minio

from assets.music.pipeline import MUSIC as DECLARED
from landing.stores.minio import MinioStore
from tests.faults.batch_runs import BatchRuns, PipelineRuns

SERVERS = ("postgres", "s3", "milvus", "openai", "typesense", "music_services")


def music_job() -> Any:
    """The job as the code location has it."""
    from definitions import build_defs

    return build_defs(pipelines=["music"]).resolve_job_def(DECLARED.job)


MUSIC = PipelineRuns(job=music_job, files=DECLARED)


@dataclass
class MusicRuns(BatchRuns):
    """See :class:`BatchRuns`."""

    #: Objects without versions are taken when they are some seconds old.
    offset: timedelta = timedelta(seconds=5)

    pipeline = MUSIC

    def raw(self) -> MinioStore:
        client = minio.Minio(
            self.env["MINIO_ENDPOINT"].removeprefix("http://"),
            access_key=self.env["MINIO_ACCESS_KEY"],
            secret_key=self.env["MINIO_SECRET_KEY"],
            secure=False,
        )
        return MinioStore(client, self.env["MUSIC_RAW_BUCKET"])

    @contextmanager
    def store(self) -> Iterator[MinioStore]:
        yield self.raw()
