"""Where images reads and writes, and how much of the machine it takes.

Belongs here: names and limits. Does not: addresses and secrets (``resources/``).
"""

from __future__ import annotations

from assets.frame.settings import Settings


class ImagesSettings(Settings):
    """``products_bucket`` holds the catalogue and the images, each under its prefix.

    Requests land in ``requests_bucket``; a task's results are in ``results_bucket`` under the
    task's name, models that name what images show in ``models_bucket``. ``workers`` are the
    processes of one task, 0 for one per core; ``item_seconds``, ``most_pixels`` and ``most_bytes``
    are what one image may take. ``engine`` is ``local``, or ``celery`` for tasks above
    ``shard_from`` items: they are cut into shards of ``shard_items``, of which at most
    ``shard_window`` are under way.
    """

    pipeline = "images"

    products_bucket: str = "products"
    catalogue_prefix: str = "styles"
    inventory_prefix: str = "images/"
    requests_bucket: str = "image-requests"
    requests_prefix: str = ""
    results_bucket: str = "image-results"
    staging_bucket: str = "images-staging"
    quarantine_bucket: str = "images-quarantine"
    models_bucket: str = "images-models"
    workers: int = 0
    item_seconds: int = 10
    most_pixels: int = 100_000_000
    most_bytes: int = 64 * 1024 * 1024
    engine: str = "local"
    shard_from: int = 5_000
    shard_items: int = 5_000
    shard_window: int = 8


class CataloguePlaces(ImagesSettings):
    """As a landing: files of products."""

    @property
    def bucket(self) -> str:
        """Where the catalogue lands."""
        return self.products_bucket

    @property
    def prefix(self) -> str:
        """How its files' names begin."""
        return self.catalogue_prefix


class InventoryPlaces(ImagesSettings):
    """As a landing: the products' images."""

    @property
    def bucket(self) -> str:
        """Where images land."""
        return self.products_bucket

    @property
    def prefix(self) -> str:
        """Under which they land."""
        return self.inventory_prefix


class RequestPlaces(ImagesSettings):
    """As a landing: requests."""

    @property
    def bucket(self) -> str:
        """Where requests land."""
        return self.requests_bucket

    @property
    def prefix(self) -> str:
        """Under which they land."""
        return self.requests_prefix
