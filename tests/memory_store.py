"""An ObjectStore in memory, with generations and faults: for tests of what lies above a store."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import IO, BinaryIO

from landing.arrival.identity import ObjectVersion, StoreKind
from landing.stores.base import ObjectGone, ObjectSuperseded, Page

_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class PutRefused(Exception):
    """The fault that a test asked for."""


@dataclass
class MemoryStore:
    bucket: str = "campaigns"
    kind: StoreKind = "gcs"
    objects: dict[str, tuple[ObjectVersion, bytes]] = field(default_factory=dict)
    generation: int = 0
    #: Puts that still succeed; None for no limit.
    puts_left: int | None = None
    puts: list[str] = field(default_factory=list)

    def list_page(
        self, prefix: str, after: str | None, limit: int, token: str | None = None
    ) -> Page:
        keys = sorted(
            (k for k in self.objects if k.startswith(prefix) and (after is None or k > after)),
        )[:limit]
        found = [self.objects[key][0] for key in keys]
        return Page(found, keys[-1] if len(keys) == limit else None)

    def stat(self, key: str) -> ObjectVersion | None:
        return self.objects[key][0] if key in self.objects else None

    @contextmanager
    def open(self, version: ObjectVersion) -> Iterator[BinaryIO]:
        if version.key not in self.objects:
            raise ObjectGone(version)
        current, data = self.objects[version.key]
        if current.version != version.version:
            raise ObjectSuperseded(version)
        yield io.BytesIO(data)

    def put(
        self,
        key: str,
        data: bytes | IO[bytes],
        *,
        content_type: str = "application/octet-stream",
        metadata: Mapping[str, str] | None = None,
    ) -> ObjectVersion:
        content = data if isinstance(data, bytes) else data.read()
        if self.puts_left is not None:
            if self.puts_left == 0:
                raise PutRefused(key)
            self.puts_left -= 1
        self.generation += 1
        version = ObjectVersion(
            self.kind,
            self.bucket,
            key,
            str(self.generation),
            len(content),
            _EPOCH + timedelta(seconds=self.generation),
        )
        self.objects[key] = (version, content)
        self.puts.append(key)
        return version

    def get(self, key: str) -> bytes:
        return self.objects[key][1]

    def delete(self, key: str) -> None:
        self.objects.pop(key, None)
