"""The assets of the campaigns pipeline before and after its sinks: landing, validation, answers.

Belongs here: what each asset is called, reads, needs and shows. Does not: how anything is done, and
the sinks (``sinks.py``).
"""

from contextlib import closing
from typing import Any

import dagster as dg

from assets.campaigns import tables
from assets.campaigns.pipeline import (
    BATCHES,
    LANDING_KEY,
    OWNERS,
    PIPELINE,
    SINKS,
    WRITER,
    asset_key,
)
from assets.campaigns.settings import CampaignsSettings
from assets.frame.buckets import gcs_bucket
from assets.frame.reports import validation_checks, validation_results
from assets.frame.step import RETRY, StepEvents, batch_step, nothing_staged
from landing.batch.delivery import read_staged
from resources.bigquery import BigQueryResource
from resources.gcs import GcsResource
from resources.milvus import MilvusResource
from resources.neo4j import Neo4jResource
from resources.postgres import PostgresResource

#: What a batch without a staged row leaves as it is.
BEHIND_EVENTS = (*SINKS, "campaign_recommendations")

gcs_landing = dg.AssetSpec(
    key=LANDING_KEY,
    group_name=PIPELINE,
    owners=OWNERS,
    kinds={"gcs", "csv"},
    description="CSV files of chat and engagement events under the landing prefix on GCS. "
    "Observed by `campaigns_gcs_sensor`, with the backlog as the ledger counts it.",
)


@dg.asset(
    key=asset_key("events"),
    deps=[LANDING_KEY],
    partitions_def=BATCHES,
    group_name=PIPELINE,
    owners=OWNERS,
    kinds={"python", "parquet"},
    output_required=False,
    retry_policy=RETRY,
    op_tags=WRITER,
    metadata={"dagster/column_schema": tables.EVENTS.column_schema()},
    check_specs=validation_checks(asset_key("events")),
)
def events(
    context: dg.AssetExecutionContext,
    postgres: PostgresResource,
    gcs: GcsResource,
    campaigns: CampaignsSettings,
) -> StepEvents:
    """Validated events of one batch: winners staged as Parquet, rejects in quarantine.

    When no row won, because all are known or none is valid, the run ends here.
    """
    from assets.campaigns import reports
    from assets.campaigns.events import validate_batch

    with (
        batch_step(context, postgres, "validation") as batch_id,
        gcs_bucket(gcs, campaigns.bucket) as store,
        gcs_bucket(gcs, campaigns.quarantine_bucket) as quarantine,
    ):
        result = validate_batch(
            postgres,
            store,
            quarantine,
            batch_id=batch_id,
            run_id=context.run.run_id,
            log=context.log,
        )
        yield from validation_results(postgres, batch_id, result.rows)
        metadata = reports.validation_metadata(result, campaigns)
        if result.staged_rows:
            yield dg.MaterializeResult(metadata=metadata)
        else:
            nothing_staged(context, metadata, [asset_key(name) for name in BEHIND_EVENTS])


@dg.asset(
    key=asset_key("campaign_recommendations"),
    deps=[
        asset_key("user_profiles"),
        asset_key("engagement_graph"),
        asset_key("engagement_analytics"),
    ],
    partitions_def=BATCHES,
    group_name=PIPELINE,
    owners=OWNERS,
    kinds={"bigquery", "milvus", "neo4j"},
    retry_policy=RETRY,
    op_tags=WRITER,
    pool="campaigns_bigquery",
    metadata={"dagster/column_schema": tables.RECOMMENDATIONS.column_schema()},
)
def campaign_recommendations(
    context: dg.AssetExecutionContext,
    postgres: PostgresResource,
    gcs: GcsResource,
    campaigns: CampaignsSettings,
    milvus: MilvusResource,
    neo4j: Neo4jResource,
    bigquery: BigQueryResource,
) -> dg.MaterializeResult[Any]:
    """For the users of the batch: the 5 most similar users and their campaigns by engagement."""
    from datetime import UTC, datetime

    from assets.campaigns import recommendation_table
    from assets.campaigns.analytics import warehouse_of
    from assets.campaigns.recommendations import Stores
    from assets.campaigns.reports import recommendation_metadata
    from assets.sinks.neo4j import Graph

    with gcs_bucket(gcs, campaigns.bucket) as store:
        batch = read_staged(
            postgres,
            store,
            pipeline=PIPELINE,
            batch_id=context.partition_key,
            reader="campaign_recommendations",
        )
        if not batch.row_count:
            return dg.MaterializeResult(metadata={"users": 0, "left_out": 0})
        with (
            closing(milvus.client()) as milvus_client,
            neo4j.driver() as driver,
            bigquery.client() as bigquery_client,
        ):
            stores = Stores(
                milvus_client,
                campaigns.milvus_profiles,
                Graph(driver, neo4j.database),
                warehouse_of(bigquery_client, campaigns.dataset),
            )
            kept = recommendation_table.materialize(
                batch.chunks(),
                stores,
                postgres,
                batch_id=batch.batch_id,
                computed_at=datetime.now(UTC),
            )
    table = f"{bigquery.project}.{campaigns.dataset}.{tables.RECOMMENDATIONS.name}"
    return dg.MaterializeResult(metadata=recommendation_metadata(kept, table))
