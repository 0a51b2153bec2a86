"""The answers of reading as a code location of their own, for runs that tests start."""

from typing import Any

# No postponed annotations: Dagster reads them.
import dagster as dg

from assets.reading.affinity import assets as affinity_assets
from assets.reading.affinity.job import reading_affinity_automation, reading_affinity_job
from assets.reading.pipeline import DAYS, USER_INTERACTION_KEY
from assets.reading.settings import ReadingSettings
from jobs.executor import guarded_executor
from resources.bigquery import BigQueryResource
from resources.postgres import PostgresResource

EVENTS = dg.AssetSpec(USER_INTERACTION_KEY, partitions_def=DAYS)
META = dg.AssetSpec(affinity_assets.META_KEY)


def settings() -> ReadingSettings:
    """Of all that reading could be told, the answers use the dataset's name."""
    unused: dict[str, Any] = dict.fromkeys(ReadingSettings.model_fields, "unused")
    numbers = dict.fromkeys(
        ("merge_milliseconds", "raw_days", "session_seconds", "max_attempts"), 1
    )
    return ReadingSettings(**{**unused, **numbers, "dataset": dg.EnvVar("READING_DATASET")})


defs = dg.Definitions(
    assets=[
        EVENTS,
        META,
        affinity_assets.daily_category_counts,
        affinity_assets.user_category_shares,
    ],
    jobs=[reading_affinity_job],
    sensors=[reading_affinity_automation],
    resources={
        "postgres": PostgresResource(url=dg.EnvVar("POSTGRES_URL")),
        "bigquery": BigQueryResource(
            project=dg.EnvVar("GOOGLE_CLOUD_PROJECT"),
            api_endpoint=dg.EnvVar("BIGQUERY_API_ENDPOINT"),
        ),
        "reading": settings(),
    },
    executor=guarded_executor,
)
