"""A bucket in memory with a clock of its own, for tests of the scan. Implements ObjectStore."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import IO, BinaryIO

from landing.arrival.identity import ObjectVersion, StoreKind, unversioned
from landing.stores.base import ObjectGone, ObjectSuperseded, Page

START = datetime(2026, 11, 22, 10, 15, 3, 250_000, tzinfo=UTC)


@dataclass
class Clock:
    """Wall clock of everybody in the model, moved by hand."""

    now: datetime = START

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass
class BucketModel:
    """``exact`` buckets give every version a number, others go by etag, size and second.

    ``before_page`` is called before each page after the first: what happens during a listing.
    ``absent_once`` are keys whose next reading answers that nothing is there, though it is.
    ``empty_pages`` are shown before the next page, each without a key and not the last.
    """

    clock: Clock
    exact: bool = True
    name: str = "inbox"
    current: dict[str, tuple[ObjectVersion, bytes]] = field(default_factory=dict)
    history: dict[ObjectVersion, bytes] = field(default_factory=dict)
    before_page: Callable[[], None] = lambda: None
    pages: int = 0
    listed_in_call: list[str] = field(default_factory=list)
    absent_once: set[str] = field(default_factory=set)
    empty_pages: int = 0
    #: What each key has held, one after another, None where it was deleted.
    _held: dict[str, list[tuple[ObjectVersion, bytes] | None]] = field(default_factory=dict)

    @property
    def kind(self) -> StoreKind:
        return "gcs" if self.exact else "s3"

    @property
    def bucket(self) -> str:
        return self.name

    def list_page(
        self, prefix: str, after: str | None, limit: int, token: str | None = None
    ) -> Page:
        if self.pages:
            self.before_page()
        self.pages += 1
        if self.empty_pages:
            self.empty_pages -= 1
            return Page([], None, token=f"behind {after!r}")
        keys = sorted(
            (key for key in self.current if key.startswith(prefix)), key=lambda key: key.encode()
        )
        keys = [key for key in keys if after is None or key.encode() > after.encode()]
        page = [self.current[key][0] for key in keys[:limit]]
        return Page(page, page[-1].key if len(keys) > limit else None)

    def stat(self, key: str) -> ObjectVersion | None:
        found = self.current.get(key)
        return found[0] if found else None

    @contextmanager
    def open(self, version: ObjectVersion) -> Iterator[BinaryIO]:
        found = self.current.get(version.key)
        if version.key in self.absent_once:
            self.absent_once.discard(version.key)
            raise ObjectGone(version)
        if found is None:
            raise ObjectGone(version)
        if found[0].version != version.version:
            raise ObjectSuperseded(version)
        yield io.BytesIO(found[1])

    def put(
        self,
        key: str,
        data: bytes | IO[bytes],
        *,
        content_type: str = "",
        metadata: Mapping[str, str] | None = None,
        age: int = 0,
    ) -> ObjectVersion:
        """``age``: a multipart upload carries the date of its initiation, seconds ago."""
        content = data if isinstance(data, bytes) else data.read()
        modified = (self.clock.now - timedelta(seconds=age)).replace(microsecond=0)
        version = self._version(key, content, modified)
        while age and version in self.history:
            # Two uploads of one content begun in one second are one version to any listing.
            modified -= timedelta(seconds=1)
            version = self._version(key, content, modified)
        self.current[key] = (version, content)
        self._held.setdefault(key, []).append(self.current[key])
        self.history[version] = content
        return version

    def _version(self, key: str, content: bytes, modified: datetime) -> ObjectVersion:
        etag = hashlib.md5(content).hexdigest()
        number = str(len(self.history) + 1)
        version = number if self.exact else unversioned(etag, len(content), modified)
        return ObjectVersion(self.kind, self.name, key, version, len(content), modified)

    def get(self, key: str) -> bytes:
        return self.current[key][1]

    def delete(self, key: str) -> None:
        if self.current.pop(key, None) is not None:
            self._held[key].append(None)

    def roll_back(self, key: str) -> None:
        """Remove the newest version, or the delete marker, by its id: the one before is current."""
        held = self._held[key]
        held.pop()
        if held and held[-1] is not None:
            self.current[key] = held[-1]
        else:
            self.current.pop(key, None)

    @property
    def rewritten(self) -> list[str]:
        """Keys that have held more than what they hold."""
        return sorted(key for key, held in self._held.items() if len(held) > 1)
