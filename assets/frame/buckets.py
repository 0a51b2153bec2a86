"""Buckets as steps open them: a client for the time of one step, behind landing's interface.

Belongs here: one context manager per kind of store. Does not: which bucket a pipeline uses.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from typing import TYPE_CHECKING

from resources.gcs import GcsResource
from resources.minio import MinioResource
from resources.s3 import S3Resource

if TYPE_CHECKING:
    from landing.stores.base import ObjectStore
    from landing.stores.minio import MinioStore

#: What leads to a store of buckets.
StoreResource = GcsResource | MinioResource | S3Resource


def opened(resource: StoreResource, name: str) -> AbstractContextManager[ObjectStore]:
    """The bucket of that name, for the time of the block."""
    if isinstance(resource, MinioResource):
        return minio_bucket(resource, name)
    if isinstance(resource, S3Resource):
        return s3_bucket(resource, name)
    return gcs_bucket(resource, name)


@contextmanager
def gcs_bucket(gcs: GcsResource, name: str) -> Iterator[ObjectStore]:
    """The bucket on GCS; its client is closed with the block."""
    from landing.stores.gcs import GcsStore

    with closing(gcs.client()) as client:
        yield GcsStore(client, name)


@contextmanager
def minio_bucket(minio: MinioResource, name: str) -> Iterator[MinioStore]:
    """The bucket on MinIO. The client's connections go with it."""
    from landing.stores.minio import MinioStore

    yield MinioStore(minio.client(), name)


@contextmanager
def s3_bucket(s3: S3Resource, name: str) -> Iterator[ObjectStore]:
    """The bucket on S3; its client is closed with the block."""
    from landing.stores.s3 import S3Store

    with closing(s3.client()) as client:
        yield S3Store(client, name)
