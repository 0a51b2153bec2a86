"""Watches the campaigns prefix on GCS.

Belongs here: which source starts which job. Does not: how a tick works (``sensors.landed``).
"""

from __future__ import annotations

from typing import Any

from assets.campaigns.pipeline import BATCH_CHECKS, BATCHES, LANDING_KEY
from assets.campaigns.source import campaigns_source
from jobs.campaigns import campaigns_job
from jobs.executor import in_process, multiprocess
from landing.arrival.source import Source
from landing.stores.base import ObjectStore
from sensors.landed import landing_sensor


def _source(resources: Any) -> Source:
    return campaigns_source(resources.campaigns.bucket, resources.campaigns.prefix)


def _store(resources: Any) -> ObjectStore:
    from landing.stores.gcs import GcsStore

    return GcsStore(resources.gcs.client(), resources.campaigns.bucket)


campaigns_gcs_sensor = landing_sensor(
    name="campaigns_gcs_sensor",
    description="Requests one run of the job `campaigns` for every batch of CSV files on GCS.",
    job=campaigns_job,
    source=_source,
    store=_store,
    partitions_def=BATCHES,
    landing_asset=LANDING_KEY,
    required_resource_keys={"gcs", "campaigns"},
    derived=("campaign_recommendations",),
    checks=BATCH_CHECKS,
    small_run=in_process(),
    large_run=multiprocess(),
)
