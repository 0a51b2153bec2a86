"""The assets of managed ingestion, for more messages than one machine takes.

Belongs here: what each is called, needs and shows. Does not: how anything is done (``services.py``,
``landed.py``).
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from assets.frame.step import no_vain_retries
from assets.reading.pipeline import (
    INTERACTION_TOPIC_KEY,
    META_TOPIC_KEY,
    STREAM,
    asset_key,
)
from assets.reading.routes import routes
from assets.reading.settings import ReadingSettings
from resources.bigquery import BigQueryResource
from resources.dataflow import DataflowResource
from resources.gcs import GcsResource
from resources.postgres import PostgresResource
from resources.pubsub import PubSubResource

JOBS_KEY = asset_key("dataflow_jobs")
LANDED_KEY = asset_key("landed_messages")

EVERY_STREAM_INGESTED = "every_stream_ingested"

#: Under which a merge says when it began, for the next one.
BEGAN = "began_at"


class IngestionConfig(dg.Config):
    """``relaunch``: launch again what has failed or was cancelled, once."""

    relaunch: bool = False


@dg.asset(
    **STREAM.step(
        "dataflow_jobs",
        group="stream",
        deps=[INTERACTION_TOPIC_KEY, META_TOPIC_KEY],
        kinds={"dataflow", "googlecloud"},
        check_specs=[
            dg.AssetCheckSpec(
                EVERY_STREAM_INGESTED,
                asset=JOBS_KEY,
                description="Each subscription has what READING_STREAM says: one Dataflow job that "
                "takes messages, or a BigQuery subscription that writes; a session needs neither.",
            )
        ],
    )
)
def reading_dataflow_jobs(
    context: dg.AssetExecutionContext,
    config: IngestionConfig,
    bigquery: BigQueryResource,
    pubsub: PubSubResource,
    gcs: GcsResource,
    dataflow: DataflowResource,
    reading: ReadingSettings,
) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult[Any]]:
    """Google's own services as `READING_STREAM` wants them: launched, observed, or let go.

    A job that failed or was cancelled is not launched again by itself: the step fails with its
    errors and says how.
    """
    from assets.reading.managed_ingestion.arrangement import arrange

    with no_vain_retries(_refused("The services cannot be arranged")):
        services = arrange(reading, bigquery, pubsub, gcs, dataflow, relaunch=config.relaunch)
    metadata: dict[str, Any] = {"stream": reading.stream, "services": len(services)}
    for service in services:
        context.log.info(
            "service stream=%s kind=%s state=%s", service.stream, service.kind, service.state
        )
        metadata[service.stream] = f"{service.kind}: {service.state}"
        if service.job_id:
            metadata[f"{service.stream} job"] = dg.MetadataValue.url(
                "https://console.cloud.google.com/dataflow/jobs/"
                f"{dataflow.region}/{service.job_id}?project={dataflow.project}"
            )
    wanted = reading.stream != "session"
    idle = [c for c in services if wanted and c.verdict != "ingesting"]
    lost = [c for c in idle if c.verdict == "gave_up"]
    yield dg.AssetCheckResult(
        check_name=EVERY_STREAM_INGESTED,
        passed=not idle,
        severity=dg.AssetCheckSeverity.ERROR if lost else dg.AssetCheckSeverity.WARN,
        metadata={c.stream: f"{c.state} {c.detail}".strip() for c in services},
    )
    if lost:
        raise dg.Failure(
            description="Nothing ingests "
            + "; ".join(f"{c.stream} ({c.kind} {c.state} {c.detail})" for c in lost)
            + ". Mend the cause, then launch this asset with `relaunch: true`.",
            metadata=metadata,
            allow_retries=False,
        )
    yield dg.MaterializeResult(metadata=metadata)


# Not behind the jobs: when one has failed, what the other landed is merged all the same.
@dg.asset(
    **STREAM.step(
        "landed_messages",
        group="stream",
        deps=[INTERACTION_TOPIC_KEY, META_TOPIC_KEY],
        kinds={"bigquery"},
    )
)
def reading_landed_messages(
    context: dg.AssetExecutionContext,
    bigquery: BigQueryResource,
    pubsub: PubSubResource,
    postgres: PostgresResource,
    reading: ReadingSettings,
) -> dg.MaterializeResult[Any]:
    """What Google's services landed, merged into `user_interaction` and `content_meta`, each once.

    Does nothing where they never ingested anything; after a change back to sessions it still brings
    in what they landed last.
    """
    from dataclasses import asdict

    from assets.reading.changes import report_changes
    from assets.reading.managed_ingestion.landed import is_landed, merge_landed
    from assets.reading.tables import LANDED, warehouse_of

    now = datetime.now(UTC)
    with no_vain_retries(_refused("What landed cannot be merged")), bigquery.client() as client:
        warehouse = warehouse_of(client, reading.dataset, *LANDED)
        if not is_landed(warehouse):
            return dg.MaterializeResult(metadata={"messages": 0})
        with pubsub.publisher() as publisher, postgres.connect(autocommit=True) as connection:
            merged = merge_landed(
                warehouse,
                connection,
                since=_last_began(context.instance),
                now=now,
                zone=str(reading.time_zone),
                publisher=publisher,
                dead_letters={
                    route.kind: (route.subscription, pubsub.topic_path(route.dead_topic))
                    for route in routes(reading)
                },
            )
            report_changes(context, connection, warehouse)
    figures = {**asdict(merged), "rejected": sum(merged.rejected.values())}
    reasons = {f"rejected_{reason}": count for reason, count in merged.rejected.items()}
    return dg.MaterializeResult(metadata={**figures, **reasons, BEGAN: now.isoformat()})


def _refused(what: str) -> Callable[[Exception], str]:
    from assets.reading.managed_ingestion.arrangement import remedy

    return lambda error: f"{what}: {error}. {remedy(error)}"


def _last_began(instance: dg.DagsterInstance) -> datetime | None:
    """When the last merge began that came to its end; None when no one knows."""
    event = instance.get_latest_materialization_event(LANDED_KEY)
    materialization = event.asset_materialization if event else None
    found = materialization.metadata.get(BEGAN) if materialization else None
    return datetime.fromisoformat(str(found.value)) if found else None
