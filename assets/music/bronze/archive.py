"""The archive: music's files as they were read, kept in the processed bucket.

Belongs here: making copies and reading them. Does not: where a copy lies (``copies.py``), a batch
on its way (``batch_files.py``), formats, and emptying the raw bucket (``raw_removals.py``).

An object that turned out readable is copied before the batch is decided, complete or absent, and
noted in ``music.archived_object`` in the transaction that decides. What is noted there is read
from its copy from then on, so that a replay needs nothing of the raw bucket. A copy without a note
is a killed run's: it is written again with the same content, or read when the original is gone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from assets.music.bronze.copies import Copy, KnownCopies, copy_key
from assets.sinks.objects import Content, digest_of, fetch, write
from landing.arrival.identity import ObjectVersion
from landing.batch.failures import PermanentError
from landing.stores.base import ObjectNotCurrent

if TYPE_CHECKING:
    from landing.stores.minio import MinioStore


class CopyLost(PermanentError):
    """A copy is missing or is not what was archived, and the original is gone."""


@dataclass(frozen=True, slots=True)
class Held:
    """The content of ``version`` on this machine. ``kept`` says that the archive has it."""

    version: ObjectVersion
    content: Content
    kept: bool


class Archive:
    """The raw bucket behind its copies in the processed bucket."""

    def __init__(self, raw: MinioStore, processed: MinioStore, copies: KnownCopies) -> None:
        self._raw = raw
        self._processed = processed
        self._copies = copies

    @contextmanager
    def open(self, version: ObjectVersion) -> Iterator[BinaryIO]:
        """The content of a raw object's version, from its copy if there is one; seekable.

        Raises ObjectNotCurrent when there is no copy and the raw bucket does not hold the version,
        CopyLost when the copy is not what was archived.
        """
        held = self.fetch(version, self.copies([version]).get(version))
        try:
            with held.content.open() as stream:
                yield stream
        finally:
            held.content.release()

    def fetch(self, version: ObjectVersion, copy: Copy | None) -> Held:
        """The version's content. ``copy`` is what was archived of it. Raises as :meth:`open`."""
        if copy is not None:
            return self._fetch_copy(version, copy) or self._fetch_raw_instead(version, copy)
        try:
            return Held(version, fetch(self._raw, version), kept=False)
        except ObjectNotCurrent:
            # A killed run may have read it in time.
            key = copy_key(version)
            digest = digest_of(self._processed, key)
            held = self._fetch_copy(version, Copy(key, digest or ""))
            if held is None:
                raise
            return held

    def keep(self, held: Held) -> None:
        """Write the copy, complete or absent, and let go of the content."""
        try:
            write(self._processed, self.copy_of(held).key, held.content)
        finally:
            held.content.release()

    def copy_of(self, held: Held) -> Copy:
        """The copy that is there, or is to be written, of this content."""
        return Copy(copy_key(held.version), held.content.sha256)

    def copies(self, versions: Sequence[ObjectVersion]) -> Mapping[ObjectVersion, Copy]:
        """What was archived of these versions."""
        return self._copies(versions)

    def _fetch_copy(self, version: ObjectVersion, copy: Copy) -> Held | None:
        stored = self._processed.stat(copy.key)
        if stored is None:
            return None
        content = fetch(self._processed, stored)
        if content.sha256 != copy.sha256:
            content.release()
            return None
        return Held(version, content, kept=True)

    def _fetch_raw_instead(self, version: ObjectVersion, copy: Copy) -> Held:
        try:
            return Held(version, fetch(self._raw, version), kept=False)
        except ObjectNotCurrent as error:
            raise CopyLost(
                f"s3://{self._processed.bucket}/{copy.key}, the copy of {version.uri}, is missing "
                "or damaged and the original is gone: restore it, or upload the file again"
            ) from error
