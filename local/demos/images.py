"""The demo of images: a catalogue and its images on MinIO, then requests for some of them.

Belongs here: what is loaded, recounted and shown. Does not: the course of the demo (``demo``).
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from assets.images import answers
from assets.pipelines import defaults
from landing.stores.listing import pages
from landing.stores.minio import MinioStore
from local.demos.asking import QueryService
from local.demos.pipeline import (
    Answer,
    Figures,
    Landed,
    PipelineDemo,
    SinkFigures,
    ledger_figures,
)
from resources.minio import MinioResource
from resources.postgres import PostgresResource

#: What the real files hold, counted apart from this code.
REAL_PRODUCTS = 44_446
#: By request: products that match, and those of them with an image.
REAL_FIGURES: Mapping[str, tuple[int, int]] = {
    "men-fall-2010": (459, 22),
    "all-that-there-is": (44_446, 2_000),
}
REAL_REQUESTS: Mapping[str, Mapping[str, Any]] = {
    "men-fall-2010": {"task": "men-fall-2010", "gender": "Men", "season": "Fall", "year": 2010},
    "all-that-there-is": {
        "task": "all-that-there-is",
        "predict": True,
        "parameters": {"format": "webp"},
    },
    "a-typo": {"task": "a-typo", "gender": "Man"},
}
_REFUSED = "a-typo"
_PREDICTED = "all-that-there-is"
_MODEL = "classifier/latest.json"

SAMPLE_PRODUCTS = 300
_UPLOADS = 16


class ImagesDemo(PipelineDemo):
    """The real catalogue where there is one, else a generated one."""

    name: ClassVar[str] = "images"

    #: Requests by their name, and what they are expected to find.
    _asked: Mapping[str, Mapping[str, Any]] = REAL_REQUESTS
    _expected: Mapping[str, tuple[int, int]] = REAL_FIGURES
    _products = REAL_PRODUCTS
    _requested = False

    def load(self) -> Sequence[Landed]:
        """Upload the catalogue and the images."""
        store = self._store("IMAGES_PRODUCTS_BUCKET")
        with ThreadPoolExecutor(_UPLOADS) as pool:
            return list(pool.map(lambda one: _put(store, *one), self._files()))

    def then(self) -> Sequence[Landed]:
        """Once those are known, the requests."""
        if self._requested:
            return ()
        self._requested = True
        store = self._store("IMAGES_REQUESTS_BUCKET")
        return [
            _put(store, f"{name}.json", json.dumps(request).encode())
            for name, request in self._asked.items()
        ]

    def figures(self, landed: Sequence[Landed]) -> Figures:
        """The ledger's counts over what landed in both buckets."""
        by_bucket = {one.bucket: [other for other in landed if other.bucket == one.bucket]
                     for one in landed}  # fmt: skip
        found = [ledger_figures(self._postgres(), some) for some in by_bucket.values()]
        trained = self._store("IMAGES_MODELS_BUCKET").stat(_MODEL) is not None
        return replace(_summed(found), waiting={"model that learns": 0 if trained else 1})

    def verify(self, figures: Figures) -> Sequence[str]:
        """Every requested product has its row, every usable image its result."""
        with self._postgres().connect() as connection:
            products, _ = answers.products(connection)
            refused = answers.task(connection, _REFUSED)
        # Another demo's products may be there, too.
        alone = products == self._products
        problems = [p for name in self._expected for p in self._task(name, alone=alone)]
        accounted = figures.written + figures.unchanged + figures.superseded + figures.rejected
        if accounted != figures.read:
            problems.append(f"{figures.read} rows read, {accounted} accounted for")
        if products < self._products:
            problems.append(f"{products} products, the file has {self._products}")
        if refused.state != "failed" or not refused.problems:
            problems.append(f"the task {_REFUSED} is {refused.state}: {refused.problems}")
        return problems

    def answer(self, service: QueryService) -> Answer:
        """How each task ended."""
        with self._postgres().connect() as connection:
            products, images = answers.products(connection)
        lines, wrong = [f"  {products:,} products, {images:,} of them with an image"], []
        for name in (*self._expected, _REFUSED):
            one = service.ask("v1", "images", "tasks", name)
            counts = ", ".join(f"{count:,} {status}" for status, count in one["counts"].items())
            lines.append(f"  {name}: {one['state']}, {counts or '; '.join(one['problems'])}")
            counted = Counter(row["status"] for row in self._rows(name)) if counts else {}
            if counted != one["counts"]:
                wrong.append(f"{name}: {one['counts']} said, its metadata has {dict(counted)}")
        lines.append(f"  s3://{self._name('IMAGES_RESULTS_BUCKET')}/<task>/ has the images")
        return Answer(lines, wrong)

    def _rows(self, name: str) -> list[dict[str, str]]:
        """A task's metadata, read without the pipeline's code."""
        text = self._store("IMAGES_RESULTS_BUCKET").get(f"{name}/metadata.csv").decode()
        return list(csv.DictReader(io.StringIO(text, newline="")))

    def _task(self, name: str, *, alone: bool) -> Iterator[str]:
        """What is wrong with a task's results, read without the pipeline's code."""
        requested, usable = self._expected[name]
        store = self._store("IMAGES_RESULTS_BUCKET")
        rows = self._rows(name)
        good = [row for row in rows if row["status"] == "ok"]
        result = json.loads(store.get(f"{name}/result.json"))
        if alone and (len(rows), len(good)) != (requested, usable):
            yield (f"{name}: {len(rows)} rows with {len(good)} images, "
                   f"{requested} with {usable} expected")  # fmt: skip
        if sum(result["counts"].values()) != len(rows):
            yield f"{name}: {result['counts']} does not add up to {len(rows)}"
        if name == _PREDICTED and not all(row["predicted_by"] for row in good):
            yield f"{name}: results without a prediction"
        listed = {row["path"] for row in good}
        there = {key for key in _keys(store, f"{name}/") if key[0].isdigit()}
        if listed != there:
            yield f"{name}: {len(there)} images in the bucket, {len(listed)} in the metadata"
        copied = result["operation"]["kind"] == "copy"
        if not copied and any((row["width"], row["height"]) != ("256", "256") for row in good):
            yield f"{name}: images of another size than 256 x 256"

    def _files(self) -> Iterator[tuple[str, bytes]]:
        """Keys and contents of the catalogue and the images."""
        folder = self._samples() if self.data_dir is None else self.data_dir / "products"
        yield "styles.csv", (folder / "styles.csv").read_bytes()
        for file in sorted((folder / "images").iterdir()):
            if file.stem.isdigit():  # others are none of the pipeline's: nothing will come of them
                yield f"images/{file.name}", file.read_bytes()

    def _samples(self) -> Path:
        from samples.images import write

        folder = self.work_dir / "images"
        made = write(folder, SAMPLE_PRODUCTS)
        self._expected = {
            name: (found["matching"], found["usable"])
            for name, found in made.requests.items()
            if found["matching"]
        }
        self._products = made.products
        self._asked = {
            file.stem: json.loads(file.read_text()) for file in (folder / "requests").iterdir()
        }
        return folder

    def _store(self, variable: str) -> MinioStore:
        minio = MinioResource(
            endpoint=self.env["MINIO_ENDPOINT"],
            access_key=self.env["MINIO_ACCESS_KEY"],
            secret_key=self.env["MINIO_SECRET_KEY"],
        )
        return MinioStore(minio.client(), self._name(variable))

    def _name(self, variable: str) -> str:
        """What the variable says, or its default."""
        return {**defaults(), **self.env}[variable]

    def _postgres(self) -> PostgresResource:
        return PostgresResource(url=self.env["POSTGRES_URL"])


def _put(store: MinioStore, key: str, data: bytes) -> Landed:
    version = store.put(key, data)
    return Landed(version.bucket, version.key, version.version)


def _keys(store: MinioStore, prefix: str) -> Iterator[str]:
    for page in pages(store, prefix):
        yield from (version.key.removeprefix(prefix) for version in page.objects)


def _summed(found: Sequence[Figures]) -> Figures:
    """The figures of several buckets as one."""
    sinks: dict[str, SinkFigures] = {}
    for one in found:
        sinks |= one.sinks
    numbers = ("objects", "processed", "read", "written", "unchanged", "superseded", "rejected")
    return replace(
        found[0],
        **{name: sum(getattr(one, name) for one in found) for name in numbers},
        batches={batch: state for one in found for batch, state in one.batches.items()},
        errors=[error for one in found for error in one.errors],
        sinks=sinks,
    )
