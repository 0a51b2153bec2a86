"""The code location: wires assets, checks, jobs, sensors and resources together.

Belongs here: wiring, and nothing else. Does not: any behaviour; it is the only module that knows
all the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from assets.campaigns import assets as campaigns_assets
from assets.campaigns import checks as campaigns_checks
from assets.campaigns import sinks as campaigns_sinks
from assets.campaigns.settings import CampaignsSettings
from jobs.campaigns import campaigns_audit_job, campaigns_audit_schedule, campaigns_job
from jobs.executor import guarded_executor
from jobs.maintenance import maintenance_job, maintenance_schedule
from resources.bigquery import BigQueryResource
from resources.environment import apply_defaults
from resources.gcs import GcsResource
from resources.milvus import MilvusResource
from resources.mongo import MongoResource
from resources.neo4j import Neo4jResource
from resources.openai import OpenAIResource
from resources.postgres import PostgresResource
from sensors.campaigns import campaigns_gcs_sensor
from sensors.outcomes import batch_run_canceled, batch_run_failed
from sensors.reaper import dead_run_reaper


def build_resources() -> dict[str, Any]:
    """Every resource; its variables are read when a run or a tick first needs them."""
    env = dg.EnvVar
    return {
        "postgres": PostgresResource(url=env("POSTGRES_URL")),
        "gcs": GcsResource(project=env("GOOGLE_CLOUD_PROJECT")),
        "bigquery": BigQueryResource(
            project=env("GOOGLE_CLOUD_PROJECT"), api_endpoint=env("BIGQUERY_API_ENDPOINT")
        ),
        "mongo": MongoResource(uri=env("MONGO_URI")),
        "neo4j": Neo4jResource(
            uri=env("NEO4J_URI"),
            user=env("NEO4J_USER"),
            password=env("NEO4J_PASSWORD"),
            database=env("NEO4J_DATABASE"),
        ),
        "milvus": MilvusResource(uri=env("MILVUS_URI"), token=env("MILVUS_TOKEN")),
        "openai": OpenAIResource(
            base_url=env("OPENAI_BASE_URL"),
            api_key=env("OPENAI_API_KEY"),
            embedding_model=env("OPENAI_EMBEDDING_MODEL"),
        ),
        "campaigns": CampaignsSettings(
            bucket=env("CAMPAIGNS_BUCKET"),
            prefix=env("CAMPAIGNS_PREFIX"),
            quarantine_bucket=env("QUARANTINE_BUCKET"),
            mongo_database=env("CAMPAIGNS_MONGO_DATABASE"),
            mongo_collection=env("CAMPAIGNS_MONGO_COLLECTION"),
            milvus_messages=env("CAMPAIGNS_MILVUS_MESSAGES"),
            milvus_profiles=env("CAMPAIGNS_MILVUS_PROFILES"),
            dataset=env("CAMPAIGNS_DATASET"),
        ),
    }


def build_defs(*, resource_overrides: Mapping[str, Any] | None = None) -> dg.Definitions:
    """The whole code location; tests and commands replace resources by name."""
    apply_defaults()
    assets = dg.load_assets_from_modules([campaigns_assets, campaigns_sinks], include_specs=True)
    return dg.Definitions(
        assets=assets,
        asset_checks=dg.load_asset_checks_from_modules([campaigns_checks]),
        jobs=[campaigns_job, campaigns_audit_job, maintenance_job],
        schedules=[maintenance_schedule, campaigns_audit_schedule],
        sensors=[campaigns_gcs_sensor, batch_run_failed, batch_run_canceled, dead_run_reaper],
        resources={**build_resources(), **(resource_overrides or {})},
        executor=guarded_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """What Dagster loads."""
    return build_defs()
