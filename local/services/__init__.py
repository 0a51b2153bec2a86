"""The servers of the stack, one module each; `SERVICES` is the registry.

A further server is a module with one `Service` and a line here.
"""

from __future__ import annotations

from local.service import Service
from local.services import (
    bigquery,
    bolt,
    gcs,
    milvus,
    mongo,
    music_services,
    openai,
    postgres,
    pubsub,
    s3,
    typesense,
)

SERVICES: dict[str, Service] = {
    service.name: service
    for service in (
        postgres.SERVICE,
        gcs.SERVICE,
        s3.SERVICE,
        bigquery.SERVICE,
        pubsub.SERVICE,
        mongo.SERVICE,
        bolt.SERVICE,
        milvus.SERVICE,
        openai.SERVICE,
        typesense.SERVICE,
        music_services.SERVICE,
    )
}
