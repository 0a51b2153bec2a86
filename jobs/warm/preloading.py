"""What a run imports, imported before it is there.

Belongs here: which modules, and that nothing else has begun with them. Does not: forking.

An import may create threads of native code (polars, BLAS, jemalloc), which do not live on in a
fork; those libraries make new ones there. A thread of Python, a connection or a gRPC channel would
be lost in it, or shared with it, so that none may exist.
"""

from __future__ import annotations

import gc
import importlib
import logging
import threading
import time

log = logging.getLogger(__name__)

#: What the steps of the pipelines import when they work. Not what draws: few runs do, and it is
#: a third of all.
LIBRARIES = (
    "boto3",
    "dagster_gcp.gcs",
    "google.cloud.bigquery",
    "google.cloud.bigquery_storage_v1",
    "google.cloud.pubsub_v1",
    "google.cloud.storage",
    "h5py",
    "httpx",
    "minio",
    "msgspec",
    "neo4j",
    "numpy",
    "obstore",
    "openai",
    "openai.resources.chat",
    "openai.resources.embeddings",
    "PIL.Image",
    "polars",
    "psycopg",
    "pyarrow.parquet",
    "pymongo",
    "stamina",
    "typesense",
)
#: What the code location leaves to the steps, of ours.
OF_STEPS = (
    "assets.domains.asking.batch_mode",
    "assets.images.tasks.failing",
    "assets.music.gold.replacement",
    "landing.batch.backing",
    "landing.batch.parquet",
    "landing.batch.validation",
)
#: What Dagster itself imports only when a run begins.
OF_DAGSTER = (
    "dagster._cli.api",
    "dagster._core.execution.api",
    "dagster._core.storage.local_compute_log_manager",
    "resources.dagster_storage",
)


def preload() -> None:
    """Import all of it, and the code location. Raises what an import of ours raises."""
    began = time.monotonic()
    import_libraries()
    for name in OF_STEPS:
        importlib.import_module(name)
    location = importlib.import_module("definitions").code_location()
    location.get_repository_def().get_all_jobs()
    gc.collect()
    gc.freeze()  # a child's collector need not touch, and so copy, what is here
    log.info("preloaded in %.1f s", time.monotonic() - began)


def import_libraries() -> None:
    """What is not ours. One that cannot be imported is left to the runs that want it."""
    for name in (*OF_DAGSTER, *LIBRARIES):
        try:
            importlib.import_module(name)
        except ImportError as error:
            log.warning("cannot preload %s: %s", name, error)
    from resources.milvus import sdk

    sdk()


def require_alone() -> None:
    """Raise RuntimeError when a thread of Python has begun, which no fork would have."""
    others = [one.name for one in threading.enumerate() if one is not threading.main_thread()]
    if others:
        raise RuntimeError(f"threads run before the fork: {', '.join(others)}")
