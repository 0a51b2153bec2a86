"""The assets of a report month: from the source's rows to files on S3.

Belongs here: decorators and resources over one function each. Does not: what these compute.
"""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg

from assets.domains import tables
from assets.domains.months import Month
from assets.domains.pipeline import DOMAINS
from assets.domains.settings import DomainsSettings
from assets.frame.buckets import opened
from assets.frame.step import StepEvents, partition_events
from assets.frame.tables import Table
from assets.sinks.result import SinkResult, Verification
from landing.batch.refused import Refusals
from resources.openai import OpenAIResource
from resources.postgres import PostgresResource
from resources.s3 import S3Resource

if TYPE_CHECKING:
    import polars as pl

#: A month's metrics come with the next; more than 40 days without any are a fault.
MONTHLY = dg.FreshnessPolicy.time_window(
    fail_window=timedelta(days=40), warn_window=timedelta(days=35)
)
_HOLDS = "The month's rows in Postgres, read back column by column."


@dg.asset(
    **DOMAINS.sink(
        "domain_metrics",
        group="features",
        kinds={"postgres"},
        pool="postgres",
        deps=["update_markers", "shop_metrics", "shop_categories"],
        schema=tables.METRICS.column_schema(),
        code_version="1",
        holds=_HOLDS,
    )
)
def domain_metrics(
    context: dg.AssetExecutionContext,
    postgres: PostgresResource,
    domains_source: PostgresResource,
    s3: S3Resource,
) -> StepEvents:
    """Revenue, transactions, sessions and their ratios per domain, of one snapshot."""
    shown: dict[str, Any] = {}
    refusals = Refusals()

    def take(partition: str) -> tuple[SinkResult, Verification]:
        from assets.domains.source import read_month

        month = Month.parse(partition)
        with domains_source.connect() as source:
            found = read_month(source, month)
        shown["source_rows_read"] = found.rows
        shown["source_rows_without_domain"] = found.nameless
        with postgres.connect() as connection:
            categories, held = _replace(
                connection, tables.CATEGORIES, found.categories, month, refusals
            )
            shown["domain_categories"] = categories.rows_written
            metrics, also = _replace(connection, tables.METRICS, found.metrics, month, refusals)
        return metrics, held.plus(also)

    yield from partition_events(
        DOMAINS, context, postgres, s3, take, metadata=lambda: shown, refusals=refusals
    )


@dg.asset(
    **DOMAINS.sink(
        "domain_features",
        group="features",
        kinds={"postgres", "polars"},
        pool="postgres",
        deps=["domain_metrics"],
        schema=tables.FEATURES.column_schema(),
        code_version="1",
        holds=_HOLDS,
    )
)
def domain_features(
    context: dg.AssetExecutionContext, postgres: PostgresResource, s3: S3Resource
) -> StepEvents:
    """Every domain within each of its categories: statistics, standing, directions and bins."""
    shown: dict[str, Any] = {}
    refusals = Refusals()

    def take(partition: str) -> tuple[SinkResult, Verification]:
        from assets.domains.features import features
        from assets.domains.metadata import bins_drawn

        month = Month.parse(partition)
        with postgres.connect() as connection:
            made = features(
                _read(connection, tables.METRICS, month),
                _read(connection, tables.CATEGORIES, month),
            )
            shown.update(bins_drawn(made))
            return _replace(connection, tables.FEATURES, made, month, refusals)

    yield from partition_events(
        DOMAINS, context, postgres, s3, take, metadata=lambda: shown, refusals=refusals
    )


@dg.asset(
    **DOMAINS.sink(
        "summary_prompts",
        group="summaries",
        kinds={"postgres", "jinja"},
        pool="postgres",
        deps=["domain_features"],
        code_version="1",
        holds="One prompt for every domain of the month.",
    )
)
def summary_prompts(
    context: dg.AssetExecutionContext,
    postgres: PostgresResource,
    s3: S3Resource,
    domains: DomainsSettings,
) -> StepEvents:
    """What is to be asked about each domain: binned figures and its main category, nothing else."""
    shown: dict[str, Any] = {}

    def take(partition: str) -> tuple[SinkResult, Verification]:
        from assets.domains.metadata import prompts_shown
        from assets.domains.prompts import summary_prompt
        from assets.domains.stored_prompts import store

        month = Month.parse(partition)
        with postgres.connect() as connection:
            rows = _read(connection, tables.FEATURES, month).filter("main_category")
            prompts = [summary_prompt(row, domains.model) for row in rows.iter_rows(named=True)]
            shown.update(prompts_shown(prompts))
            result, found, new = store(connection, month, prompts)
        shown["prompts_new"] = new
        return result, found

    yield from partition_events(DOMAINS, context, postgres, s3, take, metadata=lambda: shown)


@dg.asset(
    **DOMAINS.sink(
        "domain_summaries",
        group="summaries",
        kinds={"openai", "postgres"},
        pool="openai",
        deps=["summary_prompts"],
        code_version="1",
        output_required=False,
        holds="Every prompt of the month is answered, or rejected with a reason.",
    )
)
def domain_summaries(
    context: dg.AssetExecutionContext,
    postgres: PostgresResource,
    openai: OpenAIResource,
    s3: S3Resource,
    domains: DomainsSettings,
) -> StepEvents:
    """The model's line about each domain, asked for once and reviewed."""
    shown: dict[str, Any] = {}

    def take(partition: str) -> tuple[SinkResult, Verification]:
        from assets.domains.summaries import summarize

        with opened(s3, domains.quarantine_bucket) as quarantine:
            return summarize(
                postgres,
                openai,
                quarantine,
                Month.parse(partition),
                limits=domains.asking_limits(openai),
                batch_from=domains.batch_from,
                log=context.log,
                shown=shown,
            )

    yield from partition_events(DOMAINS, context, postgres, s3, take, metadata=lambda: shown)


@dg.asset(
    **DOMAINS.sink(
        "published_descriptions",
        group="publication",
        kinds={"s3", "csv", "parquet"},
        pool="s3",
        deps=["domain_summaries"],
        schema=tables.PUBLISHED.column_schema(),
        holds="Files and manifest on S3, read back byte by byte.",
        freshness_policy=MONTHLY,
    )
)
def published_descriptions(
    context: dg.AssetExecutionContext,
    postgres: PostgresResource,
    s3: S3Resource,
    domains: DomainsSettings,
) -> StepEvents:
    """A month's descriptions as CSV and Parquet with a manifest, the pointer to them last."""
    shown: dict[str, Any] = {}
    refusals = Refusals()

    def take(partition: str) -> tuple[SinkResult, Verification]:
        from assets.domains.publication import publish_month

        month = Month.parse(partition)
        with postgres.connect() as connection, opened(s3, domains.output_bucket) as store:
            return publish_month(connection, store, month, domains, shown=shown, refusals=refusals)

    yield from partition_events(
        DOMAINS, context, postgres, s3, take, metadata=lambda: shown, refusals=refusals
    )


def _replace(
    connection: Any, table: Table, frame: "pl.DataFrame", month: Month, refusals: Refusals
) -> tuple[SinkResult, Verification]:
    from assets.domains.tables import refusing
    from assets.sinks.postgres_replacing import replace_within

    refused = refusing(table, refusals)
    return replace_within(connection, table, frame, _within(month), refused=refused)


def _read(connection: Any, table: Table, month: Month) -> "pl.DataFrame":
    import polars as pl

    from assets.frame.table_frames import frame_schema

    columns = ", ".join(f'"{name}"' for name in table.names)
    cursor = connection.execute(
        f"SELECT {columns} FROM {table.qualified} AS t WHERE {_within(month)}"
    )
    return pl.DataFrame(cursor.fetchall(), schema=frame_schema(table), orient="row")


def _within(month: Month) -> str:
    """The table's rows of the month; a Month holds nothing but a date."""
    return f"t.month = DATE '{month.start:%Y-%m-%d}'"
