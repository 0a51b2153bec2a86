"""MinIO's bucket notifications, as a stream of keys.

Belongs here: MinIO's events. Does not: what becomes of the keys (``landing/arrival/events.py``).

Format of an event: https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html,
one JSON document per line of a response that does not end, with blanks in between as a sign of
life. There, keys are URL-encoded with blanks as ``+``; MinIO does so for its targets, and gives
listeners the plain key.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

if TYPE_CHECKING:
    from minio import Minio

CREATED = ("s3:ObjectCreated:*",)


def created_keys(client: Minio, bucket: str, prefix: str) -> Iterator[str]:
    """Keys under ``prefix`` as objects are written, for as long as the subscription stands.

    Raises S3Error when the server refuses it and urllib3's errors when the connection breaks, which
    it does too when the server has been silent for the client's read timeout.
    """
    with client.listen_bucket_notification(bucket, prefix=prefix, events=CREATED) as events:
        for event in events:
            yield from keys_of(event)


def keys_of(event: dict[str, Any]) -> list[str]:
    """The keys that an event names; none when it is not an event as documented.

    A key that would read otherwise decoded is given both ways: nothing tells which one it is, and
    to look for one that is not there costs a request.
    """
    keys: list[str] = []
    for record in event.get("Records") or []:
        key = record.get("s3", {}).get("object", {}).get("key")
        if isinstance(key, str) and key:
            keys += dict.fromkeys((key, unquote_plus(key)))
    return keys
