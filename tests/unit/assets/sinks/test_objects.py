"""Objects are what was written, in memory and on disk, and say so without being read."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from assets.sinks.objects import MEMORY_BYTES, digest_of, fetch, write
from landing.stores.base import ObjectNotCurrent
from tests.memory_store import MemoryStore


class Bucket(MemoryStore):
    """A memory store that keeps metadata, as MinioStore does."""

    def upload(self, key, stream, *, size, metadata):
        data = stream.read()
        assert size == len(data)
        self.put(key, data)
        self.kept = {**getattr(self, "kept", {}), key: metadata}

    def metadata(self, key):
        return self.kept.get(key, {}) if key in self.objects else None


@pytest.mark.parametrize("size", [0, 1, MEMORY_BYTES, MEMORY_BYTES + 1, 3 * MEMORY_BYTES])
def test_what_is_fetched_can_be_written_again(size):
    source = Bucket("raw", "minio")
    target: Any = Bucket("processed", "minio")
    data = (bytes(range(251)) * (size // 251 + 1))[:size]
    content = fetch(source, source.put("a", data))
    assert (content.size, content.sha256) == (size, hashlib.sha256(data).hexdigest())
    assert (content.data is None) == (size > MEMORY_BYTES)
    for _ in range(2):
        with content.open() as stream:
            assert stream.read() == data
    write(target, "b", content)
    content.release()
    assert target.get("b") == data
    assert digest_of(target, "b") == hashlib.sha256(data).hexdigest()


def test_objects_of_others_and_none():
    bucket: Any = Bucket("processed", "minio")
    bucket.kept = {}
    bucket.put("foreign", b"x")
    assert digest_of(bucket, "foreign") == ""
    assert digest_of(bucket, "nothing") is None


def test_a_version_that_is_gone_is_not_fetched():
    bucket = Bucket("raw", "minio")
    version = bucket.put("a", b"one")
    bucket.delete("a")
    with pytest.raises(ObjectNotCurrent):
        fetch(bucket, version)
