"""The sinks of the campaigns pipeline as assets: decorators and resources over one module each.

Belongs here: what each sink is called, needs and shows. Does not: how it writes (the module of its
name), nor what comes before and after the sinks (``assets.py``).
"""

from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any

import dagster as dg

from assets.campaigns import tables
from assets.campaigns.pipeline import BATCHES, OWNERS, PIPELINE, WRITER, asset_key
from assets.campaigns.settings import CampaignsSettings
from assets.frame.buckets import gcs_bucket
from assets.frame.step import RETRY, StepEvents, sink_events
from assets.frame.tables import Table
from assets.sinks.result import HOLDS_BATCH, SinkResult, Verification
from landing.batch.delivery import Delivery
from resources.bigquery import BigQueryResource
from resources.gcs import GcsResource
from resources.milvus import MilvusResource
from resources.mongo import MongoResource
from resources.neo4j import Neo4jResource
from resources.openai import OpenAIResource
from resources.postgres import PostgresResource


def _sink(
    name: str,
    *,
    kinds: set[str],
    pool: str,
    table: Table | None = None,
    priority: int = 0,
) -> Callable[[Callable[..., StepEvents]], dg.AssetsDefinition]:
    """A sink's asset: it reads staging only, so that one can fail or run alone.

    The higher ``priority`` starts first: in one process the raw record is the first to be
    written, in several the slow sinks don't wait for the quick ones.
    """
    return dg.asset(
        key=asset_key(name),
        deps=[asset_key("events")],
        partitions_def=BATCHES,
        group_name=PIPELINE,
        owners=OWNERS,
        kinds=kinds,
        retry_policy=RETRY,
        op_tags={**WRITER, "dagster/priority": str(priority)},
        pool=pool,
        metadata={"dagster/column_schema": table.column_schema()} if table else {},
        check_specs=[
            dg.AssetCheckSpec(
                HOLDS_BATCH,
                asset=asset_key(name),
                description="Every winning row of the batch, read back with the same content hash.",
            )
        ],
    )


def _deliver(
    context: dg.AssetExecutionContext,
    postgres: PostgresResource,
    gcs: GcsResource,
    campaigns: CampaignsSettings,
    take: Callable[[Delivery], tuple[SinkResult, Verification]],
    *,
    metadata: Callable[[], Mapping[str, Any]] = dict,
) -> StepEvents:
    """Give the sink of the asset that runs its batch."""
    with gcs_bucket(gcs, campaigns.bucket) as store:
        yield from sink_events(context, postgres, store, take, metadata=metadata)


@_sink(
    "raw_messages",
    kinds={"mongodb"},
    pool="campaigns_mongodb",
    table=tables.RAW_MESSAGES,
    priority=3,
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

    yield from _deliver(
        context,
        postgres,
        gcs,
        campaigns,
        take,
        metadata=lambda: {
            "dagster/table_name": f"{campaigns.mongo_database}.{campaigns.mongo_collection}",
            "dagster/column_lineage": tables.RAW_MESSAGES.column_lineage(),
        },
    )


@_sink(
    "message_embeddings",
    kinds={"milvus", "openai"},
    pool="campaigns_milvus_messages",
    table=tables.MESSAGE_EMBEDDINGS,
    priority=2,
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
            collection = collection_of(client, campaigns.milvus_messages, space)
            return (
                write(delivery.chunks(), collection, postgres, openai),
                verify(delivery.chunks(), collection, postgres),
            )

    yield from _deliver(
        context,
        postgres,
        gcs,
        campaigns,
        take,
        metadata=lambda: {
            "dagster/table_name": campaigns.milvus_messages,
            "model": openai.embedding_model,
            "dagster/column_lineage": tables.MESSAGE_EMBEDDINGS.column_lineage(),
        },
    )


@_sink(
    "user_profiles",
    kinds={"milvus"},
    pool="campaigns_milvus_profiles",
    table=tables.USER_PROFILES,
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

        batch_id = delivery.batch_id
        with closing(milvus.client()) as client:
            space = Space(openai.embedding_model)
            collection = collection_of(client, campaigns.milvus_profiles, space)
            return (
                write(delivery.chunks(), collection, postgres, openai, batch_id=batch_id),
                verify(delivery.chunks(), collection, postgres, batch_id=batch_id),
            )

    yield from _deliver(
        context,
        postgres,
        gcs,
        campaigns,
        take,
        metadata=lambda: {
            "dagster/table_name": campaigns.milvus_profiles,
            "model": openai.embedding_model,
            "dagster/column_lineage": tables.USER_PROFILES.column_lineage(),
        },
    )


@_sink("engagement_graph", kinds={"neo4j"}, pool="campaigns_neo4j", priority=1)
def engagement_graph(
    context: dg.AssetExecutionContext,
    postgres: PostgresResource,
    gcs: GcsResource,
    campaigns: CampaignsSettings,
    neo4j: Neo4jResource,
) -> StepEvents:
    """Users, events and campaigns with PERFORMED, PART_OF, PARTICIPATED_IN and TARGETED_BY."""

    def take(delivery: Delivery) -> tuple[SinkResult, Verification]:
        from assets.campaigns.graph import verify, write
        from assets.sinks.neo4j import Graph

        with neo4j.driver() as driver:
            graph = Graph(driver, neo4j.database)
            return (
                write(delivery.chunks(), graph, postgres, batch_id=delivery.batch_id),
                verify(delivery.chunks(), graph),
            )

    yield from _deliver(context, postgres, gcs, campaigns, take)


@_sink(
    "engagement_analytics",
    kinds={"bigquery"},
    pool="campaigns_bigquery",
    table=tables.USER_EVENTS,
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
        from assets.campaigns.analytics import verify, warehouse_of, write

        with bigquery.client() as client:
            warehouse = warehouse_of(client, campaigns.dataset)
            return (
                write(
                    tally.passing(delivery.chunks()),
                    warehouse,
                    postgres,
                    batch_id=delivery.batch_id,
                ),
                verify(delivery.chunks(), warehouse),
            )

    yield from _deliver(
        context,
        postgres,
        gcs,
        campaigns,
        take,
        metadata=lambda: {
            "dagster/table_name": f"{bigquery.project}.{campaigns.dataset}.user_events",
            "dagster/column_lineage": tables.USER_EVENTS.column_lineage(),
            **({"chart": dg.MetadataValue.md(events_chart(tally))} if tally.days else {}),
        },
    )
