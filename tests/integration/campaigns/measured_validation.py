"""A validation that prints the most memory its process ever had: run by test_events_memory."""

from __future__ import annotations

import logging
import os
import resource
import sys

from assets.campaigns import events
from landing.batch.validation import validate
from resources.postgres import PostgresResource
from tests.integration.campaigns.killed_validation import gcs


def main(batch_id: str) -> None:
    validate(
        PostgresResource(url=os.environ["POSTGRES_URL"]),
        gcs(os.environ["CAMPAIGNS_BUCKET"]),
        gcs(os.environ["QUARANTINE_BUCKET"]),
        events.rules(),
        batch_id=batch_id,
        run_id="measured",
        log=logging.getLogger(),
    )
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    main(*sys.argv[1:])
