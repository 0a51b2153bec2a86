"""The audit of a source's current records: can they be given to a sink again?

Belongs here: the check. Does not: how it is found out (``landing/batch/backing.py``), and the other
standing checks (``checks.py``).
"""

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from assets.frame.buckets import StoreResource, opened
from landing.arrival.identity import StoreKind
from resources.gcs import GcsResource
from resources.minio import MinioResource
from resources.postgres import PostgresResource
from resources.s3 import S3Resource

if TYPE_CHECKING:
    from assets.frame.declared import LandedFiles
    from landing.batch.backing import Backing

RECORDS_BACKED = "records_can_be_given_again"
#: Looked at in one run; each run looks at others.
MOST_BATCHES = 200
MOST_OBJECTS = 2_000
_SAMPLE = 10


def record_audit(files: "LandedFiles") -> dg.AssetChecksDefinition:
    """Compares the record table with what staging and sources can still give back."""

    def check(postgres: PostgresResource, resource: StoreResource) -> dg.AssetCheckResult:
        return _result(_found(files, postgres, resource))

    def on_gcs(postgres: PostgresResource, gcs: GcsResource) -> dg.AssetCheckResult:
        return check(postgres, gcs)

    def on_minio(postgres: PostgresResource, minio: MinioResource) -> dg.AssetCheckResult:
        return check(postgres, minio)

    def on_s3(postgres: PostgresResource, s3: S3Resource) -> dg.AssetCheckResult:
        return check(postgres, s3)

    on_store: dict[StoreKind, Callable[..., dg.AssetCheckResult]]
    on_store = {"gcs": on_gcs, "minio": on_minio, "s3": on_s3}
    return dg.asset_check(
        asset=files.key(files.validation),
        name=RECORDS_BACKED,
        description="Every current record is in the staging of its batch or in an object that is "
        f"still there; {MOST_BATCHES} batches are looked at in a run, others in each.",
    )(on_store[files.store])


def _found(files: "LandedFiles", postgres: PostgresResource, resource: StoreResource) -> "Backing":
    from landing.batch.backing import Places, backing
    from landing.batch.records import ensure

    table, places = files.record_table, files.places()
    if table is None:
        message = f"{files.source_name} tells of facts: its declaration says otherwise"
        raise ValueError(message)
    with (
        opened(resource, places.bucket) as landing,
        opened(resource, places.staging_bucket) as staging,
        postgres.connect() as connection,
    ):
        ensure(connection, table)
        return backing(
            connection,
            Places(landing, staging, files.copy_key),
            files.source_name,
            table,
            most_batches=MOST_BATCHES,
            most_objects=MOST_OBJECTS,
            salt=f"{datetime.now(UTC):%Y%m%d%H}",
        )


def _result(found: "Backing") -> dg.AssetCheckResult:
    """Passed when nothing that was looked at is lost."""
    metadata: dict[str, Any] = {
        "records_lost": found.lost,
        "records_checked": found.records,
        "batches_checked": found.batches,
        "batches_with_records": found.of,
        "objects_looked_for": found.objects,
        "most_batches": MOST_BATCHES,
        "most_objects": MOST_OBJECTS,
    }
    if found.lost:
        shown = [asdict(one) for one in found.unbacked[:_SAMPLE]]
        metadata["sample"] = dg.MetadataValue.json(shown)
    remedy = (
        "A sink that loses these records can't be given them again: upload the objects named once "
        "more."
    )
    return dg.AssetCheckResult(
        passed=not found.lost, description=remedy if found.lost else None, metadata=metadata
    )
