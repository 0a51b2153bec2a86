"""The demo of images: a catalogue and its images, as they land.

Belongs here: what is loaded, recounted and shown. Does not: the course of the demo (``demo``).
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

from assets.pipelines import defaults
from landing.stores.minio import MinioStore
from local.demos.pipeline import Figures, Landed, PipelineDemo, ledger_figures
from resources.minio import MinioResource
from resources.postgres import PostgresResource

SAMPLE_PRODUCTS = 300
_UPLOADS = 8

_PRODUCTS = """
SELECT count(*), count(*) FILTER (WHERE repaired),
    count(*) FILTER (WHERE gender = 'Men' AND season = 'Fall' AND year = 2010)
FROM images.product
"""
_IMAGES = "SELECT status, count(*) FROM images.image GROUP BY status ORDER BY status"
_SPREAD = """
SELECT master_category, count(*), count(product_id) FILTER (WHERE status = 'ok')
FROM images.product LEFT JOIN images.image ON product_id = id
GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 4
"""


class ImagesDemo(PipelineDemo):
    """The real catalogue and images where there are any, else generated ones."""

    name: ClassVar[str] = "images"

    def load(self) -> Sequence[Landed]:
        """Put the catalogue's file and the images into the bucket of products."""
        folder = self._folder()
        catalogue = f"{self._name('IMAGES_CATALOGUE_PREFIX')}.csv"
        images = self._name("IMAGES_INVENTORY_PREFIX")
        files = [
            (catalogue, folder / "styles.csv"),
            *((f"{images}{path.name}", path) for path in _images(folder)),
        ]
        store = self._store()
        with ThreadPoolExecutor(_UPLOADS) as pool:
            put = list(pool.map(lambda file: store.put(file[0], file[1].read_bytes()), files))
        return [Landed(one.bucket, one.key, one.version) for one in put]

    def figures(self, landed: Sequence[Landed]) -> Figures:
        """The ledger's counts over the catalogue and the images."""
        return ledger_figures(self._postgres(), landed)

    def verify(self, figures: Figures) -> Sequence[str]:
        """Products and images as the files have them, counted apart from the pipeline."""
        expected = self._expected()
        with self._postgres().connect() as connection:
            products, repaired, asked = connection.execute(_PRODUCTS).fetchone() or (0, 0, 0)
            images = dict(connection.execute(_IMAGES).fetchall())
        found: Mapping[str, Any] = {
            "products": products,
            "repaired": repaired,
            "Men, Fall, 2010": asked,
            "images": images,
            "rejected": figures.rejected,
        }
        return [
            f"{name}: {found[name]}, expected {value}"
            for name, value in expected.items()
            if found[name] != value
        ]

    def answer(self) -> Sequence[str]:
        """The largest categories, and how many of their products have an image."""
        with self._postgres().connect() as connection:
            rows = connection.execute(_SPREAD).fetchall()
        return [
            f"  {name}: {count:,} products, {with_image:,} with an image"
            for name, count, with_image in rows
        ]

    def _expected(self) -> Mapping[str, Any]:
        folder = self._folder()
        if self.data_dir is None:
            made = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
            return {
                "products": made["products"],
                "repaired": made["repaired"],
                "Men, Fall, 2010": made["requests"]["men-fall-2010"]["matching"],
                "images": made["images"],
                "rejected": sum(made["rejected"].values()),
            }
        with (folder / "styles.csv").open(encoding="utf-8", newline="") as stream:
            _header, *rows = csv.reader(stream)
        asked = ("Men", "Fall", "2010")
        return {
            "products": len(rows),
            "repaired": sum(1 for row in rows if len(row) > len(_header)),
            "Men, Fall, 2010": sum(1 for row in rows if (row[1], row[6], row[7]) == asked),
            "images": {"ok": len(_images(folder))},
            "rejected": 0,
        }

    def _folder(self) -> Path:
        if self.data_dir is not None:
            return self.data_dir / "products"
        from samples.images import MANIFEST_FILE, write

        folder = self.work_dir / "images"
        if not (folder / MANIFEST_FILE).exists():
            write(folder, SAMPLE_PRODUCTS)
        return folder

    def _name(self, variable: str) -> str:
        """What the variable says, or its default."""
        return {**defaults(), **self.env}[variable]

    def _postgres(self) -> PostgresResource:
        return PostgresResource(url=self.env["POSTGRES_URL"])

    def _store(self) -> MinioStore:
        resource = MinioResource(
            endpoint=self.env["MINIO_ENDPOINT"],
            access_key=self.env["MINIO_ACCESS_KEY"],
            secret_key=self.env["MINIO_SECRET_KEY"],
        )
        return MinioStore(resource.client(), self._name("IMAGES_PRODUCTS_BUCKET"))


def _images(folder: Path) -> list[Path]:
    """Those that are called by a product's id."""
    return sorted(path for path in (folder / "images").iterdir() if path.stem.isdecimal())
