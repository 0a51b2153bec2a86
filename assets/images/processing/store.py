"""Objects of an S3 store for the workers: whole, small, many a second.

Imported lazily: needs obstore.

Belongs here: one client, and what its errors mean to an item and to a task. Does not: listings,
notifications and requests, which stay with minio's client (``landing``).
"""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import urlsplit

import obstore  # noqa: TID253
from obstore.exceptions import (  # noqa: TID253
    BaseError,
    InvalidPathError,
    PermissionDeniedError,
    UnauthenticatedError,
)
from obstore.store import S3Store  # noqa: TID253

from assets.images.processing.decoding import ImageRefused, printable
from resources.minio_client import CONNECT_TIMEOUT, Access

_REQUEST_SECONDS = 20.0
#: A gateway signs for any region but an empty one.
_REGION = "us-east-1"


class ObjectMissing(Exception):
    """No object has this key; the message says it for people."""


class StoreFailed(Exception):
    """The store gives no answer, or one that is no item's fault.

    ``lasting`` when another attempt won't help: credentials, rights, a bucket that is not there.
    """

    def __init__(self, detail: str, *, lasting: bool) -> None:
        super().__init__(printable(detail))
        self.lasting = lasting


class ObjectStore:
    """One bucket, for any number of threads. Attempts end ``patience`` seconds after the first."""

    def __init__(self, access: Access, bucket: str, *, patience: float) -> None:
        self._bucket = bucket
        self._store = S3Store(
            bucket,
            # By this name, since a variable of the same, which is another store's, goes before
            # an ``endpoint``.
            aws_endpoint_url_s3=access.endpoint,
            access_key_id=access.access_key,
            secret_access_key=access.secret_key,
            region=_REGION,
            virtual_hosted_style_request=False,
            # Its hash costs more than the request; TLS or the loopback guards the bytes.
            unsigned_payload=True,
            client_options={
                "allow_http": urlsplit(access.endpoint).scheme == "http",
                "connect_timeout": timedelta(seconds=CONNECT_TIMEOUT),
                "timeout": timedelta(seconds=_REQUEST_SECONDS),
            },
            retry_config={
                "max_retries": 1000,
                "retry_timeout": timedelta(seconds=patience),
                "backoff": {
                    "init_backoff": timedelta(milliseconds=100),
                    "max_backoff": timedelta(seconds=2),
                    "base": 2,
                },
            },
        )

    def get(self, key: str, most_bytes: int) -> bytes:
        """Raises ObjectMissing, decoding.ImageRefused for more than ``most_bytes``, StoreFailed."""
        if not key.strip("/"):
            # The client would list the bucket.
            raise ObjectMissing(printable(f"no key that can be read: {key!r}"))
        try:
            found = obstore.get(self._store, key)
            if found.meta["size"] > most_bytes:
                size = found.meta["size"]
                raise ImageRefused("too_large", f"{size:,} bytes, {most_bytes:,} at most")
            return found.bytes().to_bytes()
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error):
                raise self._failed("reading", error, lasting=True) from error
            raise ObjectMissing("no such object") from error
        except (InvalidPathError, ValueError) as error:
            raise ObjectMissing(printable(f"no key that can be read: {key!r}")) from error
        except (BaseError, OSError) as error:
            raise self._failed("reading", error) from error

    def put(self, key: str, data: bytes, content_type: str) -> None:
        """Write the whole object. Raises StoreFailed."""
        attributes = {"Content-Type": content_type}
        try:
            obstore.put(self._store, key, data, attributes=attributes, use_multipart=False)
        except FileNotFoundError as error:
            raise self._failed("writing", error, lasting=True) from error
        except (BaseError, OSError, ValueError) as error:
            raise self._failed("writing", error) from error

    def _failed(self, doing: str, error: Exception, *, lasting: bool | None = None) -> StoreFailed:
        refused = isinstance(error, (PermissionDeniedError, UnauthenticatedError, ValueError))
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        detail = f"{doing} in bucket {self._bucket}: {said}"
        return StoreFailed(detail, lasting=refused if lasting is None else lasting)
