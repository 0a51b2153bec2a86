"""Objects that are written part by part, against a server that knows If-None-Match (moto)."""

from __future__ import annotations

import uuid

import pytest

from landing.stores.minio import MinioStore
from landing.stores.minio_parts import (
    PART_BYTES,
    AbortedError,
    MinioParts,
    ObjectExistsError,
)
from tests.integration.landing.test_stores_conformance import minio_client

PART = bytes(range(256)) * (PART_BYTES // 256)


@pytest.fixture
def store(moto_url):
    client = minio_client(moto_url)
    bucket = f"parts-{uuid.uuid4().hex}"
    client.make_bucket(bucket)
    return MinioStore(client, bucket)


def unfinished(store):
    listed = store._client._list_multipart_uploads(store.bucket)
    return [one.object_name for one in listed.uploads]


@pytest.mark.parametrize("parts", [0, 1, 2])
def test_an_object_is_seen_when_it_is_whole_and_replaces_none_unless_it_may(store, parts):
    for said, only_new in ((b"one", True), (b"two", True), (b"three", False)):
        writer = MinioParts(store._client, store.bucket, "a/ä+b.h5", only_new=only_new)
        for _ in range(parts):
            writer.write(PART)
        before = store.stat("a/ä+b.h5")
        if said == b"two":
            with pytest.raises(ObjectExistsError):
                writer.finish(said)
            assert store.stat("a/ä+b.h5") == before
            writer.abort()
        else:
            writer.finish(said)
            writer.abort()  # of a whole one nothing is taken away
            assert store.get("a/ä+b.h5") == PART * parts + said
        assert not unfinished(store)


def test_of_one_that_is_given_up_nothing_is_left_and_nothing_is_written_any_more(store):
    writer = MinioParts(store._client, store.bucket, "a.h5", only_new=True)
    writer.write(PART)
    assert unfinished(store) == ["a.h5"]
    writer.abort()
    for write in (writer.write, writer.finish):
        with pytest.raises(AbortedError):
            write(PART)
    assert not unfinished(store)
    assert store.stat("a.h5") is None
