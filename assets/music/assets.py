"""The assets of the music pipeline at its beginning: raw bucket, bronze, and emptying the former.

Belongs here: what each asset is called, reads, needs and shows. Does not: how anything is done, and
silver, lyrics, gold and search (``assets.py`` of each).
"""

from collections import Counter
from typing import Any

import dagster as dg

from assets.frame.buckets import minio_bucket
from assets.frame.reports import validation_checks, validation_results
from assets.frame.step import RETRY, StepEvents, batch_step
from assets.music.bronze_columns import BRONZE_SCHEMA
from assets.music.pipeline import (
    BATCHES,
    LANDING_KEY,
    OWNERS,
    PIPELINE,
    RAW_REMOVALS,
    VALIDATION,
    WRITER,
    asset_key,
)
from assets.music.settings import MusicSettings
from resources.minio import MinioResource
from resources.postgres import PostgresResource

#: Whoever removes from the raw bucket holds this pool's slot.
RAW_POOL = "music_minio"

raw_landing = dg.AssetSpec(
    key=LANDING_KEY,
    group_name=PIPELINE,
    owners=OWNERS,
    kinds={"minio"},
    description="Files of songs in the raw bucket, of any format and at any depth. "
    "Observed by `music_minio_sensor`, with the backlog as the ledger counts it.",
)


@dg.asset(
    key=asset_key(VALIDATION),
    deps=[LANDING_KEY],
    partitions_def=BATCHES,
    group_name=PIPELINE,
    owners=OWNERS,
    kinds={"python", "parquet"},
    retry_policy=RETRY,
    op_tags=WRITER,
    metadata={"dagster/column_schema": BRONZE_SCHEMA},
    check_specs=validation_checks(asset_key(VALIDATION)),
)
def bronze_records(
    context: dg.AssetExecutionContext,
    postgres: PostgresResource,
    minio: MinioResource,
    music: MusicSettings,
) -> StepEvents:
    """Records of one batch of files: winners as Parquet, kept for good, and rejects in quarantine.

    Files that were readable are copied to the processed bucket; the others stay where they are.
    """
    from assets.music import reports
    from assets.music.bronze import validate_batch

    formats: Counter[str] = Counter()
    with (
        batch_step(context, postgres, "validation") as batch_id,
        minio_bucket(minio, music.raw_bucket) as raw,
        minio_bucket(minio, music.processed_bucket) as processed,
        minio_bucket(minio, music.quarantine_bucket) as quarantine,
    ):
        result = validate_batch(
            postgres,
            raw,
            processed,
            quarantine,
            batch_id=batch_id,
            run_id=context.run.run_id,
            log=context.log,
            formats=formats,
            access=minio.access,
        )
        yield from validation_results(postgres, batch_id, result.rows)
        yield dg.MaterializeResult(metadata=reports.validation_metadata(result, formats, music))


@dg.asset(
    key=asset_key(RAW_REMOVALS),
    deps=[asset_key("silver_songs")],
    partitions_def=BATCHES,
    group_name=PIPELINE,
    owners=OWNERS,
    kinds={"minio"},
    retry_policy=RETRY,
    op_tags=WRITER,
    pool=RAW_POOL,
)
def raw_removals(
    context: dg.AssetExecutionContext,
    postgres: PostgresResource,
    minio: MinioResource,
    music: MusicSettings,
) -> dg.MaterializeResult[Any]:
    """The batch's files leave the raw bucket: they are copied, and silver has committed them.

    Files whose content was known already go too. `RAW_REMOVE=never` keeps them all. Where the
    bucket keeps no versions, a rewrite within one round trip of the deletion goes with it.
    """
    from assets.music.raw_removals import remove_archived
    from assets.music.reports import removal_metadata

    if not music.removes_raw:
        return dg.MaterializeResult(metadata={"removed": 0, "raw_remove": music.raw_remove})
    with (
        minio_bucket(minio, music.raw_bucket) as raw,
        minio_bucket(minio, music.processed_bucket) as processed,
    ):
        removals = remove_archived(
            postgres, raw, processed, batch_id=context.partition_key, log=context.log
        )
    return dg.MaterializeResult(metadata=removal_metadata(removals))
