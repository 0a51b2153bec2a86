"""What landing needs of an object store; one adapter per store implements it beside this module.

Belongs here: the protocol and its errors. Does not: any SDK.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import IO, BinaryIO, Protocol

from landing.arrival.identity import ObjectVersion, StoreKind


class ObjectNotCurrent(Exception):
    """The version is not what the key holds now."""

    def __init__(self, version: ObjectVersion) -> None:
        super().__init__(f"{version.uri} is no longer current")
        self.version = version

    def __reduce__(self) -> tuple[type, tuple[ObjectVersion]]:
        """Other processes may raise it: pickle would make it anew of its message."""
        return type(self), (self.version,)


class ObjectGone(ObjectNotCurrent):
    """The key holds nothing any more."""


class ObjectSuperseded(ObjectNotCurrent):
    """The key holds another version."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing, in key order, and how to go on.

    ``last_key`` is the key after which the next page begins. Without one the store had nothing to
    show and is not done: ``token`` is what it goes on by, after the same key as before. Good for
    some time and no other store. The listing ended with a page that has neither.
    """

    objects: Sequence[ObjectVersion]
    last_key: str | None
    token: str | None = None

    @property
    def is_last(self) -> bool:
        """Whether the listing ended with it."""
        return self.last_key is None and self.token is None


class ObjectStore(Protocol):
    """One bucket of one store, through that store's official client.

    Failures of the store itself surface as the client's own exceptions: a listing that failed is
    never an empty one.
    """

    @property
    def kind(self) -> StoreKind:
        """Which store it is."""
        ...

    @property
    def bucket(self) -> str:
        """The bucket's name."""
        ...

    def list_page(
        self, prefix: str, after: str | None, limit: int, token: str | None = None
    ) -> Page:
        """At most ``limit`` current versions, in UTF-8 byte order of their keys, by one request.

        Those whose keys start with ``prefix`` and sort after ``after``; ``token`` is that of an
        empty page of the same listing. A page may be empty and not the last: see
        :func:`landing.stores.listing.pages`.
        """
        ...

    def stat(self, key: str) -> ObjectVersion | None:
        """The version that ``key`` holds now, or None."""
        ...

    def open(self, version: ObjectVersion) -> AbstractContextManager[BinaryIO]:
        """A forward-only stream over exactly this version.

        Raises ObjectGone or ObjectSuperseded when the key no longer holds it.
        """
        ...

    def put(
        self,
        key: str,
        data: bytes | IO[bytes],
        *,
        content_type: str = "application/octet-stream",
        metadata: Mapping[str, str] | None = None,
    ) -> ObjectVersion:
        """Write an object, complete or absent, and return the version written."""
        ...

    def get(self, key: str) -> bytes:
        """The whole current content. Raises KeyError when there is none."""
        ...

    def delete(self, key: str) -> None:
        """Remove the current version; nothing happens when there is none."""
        ...
