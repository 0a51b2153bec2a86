"""Checks over all of campaigns, not one batch: they run by schedule, for they read whole stores.

Belongs here: such checks. Does not: the checks of a batch, which its assets make, and those that
every pipeline of files has (``assets/frame/checks.py``).
"""

from contextlib import closing
from datetime import UTC, datetime, timedelta

import dagster as dg

from assets.campaigns.pipeline import CAMPAIGNS
from assets.campaigns.settings import CampaignsSettings
from resources.milvus import MilvusResource
from resources.openai import OpenAIResource
from resources.postgres import PostgresResource

#: How long an answer may be called in question: a refresh runs every minute, a full pass over many
#: users takes longer.
LONGEST_STALE = timedelta(hours=1)


@dg.asset_check(
    asset=CAMPAIGNS.key("campaign_recommendations"),
    description="Every user with a vector has a recommendation that is as it would be computed "
    "now, or is not stale for longer than an hour.",
)
def recommendations_are_fresh(postgres: PostgresResource) -> dg.AssetCheckResult:
    """Asks the list in Postgres; the refresh is started by a sensor."""
    from assets.campaigns import staleness

    with postgres.connect(autocommit=True) as connection:
        now = staleness.standing(connection)
    late = now.stale_since is not None and datetime.now(UTC) - now.stale_since > LONGEST_STALE
    return dg.AssetCheckResult(
        passed=not late,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "users": now.users,
            "stale": now.stale,
            "stale_since": now.stale_since.isoformat() if now.stale_since else "none",
        },
        description=(
            "Is `campaigns_recommendations_sensor` running, and do its runs succeed?"
            if late
            else None
        ),
    )


@dg.asset_check(
    asset=CAMPAIGNS.key("user_profiles"),
    description="Every user with a vector in Milvus has an event.",
)
def no_profile_without_event(
    postgres: PostgresResource,
    milvus: MilvusResource,
    openai: OpenAIResource,
    campaigns: CampaignsSettings,
) -> dg.AssetCheckResult:
    """Reads every key of the collection, a thousand at a time."""
    from assets.campaigns import profiles
    from assets.embeddings import Space

    with closing(milvus.client()) as client, postgres.connect() as connection:
        space = Space(openai.embedding_model)
        collection = profiles.store(client, campaigns.milvus_profiles, space)
        collection.ensure()
        left = profiles.without_event(collection, connection)
    return dg.AssetCheckResult(
        passed=not left,
        metadata={"profiles_without_event": len(left), "sample": ", ".join(left[:10])},
    )
