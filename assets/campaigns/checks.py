"""Checks over all of campaigns, not one batch: they run by schedule, for they read whole stores.

Belongs here: such checks. Does not: the checks of a batch, which its assets make, and those that
every pipeline of files has (``assets/frame/checks.py``).
"""

from contextlib import closing

import dagster as dg

from assets.campaigns.pipeline import CAMPAIGNS
from assets.campaigns.settings import CampaignsSettings
from resources.milvus import MilvusResource
from resources.openai import OpenAIResource
from resources.postgres import PostgresResource


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
