"""The campaigns job without a daemon, on CSV files in a GCS bucket."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from google.cloud import storage

from assets.campaigns.pipeline import CAMPAIGNS as DECLARED
from landing.stores.gcs import GcsStore
from resources.gcs import GcsResource
from tests.faults.batch_runs import BatchRuns, PipelineRuns
from tests.faults.oracle import as_csv

SERVERS = ("postgres", "gcs", "bigquery", "mongo", "bolt", "milvus", "openai")
SINKS = {
    "raw_messages",
    "message_embeddings",
    "user_profiles",
    "engagement_graph",
    "engagement_analytics",
}


def campaigns_job() -> Any:
    """The job as the code location has it."""
    from definitions import build_defs

    return build_defs().resolve_job_def(DECLARED.job)


CAMPAIGNS = PipelineRuns(job=campaigns_job, files=DECLARED)


class CampaignRuns(BatchRuns):
    """See :class:`BatchRuns`."""

    pipeline = CAMPAIGNS

    @contextmanager
    def bucket(self, variable: str = "CAMPAIGNS_BUCKET") -> Iterator[storage.Bucket]:
        client = GcsResource(project=self.env["GOOGLE_CLOUD_PROJECT"]).client()
        yield client.bucket(self.env[variable])
        client.close()

    @contextmanager
    def store(self) -> Iterator[GcsStore]:
        with self.bucket() as bucket:
            yield GcsStore(bucket.client, bucket.name)

    def land(self, name: str, content: bytes | Sequence[Sequence[str]]) -> None:
        """Put an object under the landing prefix."""
        data = content if isinstance(content, bytes) else as_csv(content)
        with self.bucket() as bucket:
            bucket.blob(f"campaigns/{name}").upload_from_string(data, content_type="text/csv")

    def load(self, name: str, content: bytes | Sequence[Sequence[str]]) -> str:
        """Land an object and run its batch, which must succeed; the batch's id."""
        self.land(name, content)
        (request,) = self.tick()
        assert self.run(request).success
        return request.partition_key or ""
