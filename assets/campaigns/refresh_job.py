"""The job that computes recommendations which batches have called in question, and its sensor.

Belongs here: when it runs. Does not: whose answers are stale (``staleness.py``), computing and
keeping them (``recommendation_table.py``).
"""

from contextlib import closing

import dagster as dg

from assets.campaigns.settings import CampaignsSettings
from assets.frame.execution import UNFINISHED
from resources.bigquery import BigQueryResource
from resources.milvus import MilvusResource
from resources.neo4j import Neo4jResource
from resources.postgres import PostgresResource

JOB = "campaigns_recommendations_refresh"

#: Of one run: seconds after which it begins no more users, and users. A table takes 1,500 load jobs
#: a day, and each run that finds work makes one.
SECONDS, USERS = 45.0, 5_000
LOOK_SECONDS = 59


@dg.op(
    pool="campaigns_bigquery",
    description="Computes stale recommendations for 45 seconds, those first that surely changed.",
)
def refresh_recommendations(  # noqa: PLR0917  Dagster passes resources by position
    context: dg.OpExecutionContext,
    postgres: PostgresResource,
    campaigns: CampaignsSettings,
    milvus: MilvusResource,
    neo4j: Neo4jResource,
    bigquery: BigQueryResource,
) -> None:
    """What is left after it is for the next run."""
    from assets.campaigns import recommendation_table
    from assets.campaigns.answers import stores
    from assets.campaigns.reports import recommendation_metadata
    from assets.campaigns.tables import RECOMMENDATIONS

    with (
        closing(milvus.client()) as milvus_client,
        neo4j.driver() as driver,
        bigquery.client() as client,
    ):
        asked = stores(
            milvus_client, driver, client, profiles=campaigns.milvus_profiles,
            database=neo4j.database, dataset=campaigns.dataset,
        )  # fmt: skip
        kept = recommendation_table.refresh(asked, postgres, seconds=SECONDS, most=USERS)
    table = f"{bigquery.project}.{campaigns.dataset}.{RECOMMENDATIONS.name}"
    context.add_output_metadata(recommendation_metadata(kept, table))


@dg.job(
    name=JOB,
    # Beside batches: what they change meanwhile stays called in question.
    tags={"dagster/max_retries": "0", "dagster/max_runtime": "600", "dagster/priority": "-1"},
    description="Computes recommendations anew that loaded batches have called in question.",
)
def campaigns_recommendations_refresh_job() -> None:
    """One op, so that a failure names what failed."""
    refresh_recommendations()


@dg.sensor(
    name="campaigns_recommendations_sensor",
    description="Starts the refresh while any user's recommendation is stale.",
    job=campaigns_recommendations_refresh_job,
    minimum_interval_seconds=LOOK_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def campaigns_recommendations_sensor(
    context: dg.SensorEvaluationContext, postgres: PostgresResource
) -> dg.RunRequest | dg.SkipReason:
    """One run at a time."""
    from assets.campaigns import staleness

    unfinished = dg.RunsFilter(job_name=JOB, statuses=list(UNFINISHED))
    if context.instance.get_run_ids(unfinished, limit=1):
        return dg.SkipReason("The run before has not ended.")
    with postgres.connect(autocommit=True) as connection:
        if not staleness.anything_stale(connection):
            return dg.SkipReason("Every recommendation is as it would be computed now.")
    return dg.RunRequest()
