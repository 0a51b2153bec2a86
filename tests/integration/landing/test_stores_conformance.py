"""Every store adapter against a server that speaks its protocol: the same rules for all.

GCS: the stack's fake-gcs-server. S3 and MinIO clients: moto, with and without versioning.
"""

from __future__ import annotations

import io
import uuid
from typing import Any

import pytest

from landing.arrival.identity import ObjectVersion
from landing.stores.base import ObjectGone, ObjectStore, ObjectSuperseded
from landing.stores.gcs import GcsStore
from landing.stores.minio import MinioStore
from landing.stores.s3 import S3Store

KEYS = [
    "in/a.csv", "in/b.csv", "in/b/c.csv", "in/A.csv", "in/é.csv", "in/e\u0301.csv",
    "in/日本 語.csv", "in/\U0001f600.csv", "in/\uffee.csv", "in/+ %2F&?=#.csv", "in/~.csv",
    "in/'\"<>.csv", "in/\x7f.csv",
]  # fmt: skip


def s3_client(url: str) -> Any:
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=url,
        aws_access_key_id="test",
        aws_secret_access_key="test",  # pragma: allowlist secret
        region_name="us-east-1",
        config=Config(connect_timeout=5, read_timeout=10, retries={"max_attempts": 2}),
    )


def minio_client(url: str) -> Any:
    from minio import Minio

    return Minio(
        endpoint=url.removeprefix("http://"),
        access_key="test",
        secret_key="test",  # pragma: allowlist secret
        secure=False,
        region="us-east-1",
    )


@pytest.fixture(params=["gcs", "s3", "s3 versioned", "minio", "minio versioned"])
def store(request: pytest.FixtureRequest) -> ObjectStore:
    kind, _, versioned = request.param.partition(" ")
    bucket = f"inbox-{uuid.uuid4().hex[:8]}"
    if kind == "gcs":
        from google.cloud import storage

        request.getfixturevalue("env")
        client = storage.Client()
        client.create_bucket(bucket)
        return GcsStore(client, bucket)
    url = request.getfixturevalue("moto_url")
    s3 = s3_client(url)
    s3.create_bucket(Bucket=bucket)
    if versioned:
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    return S3Store(s3, bucket) if kind == "s3" else MinioStore(minio_client(url), bucket)


pytestmark = pytest.mark.servers("gcs")


def listing(store: ObjectStore, limit: int, prefix: str = "in/") -> list[ObjectVersion]:
    found: list[ObjectVersion] = []
    after: str | None = None
    token: str | None = None
    for _ in range(500):
        page = store.list_page(prefix, after, limit, token)
        assert len(page.objects) <= limit
        found += page.objects
        if page.is_last:
            return found
        if page.last_key is not None:
            assert after is None or page.last_key.encode() > after.encode(), "it does not get on"
        else:
            assert page.token != token, "it does not get on"
        after, token = page.last_key or after, page.token
    raise AssertionError("the listing never ended")


def read(store: ObjectStore, version: ObjectVersion, size: int = -1) -> bytes:
    with store.open(version) as stream:
        return stream.read(size)


def test_an_empty_bucket(store: ObjectStore) -> None:
    assert listing(store, 10) == []


@pytest.mark.parametrize("limit", [1, 3, 1000])
def test_pages_hold_every_key_once_in_byte_order(store: ObjectStore, limit: int) -> None:
    written = {key: store.put(key, key.encode()) for key in KEYS}
    store.put("other/x.csv", b"x")
    found = listing(store, limit)
    assert [version.key for version in found] == sorted(KEYS, key=str.encode)
    assert {version.key: version for version in found} == written


def test_after_is_exclusive_and_need_not_exist(store: ObjectStore) -> None:
    for key in ("in/a", "in/c", "in/e"):
        store.put(key, b"x")
    assert [v.key for v in store.list_page("in/", "in/a", 10).objects] == ["in/c", "in/e"]
    assert store.list_page("in/", "in/e", 10).objects == []
    # Moto's listing of versions skips the first key after a marker that is not there.
    if not getattr(store, "_keeps_versions", False):
        assert [v.key for v in store.list_page("in/", "in/b", 10).objects] == ["in/c", "in/e"]


def test_a_rewritten_object_is_another_version(store: ObjectStore) -> None:
    first = store.put("in/a.csv", b"first")
    second = store.put("in/a.csv", b"second!")
    assert first.version != second.version
    assert listing(store, 10) == [second]
    assert store.stat("in/a.csv") == second
    assert read(store, second) == b"second!"
    with pytest.raises(ObjectSuperseded):
        read(store, first)


def test_a_deleted_object_is_gone(store: ObjectStore) -> None:
    version = store.put("in/a.csv", b"content")
    store.delete("in/a.csv")
    store.delete("in/a.csv")
    assert listing(store, 10) == []
    assert store.stat("in/a.csv") is None
    with pytest.raises(ObjectGone):
        read(store, version)
    with pytest.raises(KeyError):
        store.get("in/a.csv")


def test_a_recreated_object_is_read_again(store: ObjectStore) -> None:
    first = store.put("in/a.csv", b"one")
    store.delete("in/a.csv")
    second = store.put("in/a.csv", b"other")
    with pytest.raises(ObjectSuperseded):
        read(store, first)
    assert read(store, second) == b"other"


def test_many_old_versions_do_not_hide_other_keys(store: ObjectStore) -> None:
    for number in range(7):
        store.put("in/b.csv", b"x" * (number + 1))
    store.put("in/deleted.csv", b"x")
    store.delete("in/deleted.csv")
    store.put("in/c.csv", b"x")
    found = [(version.key, version.size) for version in listing(store, 2)]
    assert found == [("in/b.csv", 7), ("in/c.csv", 1)]


def test_large_objects_are_read_in_pieces(store: ObjectStore) -> None:
    content = bytes(range(256)) * (21 * 4096)
    version = store.put("in/large.bin", io.BytesIO(content))
    assert version.size == len(content) == 22_020_096
    with store.open(version) as stream:
        assert stream.read(3) == content[:3]
        assert stream.read(9_000_000) == content[3:9_000_003]
        assert stream.read() == content[9_000_003:]
        assert stream.read(1) == b""
    assert store.get("in/large.bin") == content


def test_a_version_replaced_while_it_is_read_is_never_mixed(store: ObjectStore) -> None:
    old, new = b"o" * 20_000_000, b"n" * 20_000_000
    version = store.put("in/large.bin", old)
    with store.open(version) as stream:
        got = stream.read(1000)
        store.put("in/large.bin", new)
        try:
            got += stream.read()
        except ObjectSuperseded:
            return
    # A store that keeps old versions may go on serving the one that was opened.
    assert got == old


def test_empty_objects(store: ObjectStore) -> None:
    version = store.put("in/empty.csv", b"")
    assert version.size == 0
    assert listing(store, 10) == [version]
    assert read(store, version) == b""
    store.delete("in/empty.csv")
    with pytest.raises(ObjectGone):
        read(store, version)


def test_content_type_and_metadata_are_taken(store: ObjectStore) -> None:
    version = store.put("in/a", b"x", content_type="text/csv", metadata={"sha256": "0a"})
    assert read(store, version) == b"x"


def test_a_missing_bucket_is_an_error_never_an_empty_one(store: ObjectStore) -> None:
    client = store._client  # type: ignore[attr-defined]
    missing = type(store)(client, f"missing-{uuid.uuid4().hex[:8]}")  # type: ignore[call-arg]
    version = ObjectVersion(
        store.kind, missing.bucket, "in/a", "1", 1, store.put("in/a", b"x").modified_at
    )
    for attempt in (
        lambda: missing.list_page("in/", None, 10),
        lambda: missing.stat("in/a"),
        lambda: read(missing, version),
    ):
        with pytest.raises(Exception, match=r"(?i)bucket|not found|404") as caught:
            attempt()
        assert not isinstance(caught.value, ObjectGone | ObjectSuperseded | KeyError)


@pytest.mark.parametrize("make", [(s3_client, S3Store), (minio_client, MinioStore)])
def test_nothing_is_another_version_for_versioning_being_switched(moto_url: str, make: Any) -> None:
    connect, adapter = make
    bucket = f"inbox-{uuid.uuid4().hex[:8]}"
    s3 = s3_client(moto_url)
    s3.create_bucket(Bucket=bucket)

    def switched(status: str) -> ObjectStore:
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": status})
        store: ObjectStore = adapter(connect(moto_url), bucket)
        return store

    def seen(store: ObjectStore) -> dict[str, str]:
        return {version.key: version.version for version in listing(store, 2)}

    store: ObjectStore = adapter(connect(moto_url), bucket)
    store.put("in/before", b"1")
    before = seen(store)
    store = switched("Enabled")
    assert seen(store) == before, "enabling reads nothing again"
    store.put("in/kept", b"2")
    store.put("in/kept", b"3")
    kept = seen(store)
    store = switched("Suspended")
    assert seen(store) == kept, "nor does suspending"
    written = store.put("in/after", b"4")
    assert written.told_by_second, "a version without an id of its own"
    assert seen(store) == {**kept, "in/after": written.version}
    assert store.stat("in/after") == written
    for version in listing(store, 10):
        assert store.stat(version.key) == version, "a listing and a look agree"
        assert len(read(store, version)) == 1
    again = store.put("in/after", b"five")
    assert again.version != written.version, "told apart by etag, size and second"
    with pytest.raises(ObjectSuperseded), store.open(written) as stream:
        stream.read()
    suspended = seen(store)
    store.delete("in/kept")
    assert seen(store) == {key: one for key, one in suspended.items() if key != "in/kept"}
    assert seen(switched("Enabled")) == seen(store)
