"""The campaigns pipeline, declared: CSV of chat and engagement events to four stores.

Belongs here: the declaration, the validation, and what the code location gets. Does not: the sinks
(``sinks.py``), what a file must be (``events.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from assets.campaigns import tables
from assets.campaigns.settings import CampaignsSettings
from assets.frame.declared import LandedFiles, Pipeline, batches
from assets.frame.step import validation_asset

if TYPE_CHECKING:
    from landing.batch.validation import Rules


def _rules() -> Rules:
    from assets.campaigns.events import rules

    return rules()


CAMPAIGNS = LandedFiles(
    pipeline="campaigns",
    job="campaigns",
    writer="campaigns",
    owners=("team:marketing-data",),
    partitions=batches("campaigns"),
    store="gcs",
    # A zip archive is refused, not passed over.
    pattern=r".*\.(?i:[ct]sv(\.gz)?|zip)",
    settings=CampaignsSettings,
    landing="gcs_landing",
    kinds={"csv"},
    description="CSV files of chat and engagement events under the landing prefix on GCS.",
    validation="events",
    sinks=(
        "raw_messages",
        "message_embeddings",
        "user_profiles",
        "engagement_graph",
        "engagement_analytics",
    ),
    derived=("campaign_recommendations",),
    rules=_rules,
    staged=tables.EVENTS.column_schema(),
    preview=("record_id", "user_id", "message", "campaign", "timestamp", "line"),
)

events = validation_asset(
    CAMPAIGNS, "Validated events of one batch: winners staged as Parquet, rejects in quarantine."
)


def _definitions() -> dg.Definitions:
    from assets.campaigns import checks, sinks
    from assets.campaigns.refresh_job import (
        campaigns_recommendations_refresh_job,
        campaigns_recommendations_sensor,
    )

    return dg.Definitions(
        assets=[events, *dg.load_assets_from_modules([sinks])],
        asset_checks=dg.load_asset_checks_from_modules([checks]),
        jobs=[campaigns_recommendations_refresh_job],
        sensors=[campaigns_recommendations_sensor],
    )


PIPELINE = Pipeline(
    name="campaigns",
    settings=CampaignsSettings,
    landed=(CAMPAIGNS,),
    definitions=_definitions,
    requires=(
        "POSTGRES_URL",
        "GOOGLE_CLOUD_PROJECT",
        "MONGO_URI",
        "NEO4J_URI",
        "NEO4J_USER",
        "NEO4J_PASSWORD",
        "MILVUS_URI",
        "OPENAI_API_KEY",
    ),
    servers=("postgres", "gcs", "bigquery", "mongo", "bolt", "milvus", "openai"),
    audit_minute=20,
)
