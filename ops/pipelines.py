"""Where each pipeline's objects land, as far as the operator's commands need to know.

Belongs here: one entry per pipeline, built from the variables. Does not: what is done there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from assets.campaigns.pipeline import BATCHES
from landing.stores.base import ObjectStore
from resources.gcs import GcsResource


@dataclass(frozen=True, slots=True)
class LandedPipeline:
    """One pipeline of line-oriented objects: a header, then one record after the other.

    ``bucket`` and ``prefix`` are where its sensor looks, ``suffix`` ends the keys that it takes,
    ``partitions`` names its dynamic partitions in Dagster. ``open_bucket`` connects to one of its
    buckets, landing or quarantine.
    """

    name: str
    bucket: str
    prefix: str
    suffix: str
    partitions: str
    open_bucket: Callable[[str], ObjectStore]


@contextmanager
def landed_pipeline(name: str, env: Mapping[str, str]) -> Iterator[LandedPipeline]:
    """The pipeline called ``name``; its client is closed at the end. Raises KeyError."""
    if name != "campaigns":
        raise KeyError(name)
    from landing.stores.gcs import GcsStore

    client = GcsResource(project=env["GOOGLE_CLOUD_PROJECT"]).client()
    try:
        yield LandedPipeline(
            name=name,
            bucket=env["CAMPAIGNS_BUCKET"],
            prefix=env["CAMPAIGNS_PREFIX"],
            suffix=".csv",
            partitions=BATCHES.name or "",
            open_bucket=lambda bucket: GcsStore(client, bucket),
        )
    finally:
        client.close()
