"""Requests for images and what becomes of them, without a daemon.

Belongs here: landing a request, running its task, reading its results without the pipeline's code.
Does not: any expectation.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
from PIL import Image

from assets.images.pipeline import REQUESTS
from landing.arrival.requests import Request
from tests.integration.images.landings import Landings

HEADER = (
    "id,gender,masterCategory,subCategory,articleType,baseColour,season,year,usage,"
    "productDisplayName"
)


def photo(seed: int, size: tuple[int, int] = (60, 80), kind: str = "JPEG") -> bytes:
    """A picture that no other seed gives."""
    digest = hashlib.sha256(str(seed).encode()).digest()
    small = Image.frombytes("RGB", (2, 5), digest[:30])
    buffer = io.BytesIO()
    small.resize(size, Image.Resampling.BICUBIC).save(buffer, kind)
    return buffer.getvalue()


def product(number: int, gender: str = "Men", season: str = "Fall", year: int = 2010) -> str:
    return f"{number},{gender},Apparel,Topwear,Shirts,Blue,{season},{year},Casual,Shirt {number}"


class Tasks(Landings):
    """Landings, and requests on top."""

    def stock(self, products: Sequence[str], images: Mapping[str, bytes]) -> None:
        """A catalogue of these lines, and these images."""
        self.catalogue("\n".join((HEADER, *products, "")).encode())
        if images:
            self.images(images)

    def request(self, key: str, asked: Mapping[str, Any] | bytes) -> tuple[Request, ...]:
        """Put a request; what the sensor asks for."""
        body = asked if isinstance(asked, bytes) else json.dumps(asked).encode()
        self.store("IMAGES_REQUESTS_BUCKET").put(key, body)
        return self.tick(REQUESTS)

    def ask(
        self, asked: Mapping[str, Any] | bytes, key: str = "ask.json", *, raises: bool = True
    ) -> tuple[str, dg.ExecuteInProcessResult]:
        """Put a request and run its task; the task's name."""
        (request,) = self.request(key, asked)
        return request.partition_key, self.run(REQUESTS, request, raises=raises)

    def again(self, task: str) -> dg.ExecuteInProcessResult:
        """The task's partition, as a backfill runs it."""
        return self.backfill(REQUESTS, task)

    def result(self, task: str, name: str = "result.json") -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.results.get(f"{task}/{name}"))
        return found

    def metadata_rows(self, task: str) -> list[dict[str, str]]:
        text = self.results.get(f"{task}/metadata.csv").decode()
        return list(csv.DictReader(io.StringIO(text, newline="")))

    def statuses(self, task: str) -> dict[int, str]:
        return {int(row["id"]): row["status"] for row in self.metadata_rows(task)}

    def listed(self, task: str) -> dict[str, tuple[int, object]]:
        """Everything in the task's folder: size and time written, by name."""
        page = self.results.list_page(f"{task}/", None, 10_000)
        return {
            one.key.removeprefix(f"{task}/"): (one.size, one.modified_at) for one in page.objects
        }

    def made(self, task: str) -> dict[str, bytes]:
        """The task's images, by name."""
        return {
            name: self.results.get(f"{task}/{name}")
            for name in self.listed(task)
            if name.split(".")[0].isdigit()
        }

    @property
    def results(self):
        return self.store("IMAGES_RESULTS_BUCKET")
