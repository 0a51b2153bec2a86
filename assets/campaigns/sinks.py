"""The sinks of the campaigns pipeline, and its answer, as assets: each over a module of its own.

Belongs here: what each is called, needs and shows. Does not: how it writes (the module of its
name), nor what comes before (``pipeline.py``).
"""

from contextlib import closing
from typing import Any

import dagster as dg

from assets.campaigns import tables
from assets.campaigns.pipeline import CAMPAIGNS
from assets.campaigns.settings import CampaignsSettings
from assets.frame.buckets import gcs_bucket
from assets.frame.step import StepEvents, followed, sink_events
from assets.sinks.result import SinkResult, Verification
from landing.batch.delivery import Delivery, read_staged
from resources.bigquery import BigQueryResource
from resources.gcs import GcsResource
from resources.milvus import MilvusResource
from resources.mongo import MongoResource
from resources.neo4j import Neo4jResource
from resources.openai import OpenAIResource
from resources.postgres import PostgresResource


@dg.asset(
    **CAMPAIGNS.sink(
        "raw_messages",
        kinds={"mongodb"},
        pool="mongodb",
        schema=tables.RAW_MESSAGES.column_schema(),
        priority=3,
    )
)
def raw_messages(
    context: dg.AssetExecutionContext,
    postgres: PostgresResource,
    gcs: GcsResource,
    campaigns: CampaignsSettings,
    mongo: MongoResource,
) -> StepEvents:
    """One MongoDB document per event, as it came: the auditable, replayable record."""

    def take(delivery: Delivery) -> tuple[SinkResult, Verification]:
        from assets.sinks.mongo import upsert
        from resources.mongo import durable

        with mongo.client() as client:
            collection = durable(client, campaigns.mongo_database, campaigns.mongo_collection)
            return upsert(collection, delivery, tables.RAW_MESSAGES, exact=["timestamp"])

    yield from sink_events(
        CAMPAIGNS,
        context,
        postgres,
        gcs,
        take,
        metadata=lambda: {
            "dagster/table_name": f"{campaigns.mongo_database}.{campaigns.mongo_collection}",
            "dagster/column_lineage": tables.RAW_MESSAGES.column_lineage(),
        },
    )


@dg.asset(
    **CAMPAIGNS.sink(
        "message_embeddings",
        kinds={"milvus", "openai"},
        pool="milvus_messages",
        schema=tables.MESSAGE_EMBEDDINGS.column_schema(),
        code_version="1",
        priority=2,
    )
)
def message_embeddings(
    context: dg.AssetExecutionContext,
    postgres: PostgresResource,
    gcs: GcsResource,
    campaigns: CampaignsSettings,
    milvus: MilvusResource,
    openai: OpenAIResource,
) -> StepEvents:
    """One vector of 1,024 numbers per non-empty message; each distinct text is paid for once."""

    def take(delivery: Delivery) -> tuple[SinkResult, Verification]:
        from assets.campaigns.message_embeddings import store as collection_of
        from assets.campaigns.message_embeddings import verify, write
        from assets.embeddings import Space

        with closing(milvus.client()) as client:
            space = Space(openai.embedding_model)
            collection = collection_of(client, campaigns.milvus_messages, space, milvus.index)
            return (
                write(delivery.chunks(), collection, postgres, openai, delivery.refuse),
                verify(delivery.taken(), collection, postgres),
            )

    yield from sink_events(
        CAMPAIGNS,
        context,
        postgres,
        gcs,
        take,
        metadata=lambda: {
            "dagster/table_name": campaigns.milvus_messages,
            "model": openai.embedding_model,
            "dagster/column_lineage": tables.MESSAGE_EMBEDDINGS.column_lineage(),
        },
    )


@dg.asset(
    **CAMPAIGNS.sink(
        "user_profiles",
        kinds={"milvus"},
        pool="milvus_profiles",
        schema=tables.USER_PROFILES.column_schema(),
        code_version="1",
    )
)
def user_profiles(
    context: dg.AssetExecutionContext,
    postgres: PostgresResource,
    gcs: GcsResource,
    campaigns: CampaignsSettings,
    milvus: MilvusResource,
    openai: OpenAIResource,
) -> StepEvents:
    """One vector per user, the mean of their messages' vectors, so that top-k gives k users."""

    def take(delivery: Delivery) -> tuple[SinkResult, Verification]:
        from assets.campaigns.profiles import store as collection_of
        from assets.campaigns.profiles import verify, write
        from assets.embeddings import Space

        batch_id, left_out = delivery.batch_id, set[str]()
        with closing(milvus.client()) as client:
            space = Space(openai.embedding_model)
            collection = collection_of(client, campaigns.milvus_profiles, space, milvus.index)
            return (
                write(
                    delivery.chunks(),
                    collection,
                    postgres,
                    openai,
                    batch_id=batch_id,
                    refuse=delivery.refuse,
                    left_out=left_out,
                ),
                verify(
                    delivery.chunks(), collection, postgres, batch_id=batch_id, refused=left_out
                ),
            )

    yield from sink_events(
        CAMPAIGNS,
        context,
        postgres,
        gcs,
        take,
        metadata=lambda: {
            "dagster/table_name": campaigns.milvus_profiles,
            "model": openai.embedding_model,
            "dagster/column_lineage": tables.USER_PROFILES.column_lineage(),
        },
    )


@dg.asset(**CAMPAIGNS.sink("engagement_graph", kinds={"neo4j"}, pool="neo4j", priority=1))
def engagement_graph(
    context: dg.AssetExecutionContext,
    postgres: PostgresResource,
    gcs: GcsResource,
    neo4j: Neo4jResource,
) -> StepEvents:
    """Users, events and campaigns with PERFORMED, PART_OF, PARTICIPATED_IN and TARGETED_BY."""

    def take(delivery: Delivery) -> tuple[SinkResult, Verification]:
        from assets.campaigns.graph import verify, write
        from assets.sinks.neo4j import Graph

        with neo4j.driver() as driver:
            graph = Graph(driver, neo4j.database)
            result = write(
                delivery.chunks(),
                graph,
                postgres,
                batch_id=delivery.batch_id,
                refuse=delivery.refuse,
            )
            if result.vouched:
                return result, Verification(result.rows_written)
            return result, verify(delivery.taken(), graph)

    yield from sink_events(CAMPAIGNS, context, postgres, gcs, take)


@dg.asset(
    **CAMPAIGNS.sink(
        "engagement_analytics",
        kinds={"bigquery"},
        pool="bigquery",
        schema=tables.USER_EVENTS.column_schema(),
    )
)
def engagement_analytics(
    context: dg.AssetExecutionContext,
    postgres: PostgresResource,
    gcs: GcsResource,
    campaigns: CampaignsSettings,
    bigquery: BigQueryResource,
) -> StepEvents:
    """The events in BigQuery, one row per record, partitioned by day and clustered by user."""
    from assets.campaigns.charts import Tally, events_chart

    tally = Tally()

    def take(delivery: Delivery) -> tuple[SinkResult, Verification]:
        from assets.campaigns.analytics import verify, verify_written, warehouse_of, write

        with bigquery.client() as client:
            warehouse = warehouse_of(client, campaigns.dataset)
            result = write(
                tally.passing(delivery.chunks()),
                warehouse,
                postgres,
                batch_id=delivery.batch_id,
                refuse=delivery.refuse,
            )
            if not result.details["loads"]:
                return result, verify(delivery.taken(), warehouse)
            return result, verify_written(delivery.taken, warehouse, delivery.batch_id)

    yield from sink_events(
        CAMPAIGNS,
        context,
        postgres,
        gcs,
        take,
        metadata=lambda: {
            "dagster/table_name": f"{bigquery.project}.{campaigns.dataset}.user_events",
            "dagster/column_lineage": tables.USER_EVENTS.column_lineage(),
            **({"chart": dg.MetadataValue.md(events_chart(tally))} if tally.days else {}),
        },
    )


@dg.asset(
    **CAMPAIGNS.step(
        "campaign_recommendations",
        group="answers",
        deps=["user_profiles", "engagement_graph", "engagement_analytics"],
        kinds={"bigquery", "milvus", "neo4j"},
        pool="campaigns_bigquery",
        schema=tables.RECOMMENDATIONS.column_schema(),
        code_version="1",
    )
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
    """The 5 most similar users of each user, and their campaigns by engagement.

    A batch's run computes those of 500 users whom it concerns most; a refresh follows until none is
    stale.
    """
    from assets.campaigns import recommendation_table
    from assets.campaigns.analytics import warehouse_of
    from assets.campaigns.recommendations import Stores
    from assets.campaigns.reports import recommendation_metadata
    from assets.sinks.neo4j import Graph

    own, *beside = followed(CAMPAIGNS, context, postgres)
    with (
        gcs_bucket(gcs, campaigns.bucket) as store,
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

        def kept_of(batch_id: str) -> recommendation_table.Kept | None:
            batch = read_staged(
                postgres,
                store,
                pipeline=CAMPAIGNS.pipeline,
                batch_id=batch_id,
                reader="campaign_recommendations",
            )
            if not batch.row_count:
                return None
            return recommendation_table.materialize(
                batch.chunks(), stores, postgres, batch_id=batch_id
            )

        def metadata_of(kept: recommendation_table.Kept | None) -> dict[str, Any]:
            if kept is None:
                return {"users": 0}
            table = f"{bigquery.project}.{campaigns.dataset}.{tables.RECOMMENDATIONS.name}"
            return recommendation_metadata(kept, table)

        metadata = metadata_of(kept_of(own))
        for batch_id in beside:
            made = dg.AssetMaterialization(
                context.asset_key, partition=batch_id, metadata=metadata_of(kept_of(batch_id))
            )
            context.log_event(made)
    return dg.MaterializeResult(metadata=metadata)
