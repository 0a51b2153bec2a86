"""Pages of S3's listing that hold nothing and are not the last; no server makes them on demand."""

from datetime import UTC, datetime

from botocore.stub import Stubber

from landing.stores.s3 import S3Store
from resources.s3 import S3Resource


def test_an_empty_page_that_is_truncated_is_not_the_end(monkeypatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "k")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    client = S3Resource(endpoint="http://127.0.0.1:1", region="us-east-1").client()
    item = {
        "Key": "updates/2025-03/done",
        "ETag": '"e"',
        "Size": 0,
        "LastModified": datetime(2025, 4, 1, tzinfo=UTC),
    }
    asked = {"Bucket": "b", "Prefix": "updates/", "MaxKeys": 10}
    with Stubber(client) as stub:
        stub.add_response("get_bucket_versioning", {}, {"Bucket": "b"})
        stub.add_response(
            "list_objects_v2",
            {"IsTruncated": True, "NextContinuationToken": "more"},
            {**asked, "StartAfter": "updates/2025-02"},
        )
        stub.add_response(
            "list_objects_v2",
            {"IsTruncated": False, "Contents": [item]},
            {**asked, "ContinuationToken": "more"},
        )
        page = S3Store(client, "b").list_page("updates/", "updates/2025-02", 10)
        stub.assert_no_pending_responses()
    assert [version.key for version in page.objects] == ["updates/2025-03/done"]
    assert page.last_key is None
