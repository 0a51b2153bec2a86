"""The least that a run started by an object can do: what campaigns' latency is compared with.

A code location of its own: a sensor of the same interval lists a prefix of the same bucket with
the same client and requests one run of an asset that does nothing for every new object.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing

import dagster as dg

#: Next to the landing prefix, where campaigns do not look.
PREFIX = "noop/"
INTERVAL_SECONDS = 5


@dg.asset
def nothing() -> None:
    """Done at once."""


nothing_job = dg.define_asset_job("nothing_job", [nothing], executor_def=dg.in_process_executor)


@dg.sensor(
    job=nothing_job,
    minimum_interval_seconds=INTERVAL_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def nothing_sensor(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """One run per key that sorts after the last one."""
    from resources.gcs import GcsResource

    last = context.cursor or ""
    with closing(GcsResource(project=os.environ["GOOGLE_CLOUD_PROJECT"]).client()) as client:
        blobs = client.list_blobs(os.environ["CAMPAIGNS_BUCKET"], prefix=PREFIX, start_offset=last)
        new = sorted(blob.name for blob in blobs if blob.name > last)
    if not new:
        yield dg.SkipReason("nothing new")
        return
    context.update_cursor(new[-1])
    for name in new:
        yield dg.RunRequest(run_key=name)


defs = dg.Definitions(assets=[nothing], jobs=[nothing_job], sensors=[nothing_sensor])
