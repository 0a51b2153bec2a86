"""Two buckets on the S3 gateway, and items whose objects are in one of them."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from assets.images.processing.engine import process
from assets.images.processing.operation import Item, Limits, Operation, Outcome
from assets.images.processing.store import ObjectStore
from local.services.s3 import create_bucket
from resources.minio_client import Access

LIMITS = Limits(most_pixels=30_000_000, most_bytes=8 << 20, seconds=10.0)
OBEY = "tests.integration.images.processing.functions:obey"


@dataclass
class Buckets:
    """Where objects are read and written."""

    access: Access
    source: str
    target: str
    items: list[Item] = field(default_factory=list)

    def put(self, objects: Mapping[str, bytes]) -> list[Item]:
        """Items whose objects these are, numbered on."""
        store = ObjectStore(self.access, self.source, patience=10)
        new = []
        for name, data in objects.items():
            number = len(self.items)
            store.put(f"in/{name}", data, "application/octet-stream")
            new.append(Item(number, 1000 + number, f"in/{name}", f"out/{number}.bin"))
            self.items.append(new[-1])
        return new

    def process(self, items: Iterable[Item], limits: Limits = LIMITS, **options: Any) -> Any:
        """The outcomes, as they come."""
        operation = options.pop("operation", Operation(width=32, height=32))
        given: dict[str, Any] = {"workers": 2, "function": OBEY, "patience": 5.0, **options}
        return process(
            items, operation, limits, source=self.source, target=self.target,
            access=self.access, **given,
        )  # fmt: skip

    def written(self, item: Item) -> bytes:
        return ObjectStore(self.access, self.target, patience=10).get(item.target, 1 << 30)


@pytest.fixture
def buckets(env, stack) -> Buckets:
    names = [f"images-{kind}-{uuid.uuid4().hex[:12]}" for kind in ("in", "out")]
    for name in names:
        create_bucket(stack.place(), name)
    access = Access(env["MINIO_ENDPOINT"], env["MINIO_ACCESS_KEY"], env["MINIO_SECRET_KEY"])
    return Buckets(access, names[0], names[1])


def statuses(items: Iterable[Item], outcomes: Iterable[Outcome]) -> dict[str, str]:
    """Status by the name of the item's object, each item having exactly one."""
    by_number = {item.number: item for item in items}
    got = list(outcomes)
    counted = Counter(outcome.number for outcome in got)
    assert counted == Counter(by_number.keys())
    return {by_number[one.number].source.removeprefix("in/"): one.status for one in got}
