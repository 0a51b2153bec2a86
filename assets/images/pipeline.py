"""The images pipeline, declared: products, their images, and requests, each as it lands.

Belongs here: the declarations, their validations, and what the code location gets. Does not: the
sinks (``assets.py`` of each), what a file must be.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import dagster as dg

from assets.frame.declared import LandedFiles, Pipeline, batches
from assets.frame.step import validation_asset
from assets.images import tables
from assets.images.requests.tables import REQUESTS as REQUEST_ROWS
from assets.images.settings import (
    CataloguePlaces,
    ImagesSettings,
    InventoryPlaces,
    RequestPlaces,
)

if TYPE_CHECKING:
    from landing.batch.object_reading import Reader
    from landing.batch.validation import Rules
    from landing.stores.base import ObjectStore

_OWNERS = ("team:catalogue-data",)


def _catalogue_rules() -> Rules:
    from assets.images.catalogue.landed import rules

    return rules()


def _inventory_rules() -> Rules:
    from assets.images.inventory.reading import rules

    return rules()


def _inventory_reader(store: ObjectStore) -> Reader:
    from assets.images.inventory.reading import image_reader

    return image_reader(store)


CATALOGUE = LandedFiles(
    pipeline="images",
    job="images_catalogue",
    writer="images_catalogue",
    owners=_OWNERS,
    partitions=batches("images_catalogue"),
    store="minio",
    # Behind the prefix `styles`: styles.csv, styles-2026-11.csv.gz, styles/all.csv.
    pattern=r".*\.(?i:csv(?:\.gz)?)",
    settings=CataloguePlaces,
    landing="catalogue_landing",
    kinds={"csv"},
    description="CSV files of products in the bucket of products.",
    validation="catalogue_rows",
    sinks=("product_catalog",),
    rules=_catalogue_rules,
    staged=tables.CATALOGUE_ROWS.column_schema(),
    preview=("id", "gender", "article_type", "base_colour", "year", "product_display_name", "line"),
    records="product",
)

INVENTORY = LandedFiles(
    pipeline="images",
    job="images_inventory",
    writer="images_inventory",
    owners=_OWNERS,
    partitions=batches("images_inventory"),
    store="minio",
    # A product's id of at most 18 digits, which 63 bits hold, at any depth.
    pattern=r"(?:.*/)?[0-9]{1,18}\.(?i:jpe?g|png|webp)",
    settings=InventoryPlaces,
    landing="image_landing",
    kinds={"image"},
    description="Images of products, called by the product's id.",
    validation="image_probes",
    sinks=("image_inventory",),
    rules=_inventory_rules,
    staged=tables.IMAGE_PROBES.column_schema(),
    preview=("product_id", "key", "size", "format", "width", "height", "mode", "status", "detail"),
    records="image",
    reader=_inventory_reader,
    limits={
        # A run is worth many small objects. It holds few of them at a time, and one row of each.
        "max_objects": 20_000,
        "max_bytes": 4 * 1024**3,
        # Its one sink gains nothing from a process of its own, whatever the images weigh.
        "large_bytes": 1 << 62,
        # An empty file is a broken image.
        "empty_objects": True,
    },
)


def _task_of(held: bytes) -> str:
    from assets.images.requests.request import task_of

    return task_of(held)


def _request_rules() -> Rules:
    from assets.images.tasks.taking import rules

    return rules(REQUESTS.sinks)


REQUESTS = LandedFiles(
    pipeline="images",
    job="images",
    owners=_OWNERS,
    # A partition per task: the client's name for it, or a hash of what it asks for.
    partitions=dg.DynamicPartitionsDefinition(name="image_tasks"),
    store="minio",
    pattern=r".*\.(?i:json)",
    settings=RequestPlaces,
    landing="request_landing",
    kinds={"json"},
    description="Requests for images: which products, and what is done to their images.",
    validation="image_requests",
    sinks=("image_task_manifest", "task_images", "task_predictions", "task_metadata"),
    rules=_request_rules,
    facts=True,
    staged=REQUEST_ROWS.column_schema(),
    preview=REQUEST_ROWS.names,
    unit_in=_task_of,
    limits={
        "max_objects": 1,
        # Each is a task of its own: there is no company to wait for.
        "max_wait": timedelta(0),
        "max_in_flight": 8,
        "large_bytes": 1 << 62,
        # An empty file is a request that can't be done, and its author is told.
        "empty_objects": True,
    },
)

catalogue_rows = validation_asset(
    CATALOGUE, "Products of one batch that say something new; rejects in quarantine."
)
image_probes = validation_asset(
    INVENTORY, "Images of one batch: fetched once, hashed, and looked at without decoding."
)


def _definitions() -> dg.Definitions:
    from assets.images import assets as tasks
    from assets.images import checks
    from assets.images.catalogue import assets as catalogue
    from assets.images.classifier import assets as predictions
    from assets.images.classifier import model_asset
    from assets.images.inventory import assets as inventory

    return dg.Definitions(
        assets=[
            catalogue_rows,
            image_probes,
            *dg.load_assets_from_modules([catalogue, inventory, model_asset, tasks, predictions]),
        ],
        asset_checks=dg.load_asset_checks_from_modules([checks, model_asset]),
        jobs=[model_asset.image_classifier_job],
        sensors=[model_asset.image_classifier_automation],
    )


PIPELINE = Pipeline(
    name="images",
    settings=ImagesSettings,
    landed=(CATALOGUE, INVENTORY, REQUESTS),
    definitions=_definitions,
    requires=("POSTGRES_URL", "MINIO_ENDPOINT", "MINIO_ACCESS_KEY", "MINIO_SECRET_KEY"),
    servers=("postgres", "s3"),
    audit_minute=50,
)
