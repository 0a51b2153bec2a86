"""A validation that kills itself (SIGKILL) at a named point: run by test_events_killed."""

from __future__ import annotations

import logging
import os
import signal
from typing import Any

from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from assets.campaigns import events
from landing.batch import quarantine, staging, statuses, winners
from landing.batch.validation import validate
from landing.stores.gcs import GcsStore
from resources.postgres import PostgresResource

#: Where: the function that is never entered.
POINTS = {
    "decided": (statuses, "count_statuses"),
    "staging": (staging.StagingWriter, "finish"),
    "staged": (quarantine.QuarantineWriter, "put"),
    "quarantined": (winners, "apply"),
    "applied": (quarantine, "save"),
}


def gcs(bucket: str) -> GcsStore:
    client = storage.Client(project="test", credentials=AnonymousCredentials())
    return GcsStore(client, bucket)


def main(batch_id: str, point: str) -> None:
    def die(*_args: Any, **_kwargs: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    owner, name = POINTS[point]
    setattr(owner, name, die)
    validate(
        PostgresResource(url=os.environ["POSTGRES_URL"]),
        gcs(os.environ["CAMPAIGNS_BUCKET"]),
        gcs(os.environ["QUARANTINE_BUCKET"]),
        events.rules(),
        batch_id=batch_id,
        run_id="killed",
        log=logging.getLogger(),
    )
