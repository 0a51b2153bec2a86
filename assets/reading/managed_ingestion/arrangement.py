"""Managed ingestion as READING_STREAM asks for it, arranged with Google.

Belongs here: the order of the steps, for both streams. Does not: one step (``services.py``), what
Dagster shows (``assets.py``).
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from assets.reading.managed_ingestion import services
from assets.reading.tables import LANDED, warehouse_of
from landing.batch.failures import PermanentError

if TYPE_CHECKING:
    from assets.reading.managed_ingestion.services import Ingestion, Stream
    from assets.reading.settings import ReadingSettings
    from resources.bigquery import BigQueryResource
    from resources.dataflow import DataflowResource
    from resources.gcs import GcsResource
    from resources.pubsub import PubSubResource

STREAMS = ("session", "dataflow", "bigquery_subscription")


def arrange(
    reading: ReadingSettings,
    bigquery: BigQueryResource,
    pubsub: PubSubResource,
    gcs: GcsResource,
    dataflow: DataflowResource,
    *,
    relaunch: bool,
) -> list[Ingestion]:
    """Bring about what READING_STREAM says; what there is now of each service.

    What is not wanted is let go before what is wanted begins; the subscription keeps what nobody
    takes meanwhile. Raises:
        PermanentError: no such stream, or no folder for Dataflow's temporary files.
        resources.dataflow.DataflowRequestError and google.api_core.exceptions errors.
    """
    if reading.stream not in STREAMS:
        raise PermanentError(f"READING_STREAM is {reading.stream!r}, none of {', '.join(STREAMS)}")
    both = services.streams(reading, pubsub.project)
    if reading.stream != "session":
        with bigquery.client() as client:
            warehouse_of(client, reading.dataset, *LANDED).ensure()
    if reading.stream == "dataflow":
        left = _stop_subscriptions(pubsub, both)
        return left or _by_dataflow(dataflow, gcs, both, relaunch=relaunch)
    left = _stop_dataflow(dataflow, both)
    if reading.stream == "session":
        return [*left, *_stop_subscriptions(pubsub, both)]
    if stopping := [service for service in left if service.verdict == "stopping"]:
        # A job that drains still pulls, which a BigQuery subscription does not allow.
        return stopping
    with pubsub.subscriber() as subscriber:
        return [services.ingest_by_subscription(subscriber, stream) for stream in both]


def remedy(error: Exception) -> str:
    """What to do about a refusal."""
    status = getattr(error, "status_code", None) or getattr(error, "code", None)
    if status in {401, 403}:
        return "Give the account the roles that docs/reading.md lists, then launch this again."
    if status == 404:  # noqa: PLR2004
        return "Create what is missing (docs/reading.md has the commands), then launch this again."
    return "Mend the cause, then launch this again."


def _by_dataflow(
    dataflow: DataflowResource, gcs: GcsResource, both: tuple[Stream, Stream], *, relaunch: bool
) -> list[Ingestion]:
    if not dataflow.temp_location.startswith("gs://"):
        raise PermanentError("READING_DATAFLOW_TEMP must be a gs:// folder for temporary files")
    with closing(gcs.client()) as storage:
        function_path = services.upload_function(storage, dataflow.temp_location)
    plan = services.DataflowPlan(
        template=dataflow.template(services.TEMPLATE),
        function_path=function_path,
        temp_location=dataflow.temp_location,
        relaunch=relaunch,
    )
    with dataflow.client() as client:
        return [services.ingest_by_dataflow(client, stream, plan) for stream in both]


def _stop_dataflow(dataflow: DataflowResource, both: tuple[Stream, Stream]) -> list[Ingestion]:
    """Nothing was ever launched where there is no folder for temporary files."""
    if not dataflow.temp_location:
        return []
    with dataflow.client() as client:
        stopped = [services.stop_dataflow(client, stream) for stream in both]
    return [service for service in stopped if service]


def _stop_subscriptions(pubsub: PubSubResource, both: tuple[Stream, Stream]) -> list[Ingestion]:
    with pubsub.subscriber() as subscriber:
        stopped = [services.stop_subscription(subscriber, stream) for stream in both]
    return [service for service in stopped if service]
