"""Listings whose pages are empty and yet not the last, as each store answers them.

Keys a; then a truncated page without keys; then b and c. AWS, GCS and MinIO do so, after many
deleted keys; no server makes such pages on demand, hence their answers' shapes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.sax.saxutils import escape

import boto3
import pytest
import urllib3
from botocore.stub import Stubber
from google.auth.credentials import AnonymousCredentials

from landing.arrival.cursor import Cursor
from landing.arrival.scan import Position, scan
from landing.arrival.source import Source
from landing.stores.base import ObjectStore, Page
from landing.stores.gcs import GcsStore
from landing.stores.listing import pages
from landing.stores.minio import MinioStore
from landing.stores.s3 import S3Store
from resources.s3 import S3Resource
from tests.unit.landing.bucket_model import BucketModel, Clock

AT = datetime(2025, 4, 1, tzinfo=UTC)
ISO = "2025-04-01T00:00:00.000Z"
Make = Callable[[], ObjectStore]


def s3_item(key: str, version: str | None = None) -> dict[str, Any]:
    item = {"Key": key, "ETag": '"e"', "Size": 1, "LastModified": AT}
    return item | ({"VersionId": version, "IsLatest": True} if version else {})


def s3(monkeypatch: pytest.MonkeyPatch, *, versions: bool) -> ObjectStore:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "k")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    # It keeps the keys that it read first: those are not for the tests behind.
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    client = S3Resource(endpoint="http://127.0.0.1:1", region="us-east-1").client()
    stub = Stubber(client)
    stub.add_response(
        "get_bucket_versioning", {"Status": "Enabled"} if versions else {}, {"Bucket": "b"}
    )
    asked = {"Bucket": "b", "Prefix": "", "MaxKeys": 10}
    if versions:
        for marker, answer in (
            ({}, {"IsTruncated": True, "Versions": [s3_item("a", "1")], "NextKeyMarker": "a",
                  "NextVersionIdMarker": "1"}),
            ({"KeyMarker": "a"}, {"IsTruncated": True, "NextKeyMarker": "a",
                                  "NextVersionIdMarker": "0"}),
            ({"KeyMarker": "a", "VersionIdMarker": "0"},
             {"IsTruncated": False, "Versions": [s3_item("b", "2"), s3_item("c", "3")]}),
        ):  # fmt: skip
            stub.add_response("list_object_versions", answer, {**asked, **marker})
    else:
        for place, answer in (
            ({}, {"IsTruncated": True, "Contents": [s3_item("a")], "NextContinuationToken": "1"}),
            ({"StartAfter": "a"}, {"IsTruncated": True, "NextContinuationToken": "2"}),
            ({"ContinuationToken": "2"},
             {"IsTruncated": False, "Contents": [s3_item("b"), s3_item("c")]}),
        ):  # fmt: skip
            stub.add_response("list_objects_v2", answer, {**asked, **place})
    stub.activate()
    return S3Store(client, "b")


def listing_xml(kind: str, entries: str, **fields: str) -> str:
    told = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in fields.items())
    namespace = "http://s3.amazonaws.com/doc/2006-03-01/"
    return f'<{kind} xmlns="{namespace}"><Name>b</Name>{told}{entries}</{kind}>'


def minio_entry(tag: str, key: str, version: str | None = None) -> str:
    told = f"<VersionId>{version}</VersionId><IsLatest>true</IsLatest>" if version else ""
    return (
        f'<{tag}><Key>{key}</Key>{told}<LastModified>{ISO}</LastModified><ETag>"e"</ETag>'
        f"<Size>1</Size></{tag}>"
    )


class Answers(urllib3.PoolManager):
    """In place of minio's HTTP client: answers by what a query says."""

    def __init__(self, answer: Callable[[dict[str, str]], str]) -> None:
        super().__init__()
        self._answer = answer

    def urlopen(self, *asked: Any, **_: Any) -> Any:
        from urllib.parse import parse_qsl, urlsplit

        query = dict(parse_qsl(urlsplit(asked[1]).query, keep_blank_values=True))
        body = self._answer(query).encode()
        return urllib3.HTTPResponse(body=body, status=200, headers={}, preload_content=True)


def minio(*, versions: bool) -> ObjectStore:
    from minio import Minio

    namespace = "http://s3.amazonaws.com/doc/2006-03-01/"

    def answer(query: dict[str, str]) -> str:
        if "versioning" in query:
            status = "<Status>Enabled</Status>" if versions else ""
            kind = "VersioningConfiguration"
            return f'<{kind} xmlns="{namespace}">{status}</{kind}>'
        assert query["max-keys"] == "10"
        return _versions(query) if versions else _objects(query)

    client = Minio(
        endpoint="host:1", access_key="k", secret_key="s",  # pragma: allowlist secret
        secure=False, region="us-east-1", http_client=Answers(answer),
    )  # fmt: skip
    return MinioStore(client, "bucket")


def _versions(query: dict[str, str]) -> str:
    kind, place = "ListVersionsResult", (query.get("key-marker"), query.get("version-id-marker"))
    more = {"IsTruncated": "true", "NextKeyMarker": "a"}
    if place == (None, None):
        entry = minio_entry("Version", "a", "1")
        return listing_xml(kind, entry, **more, NextVersionIdMarker="1")
    if place == ("a", None):
        return listing_xml(kind, "", **more, NextVersionIdMarker="0")
    assert place == ("a", "0")
    both = minio_entry("Version", "b", "2") + minio_entry("Version", "c", "3")
    return listing_xml(kind, both, IsTruncated="false")


def _objects(query: dict[str, str]) -> str:
    assert query["list-type"] == "2"
    kind = "ListBucketResult"
    if query.get("continuation-token") == "2":
        both = minio_entry("Contents", "b") + minio_entry("Contents", "c")
        return listing_xml(kind, both, IsTruncated="false")
    if query.get("start-after") == "a":
        return listing_xml(kind, "", IsTruncated="true", NextContinuationToken="2")
    entry = minio_entry("Contents", "a")
    return listing_xml(kind, entry, IsTruncated="true", NextContinuationToken="1")


def gcs(monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    from google.cloud import storage

    client = storage.Client(project="p", credentials=AnonymousCredentials())

    def item(key: str) -> dict[str, Any]:
        return {"name": key, "generation": "1", "size": "1", "timeCreated": ISO, "updated": ISO}

    def answer(**asked: Any) -> dict[str, Any]:
        query = asked["query_params"]
        if query.get("pageToken") == "2":
            return {"items": [item("b"), item("c")]}
        if query.get("startOffset") == "a":
            return {"nextPageToken": "2"}
        return {"items": [item("a")], "nextPageToken": "1"}

    monkeypatch.setattr(client._connection, "api_request", answer)
    return GcsStore(client, "b")


@pytest.fixture(params=["s3", "s3 versions", "minio", "minio versions", "gcs"])
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    kind, _, versions = request.param.partition(" ")
    if kind == "gcs":
        return gcs(monkeypatch)
    return (
        s3(monkeypatch, versions=bool(versions)) if kind == "s3" else minio(versions=bool(versions))
    )


def keys(page: Page) -> list[str]:
    return [version.key for version in page.objects]


def test_an_empty_page_that_is_not_the_last_is_gone_on_from(store: ObjectStore) -> None:
    first = store.list_page("", None, 10)
    assert (keys(first), first.last_key, first.is_last) == (["a"], "a", False)
    empty = store.list_page("", first.last_key, 10, first.token)
    assert (keys(empty), empty.last_key, empty.is_last) == ([], None, False), "one request"
    last = store.list_page("", first.last_key, 10, empty.token)
    assert (keys(last), last.is_last) == (["b", "c"], True)


def test_a_whole_listing_has_all_of_it(store: ObjectStore) -> None:
    assert [keys(page) for page in pages(store, "", limit=10)] == [["a"], [], ["b", "c"]]


SOURCE = Source(
    name="s", pipeline="p", store="gcs", bucket="inbox", prefix="", pattern=re.compile(".*"),
    sinks=("x",), page_size=10,
)  # fmt: skip


class Sparse(BucketModel):
    """A bucket with ``empty`` empty pages behind its first key; its tokens may expire."""

    empty = 3
    refused: frozenset[str] = frozenset()

    def list_page(
        self, prefix: str, after: str | None, limit: int, token: str | None = None
    ) -> Page:
        if token in self.refused:
            raise ValueError("The continuation token provided is incorrect")
        number = int(token or 0)
        if after is None:
            first = super().list_page(prefix, None, 1)
            return replace(first, last_key=first.objects[0].key)
        if number < self.empty:
            self.pages += 1
            return Page([], None, str(number + 1))
        return super().list_page(prefix, after, limit)


def sparse() -> Sparse:
    bucket = Sparse(Clock())
    for key in ("a", "b", "c"):
        bucket.put(key, b"x")
    bucket.clock.now += timedelta(minutes=1)
    return bucket


def ticks(bucket: Sparse, seconds: float) -> list[tuple[list[str], Position, bool]]:
    """Scans of one cycle, each until ``seconds`` are over; a page takes one."""
    position, seen = Position(), []
    for _ in range(20):
        found: list[str] = []
        start = bucket.pages

        def record(versions: Any, found: list[str] = found) -> int:
            found += [version.key for version in versions]
            return len(versions)

        result = scan(
            bucket, SOURCE, position, record,
            deadline=seconds, clock=lambda start=start: bucket.pages - start,  # type: ignore[misc]
            now=bucket.clock,
        )  # fmt: skip
        # As it is kept between ticks.
        position = Cursor.from_text(Cursor(position=result.position).to_text()).position
        seen.append((found, position, result.finished_cycle))
        if result.finished_cycle:
            return seen
    raise AssertionError("the cycle never ended")


def test_the_scan_goes_on_behind_empty_pages() -> None:
    ((found, position, done),) = ticks(sparse(), 100)
    assert (found, done) == (["a", "b", "c"], True)
    assert (position.after, position.token, position.cycle) == (None, None, 2)


def test_a_tick_ends_among_empty_pages_and_the_next_goes_on_there() -> None:
    seen = ticks(sparse(), 1)
    assert [found for found, _, _ in seen] == [["a"], [], [], [], ["b", "c"]]
    assert [(at.after, at.token) for _, at, _ in seen[:-1]] == [
        ("a", None), ("a", "1"), ("a", "2"), ("a", "3"),
    ]  # fmt: skip


def test_a_token_that_is_refused_is_dropped() -> None:
    bucket = sparse()
    bucket.refused = frozenset({"2"})
    # In the middle of a tick, and when it comes from an earlier one.
    bucket.empty = 2
    position = Position(after="a", token="2", cycle_started_at=bucket.clock.now)
    bucket.empty = 0
    found: list[str] = []

    def record(versions: Any) -> int:
        found.extend(version.key for version in versions)
        return len(versions)

    result = scan(bucket, SOURCE, position, record, deadline=100, clock=lambda: 0, now=bucket.clock)
    assert (found, result.finished_cycle) == (["b", "c"], True)
