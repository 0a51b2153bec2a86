"""The catalogue's sink as an asset.

Belongs here: what it is called, needs and shows. Does not: what comes before (``pipeline.py``).
"""

from typing import Any

import dagster as dg

from assets.frame.step import StepEvents, sink_events
from assets.images.pipeline import CATALOGUE
from assets.images.tables import PRODUCT
from assets.sinks.result import SinkResult, Verification
from landing.batch.delivery import Delivery
from resources.minio import MinioResource
from resources.postgres import PostgresResource


@dg.asset(
    **CATALOGUE.sink(
        "product_catalog", kinds={"postgres"}, pool="postgres", schema=PRODUCT.column_schema()
    )
)
def product_catalog(
    context: dg.AssetExecutionContext, postgres: PostgresResource, minio: MinioResource
) -> StepEvents:
    """One row per product, committed with the ledger's note of it."""
    shown: dict[str, Any] = {}

    def take(delivery: Delivery) -> tuple[SinkResult, Verification]:
        from assets.images.catalogue.charts import catalogue_metadata
        from assets.sinks.postgres import upsert

        with postgres.connect() as connection:
            result, found = upsert(connection, delivery, PRODUCT)
        repaired = sum(int(chunk["repaired"].sum()) for chunk in delivery.facts())
        with postgres.connect() as connection:
            shown.update(catalogue_metadata(connection), rows_repaired=repaired)
        return result, found

    yield from sink_events(CATALOGUE, context, postgres, minio, take, metadata=lambda: shown)
