"""The assets of the campaigns pipeline: decorators and resources over the modules beside this one.

Belongs here: what each asset is called, reads, needs and shows. Does not: how anything is done.
"""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import dagster as dg

from assets.batch_step import RETRY, SinkEvents, batch_step, sink_events
from assets.campaigns import columns
from assets.campaigns.pipeline import (
    BATCHES,
    HOLDS_BATCH,
    LANDING_KEY,
    OWNERS,
    PIPELINE,
    REJECTED_SHARE,
    ROWS_BALANCE,
    WRITER,
)
from assets.campaigns.settings import CampaignsSettings
from assets.sink_result import SinkResult, Verification
from landing.delivery import Delivery, read_staged
from landing.stores.base import ObjectStore
from resources.bigquery import BigQueryResource
from resources.gcs import GcsResource
from resources.milvus import MilvusResource
from resources.mongo import MongoResource
from resources.neo4j import Neo4jResource
from resources.openai import OpenAIResource
from resources.postgres import PostgresResource

#: Share of rejected rows above which a batch deserves a look.
MAX_REJECTED_SHARE = 0.05

gcs_landing = dg.AssetSpec(
    key=LANDING_KEY,
    group_name=PIPELINE,
    owners=OWNERS,
    kinds={"gcs", "csv"},
    description="CSV files of chat and engagement events under the landing prefix on GCS. "
    "Observed by `campaigns_gcs_sensor`, with the backlog as the ledger counts it.",
)


def _key(name: str) -> dg.AssetKey:
    return dg.AssetKey([PIPELINE, name])


def _sink(
    name: str,
    *,
    kinds: set[str],
    pool: str,
    schema: dg.TableSchema | None = None,
    priority: int = 0,
) -> Callable[[Callable[..., SinkEvents]], dg.AssetsDefinition]:
    """A sink's asset: it reads staging only, so that one can fail or run alone.

    The higher ``priority`` starts first: in one process the raw record is the first to be
    written, in several the slow sinks don't wait for the quick ones.
    """
    return dg.asset(
        key=_key(name),
        deps=[_key("events")],
        partitions_def=BATCHES,
        group_name=PIPELINE,
        owners=OWNERS,
        kinds=kinds,
        retry_policy=RETRY,
        op_tags={**WRITER, "dagster/priority": str(priority)},
        pool=pool,
        metadata={"dagster/column_schema": schema} if schema else {},
        check_specs=[
            dg.AssetCheckSpec(
                HOLDS_BATCH,
                asset=_key(name),
                description="Every winning row of the batch, read back with the same content hash.",
            )
        ],
    )


@contextmanager
def _bucket(gcs: GcsResource, name: str) -> Iterator[ObjectStore]:
    from landing.stores.gcs import GcsStore

    with closing(gcs.client()) as client:
        yield GcsStore(client, name)


@dg.asset(
    key=_key("events"),
    deps=[LANDING_KEY],
    partitions_def=BATCHES,
    group_name=PIPELINE,
    owners=OWNERS,
    kinds={"python", "parquet"},
    retry_policy=RETRY,
    op_tags=WRITER,
    metadata={"dagster/column_schema": columns.STAGED_SCHEMA},
    check_specs=[
        dg.AssetCheckSpec(
            ROWS_BALANCE,
            asset=_key("events"),
            blocking=True,
            description="read = written + unchanged + superseded + rejected, for every object; "
            "as many rows quarantined as were rejected.",
        ),
        dg.AssetCheckSpec(
            REJECTED_SHARE,
            asset=_key("events"),
            description=f"At most {MAX_REJECTED_SHARE:.0%} of the rows were rejected.",
        ),
    ],
)
def events(
    context: dg.AssetExecutionContext,
    postgres: PostgresResource,
    gcs: GcsResource,
    campaigns: CampaignsSettings,
) -> Iterator[dg.MaterializeResult[Any]]:
    """Validated events of one batch: winners staged as Parquet, rejects in quarantine."""
    from assets.campaigns import reports
    from assets.campaigns.events import validate_batch
    from landing.stores.gcs import GcsStore

    with (
        batch_step(context, postgres, "validation") as batch_id,
        closing(gcs.client()) as client,
    ):
        result = validate_batch(
            postgres,
            GcsStore(client, campaigns.bucket),
            GcsStore(client, campaigns.quarantine_bucket),
            batch_id=batch_id,
            run_id=context.run.run_id,
            log=context.log,
        )
        with postgres.connect() as connection:
            balance = reports.rows_balance(connection, batch_id)
        yield dg.MaterializeResult(
            metadata=reports.validation_metadata(result, campaigns),
            check_results=[
                balance,
                reports.rejected_share(result.rows, MAX_REJECTED_SHARE),
            ],
        )


@_sink(
    "raw_messages",
    kinds={"mongodb"},
    pool="campaigns_mongodb",
    schema=columns.DOCUMENT_SCHEMA,
    priority=3,
)
def raw_messages(
    context: dg.AssetExecutionContext,
    postgres: PostgresResource,
    gcs: GcsResource,
    campaigns: CampaignsSettings,
    mongo: MongoResource,
) -> SinkEvents:
    """One MongoDB document per event, as it came: the auditable, replayable record."""

    def take(delivery: Delivery) -> tuple[SinkResult, Verification]:
        from assets.campaigns.raw_messages import verify, write
        from resources.mongo import durable

        with mongo.client() as client:
            collection = durable(client, campaigns.mongo_database, campaigns.mongo_collection)
            return write(delivery.chunks(), collection), verify(delivery.chunks(), collection)

    with _bucket(gcs, campaigns.bucket) as store:
        yield from sink_events(
            context,
            postgres,
            store,
            pipeline=PIPELINE,
            sink="raw_messages",
            check=HOLDS_BATCH,
            take=take,
            metadata=lambda: {
                "dagster/table_name": f"{campaigns.mongo_database}.{campaigns.mongo_collection}",
                "dagster/column_lineage": columns.copied_from_events(columns.DOCUMENT_SCHEMA),
            },
        )


@_sink(
    "message_embeddings",
    kinds={"milvus", "openai"},
    pool="campaigns_milvus_messages",
    schema=columns.MESSAGE_VECTOR_SCHEMA,
    priority=2,
)
def message_embeddings(
    context: dg.AssetExecutionContext,
    postgres: PostgresResource,
    gcs: GcsResource,
    campaigns: CampaignsSettings,
    milvus: MilvusResource,
    openai: OpenAIResource,
) -> SinkEvents:
    """One vector of 1,024 numbers per non-empty message; each distinct text is paid for once."""

    def take(delivery: Delivery) -> tuple[SinkResult, Verification]:
        from assets.campaigns.embeddings import Space
        from assets.campaigns.message_embeddings import store as collection_of
        from assets.campaigns.message_embeddings import verify, write

        with closing(milvus.client()) as client:
            space = Space(openai.embedding_model)
            collection = collection_of(client, campaigns.milvus_messages, space)
            return (
                write(delivery.chunks(), collection, postgres, openai),
                verify(delivery.chunks(), collection, postgres),
            )

    with _bucket(gcs, campaigns.bucket) as store:
        yield from sink_events(
            context,
            postgres,
            store,
            pipeline=PIPELINE,
            sink="message_embeddings",
            check=HOLDS_BATCH,
            take=take,
            metadata=lambda: {
                "dagster/table_name": campaigns.milvus_messages,
                "model": openai.embedding_model,
                "dagster/column_lineage": dg.TableColumnLineage(
                    {"vector": [dg.TableColumnDep(columns.EVENTS_KEY, "message")]}
                ),
            },
        )


@_sink(
    "user_profiles",
    kinds={"milvus"},
    pool="campaigns_milvus_profiles",
    schema=columns.PROFILE_SCHEMA,
)
def user_profiles(
    context: dg.AssetExecutionContext,
    postgres: PostgresResource,
    gcs: GcsResource,
    campaigns: CampaignsSettings,
    milvus: MilvusResource,
    openai: OpenAIResource,
) -> SinkEvents:
    """One vector per user, the mean of their messages' vectors, so that top-k gives k users."""

    def take(delivery: Delivery) -> tuple[SinkResult, Verification]:
        from assets.campaigns.embeddings import Space
        from assets.campaigns.profiles import store as collection_of
        from assets.campaigns.profiles import verify, write

        batch_id = delivery.batch_id
        with closing(milvus.client()) as client:
            space = Space(openai.embedding_model)
            collection = collection_of(client, campaigns.milvus_profiles, space)
            return (
                write(delivery.chunks(), collection, postgres, openai, batch_id=batch_id),
                verify(delivery.chunks(), collection, postgres, batch_id=batch_id),
            )

    with _bucket(gcs, campaigns.bucket) as store:
        yield from sink_events(
            context,
            postgres,
            store,
            pipeline=PIPELINE,
            sink="user_profiles",
            check=HOLDS_BATCH,
            take=take,
            metadata=lambda: {
                "dagster/table_name": campaigns.milvus_profiles,
                "model": openai.embedding_model,
                "dagster/column_lineage": dg.TableColumnLineage(
                    {
                        "user_id": [dg.TableColumnDep(columns.EVENTS_KEY, "user_id")],
                        "vector": [dg.TableColumnDep(columns.EVENTS_KEY, "message")],
                    }
                ),
            },
        )


@_sink("engagement_graph", kinds={"neo4j"}, pool="campaigns_neo4j", priority=1)
def engagement_graph(
    context: dg.AssetExecutionContext,
    postgres: PostgresResource,
    gcs: GcsResource,
    campaigns: CampaignsSettings,
    neo4j: Neo4jResource,
) -> SinkEvents:
    """Users, events and campaigns with PERFORMED, PART_OF, PARTICIPATED_IN and TARGETED_BY."""

    def take(delivery: Delivery) -> tuple[SinkResult, Verification]:
        from assets.campaigns.graph import Graph, verify, write

        with neo4j.driver() as driver:
            graph = Graph(driver, neo4j.database)
            return (
                write(delivery.chunks(), graph, postgres, batch_id=delivery.batch_id),
                verify(delivery.chunks(), graph),
            )

    with _bucket(gcs, campaigns.bucket) as store:
        yield from sink_events(
            context,
            postgres,
            store,
            pipeline=PIPELINE,
            sink="engagement_graph",
            check=HOLDS_BATCH,
            take=take,
        )


@_sink(
    "engagement_analytics",
    kinds={"bigquery"},
    pool="campaigns_bigquery",
    schema=columns.ANALYTICS_SCHEMA,
)
def engagement_analytics(
    context: dg.AssetExecutionContext,
    postgres: PostgresResource,
    gcs: GcsResource,
    campaigns: CampaignsSettings,
    bigquery: BigQueryResource,
) -> SinkEvents:
    """The events in BigQuery, one row per record, partitioned by day and clustered by user."""
    from assets.campaigns.charts import Tally, events_chart

    tally = Tally()

    def take(delivery: Delivery) -> tuple[SinkResult, Verification]:
        from assets.campaigns.analytics import Warehouse, verify, write

        with bigquery.client() as client:
            warehouse = Warehouse(client, campaigns.dataset)
            return (
                write(
                    tally.passing(delivery.chunks()),
                    warehouse,
                    postgres,
                    batch_id=delivery.batch_id,
                ),
                verify(delivery.chunks(), warehouse),
            )

    with _bucket(gcs, campaigns.bucket) as store:
        yield from sink_events(
            context,
            postgres,
            store,
            pipeline=PIPELINE,
            sink="engagement_analytics",
            check=HOLDS_BATCH,
            take=take,
            metadata=lambda: {
                "dagster/table_name": f"{bigquery.project}.{campaigns.dataset}.user_events",
                "dagster/column_lineage": columns.copied_from_events(columns.ANALYTICS_SCHEMA),
                **({"chart": dg.MetadataValue.md(events_chart(tally))} if tally.days else {}),
            },
        )


@dg.asset(
    key=_key("campaign_recommendations"),
    deps=[_key("user_profiles"), _key("engagement_graph"), _key("engagement_analytics")],
    partitions_def=BATCHES,
    group_name=PIPELINE,
    owners=OWNERS,
    kinds={"bigquery", "milvus", "neo4j"},
    retry_policy=RETRY,
    op_tags=WRITER,
    pool="campaigns_bigquery",
    metadata={"dagster/column_schema": columns.RECOMMENDATION_SCHEMA},
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
    from assets.campaigns.analytics import Warehouse
    from assets.campaigns.graph import Graph
    from assets.campaigns.recommendations import Stores
    from assets.campaigns.reports import recommendation_metadata

    with _bucket(gcs, campaigns.bucket) as store:
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
                Warehouse(bigquery_client, campaigns.dataset),
            )
            kept = recommendation_table.materialize(
                batch.chunks(),
                stores,
                postgres,
                batch_id=batch.batch_id,
                computed_at=datetime.now(UTC),
            )
    table = f"{bigquery.project}.{campaigns.dataset}.{recommendation_table.TABLE}"
    return dg.MaterializeResult(metadata=recommendation_metadata(kept, table))
