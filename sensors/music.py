"""Watches the raw bucket on MinIO.

Belongs here: which source starts which job. Does not: how a tick works (``sensors.landed``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from assets.music.pipeline import BATCH_CHECKS, BATCHES, LANDING_KEY, RAW_REMOVALS, VALIDATION
from assets.music.source import music_source
from jobs.executor import in_process, multiprocess
from jobs.music import music_job
from landing.arrival.events import LISTENERS, Listener
from landing.arrival.source import Source
from landing.stores.base import ObjectStore
from sensors.landed import landing_sensor

#: Seconds without any sign of life, which MinIO gives twice a second, after which a subscription
#: is broken; and between two attempts to subscribe, so that a server that hangs up is not hammered.
SILENCE = 15.0
PACE = 1.0


def _source(resources: Any) -> Source:
    return music_source(resources.music.raw_bucket, resources.music.raw_prefix)


def _store(resources: Any) -> ObjectStore:
    from landing.stores.minio import MinioStore

    return MinioStore(resources.minio.client(), resources.music.raw_bucket)


def _listener(resources: Any) -> Listener:
    minio, music = resources.minio, resources.music

    def subscribe() -> Iterator[str]:
        from landing.stores.minio_events import created_keys

        client = minio.client(read_timeout=SILENCE, retries=0, pace=PACE)
        yield from created_keys(client, music.raw_bucket, music.raw_prefix)

    return LISTENERS.get(f"{minio.endpoint}/{music.raw_bucket}/{music.raw_prefix}", subscribe)


music_minio_sensor = landing_sensor(
    name="music_minio_sensor",
    description="Requests one run of the job `music` for every batch of files in the raw bucket.",
    job=music_job,
    source=_source,
    store=_store,
    partitions_def=BATCHES,
    landing_asset=LANDING_KEY,
    required_resource_keys={"minio", "music"},
    validation=VALIDATION,
    derived=(RAW_REMOVALS,),
    checks=BATCH_CHECKS,
    small_run=in_process(),
    large_run=multiprocess(),
    listener=_listener,
)
