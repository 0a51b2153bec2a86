"""Watches the prefix of reading history on GCS.

Belongs here: which source starts which job. Does not: how a tick works (``sensors.landed``), and
the streaming session (``reading_session``).
"""

from __future__ import annotations

from typing import Any

from assets.reading.history.source import history_source
from assets.reading.pipeline import BATCH_CHECKS, BATCHES, LANDING_KEY
from jobs.executor import in_process
from jobs.reading import reading_history_job
from landing.arrival.source import Source
from landing.stores.base import ObjectStore
from sensors.landed import landing_sensor


def _source(resources: Any) -> Source:
    return history_source(resources.reading.bucket, resources.reading.prefix)


def _store(resources: Any) -> ObjectStore:
    from landing.stores.gcs import GcsStore

    return GcsStore(resources.gcs.client(), resources.reading.bucket)


reading_history_sensor = landing_sensor(
    name="reading_history_sensor",
    description="Requests one run of `reading_history` for every batch of history files on GCS.",
    job=reading_history_job,
    source=_source,
    store=_store,
    partitions_def=BATCHES,
    landing_asset=LANDING_KEY,
    required_resource_keys={"gcs", "reading"},
    validation="history_rows",
    checks=BATCH_CHECKS,
    # The two sinks take turns in BigQuery: processes of their own would only cost their start.
    small_run=in_process(),
    large_run=in_process(),
)
