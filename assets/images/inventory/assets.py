"""The inventory's sink as an asset.

Belongs here: what it is called, needs and shows. Does not: what comes before (``pipeline.py``).
"""

from typing import Any

import dagster as dg

from assets.frame.step import StepEvents, sink_events
from assets.images.pipeline import INVENTORY
from assets.images.tables import IMAGE
from assets.sinks.result import SinkResult, Verification
from landing.batch.delivery import Delivery
from resources.minio import MinioResource
from resources.postgres import PostgresResource


@dg.asset(
    **INVENTORY.sink(
        "image_inventory", kinds={"postgres"}, pool="postgres", schema=IMAGE.column_schema()
    )
)
def image_inventory(
    context: dg.AssetExecutionContext, postgres: PostgresResource, minio: MinioResource
) -> StepEvents:
    """One row per product of which an image landed, committed with the ledger's note of it."""
    shown: dict[str, Any] = {}

    def take(delivery: Delivery) -> tuple[SinkResult, Verification]:
        from assets.images.inventory.report import inventory_metadata
        from assets.sinks.postgres import upsert

        with postgres.connect() as connection:
            result, found = upsert(connection, delivery, IMAGE)
        shown.update(inventory_metadata(delivery.facts()))
        return result, found

    yield from sink_events(INVENTORY, context, postgres, minio, take, metadata=lambda: shown)
