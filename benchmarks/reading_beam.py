"""apache-beam's DirectRunner on the same topic and table, for ``benchmarks.reading``.

    python reading_beam.py SUBSCRIPTION TABLE COUNT

SUBSCRIPTION is a full name, TABLE dataset.table with the columns of the raw table;
PUBSUB_EMULATOR_HOST, BIGQUERY_API_ENDPOINT and GOOGLE_CLOUD_PROJECT say where they are. Prints the
seconds from the start of the pipeline until COUNT messages were taken and every valid one was
inserted. Runs in an environment of its own and imports nothing of the repository.

Rows go through BigQuery's insertAll by Google's client: Beam's own sink knows no other endpoint
than Google's. Nothing is merged, made unique or dead-lettered.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from datetime import UTC, datetime
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

#: Rows of one request: what Google recommends for insertAll.
ROWS = 500
#: Seconds of the pipeline's clock after which a batch that is not full is inserted.
WAIT = 0.2


#: Messages taken so far, by all of the runner's copies of the DoFn.
taken = itertools.count(1)


class Insert(beam.DoFn):
    """Batches of messages into the table; ends the process once ``count`` messages were there."""

    def __init__(self, table: str, count: int, began: float) -> None:
        self.table, self.count, self.began = table, count, began

    def setup(self) -> None:
        """One client per worker."""
        self.client = bigquery.Client(
            project=os.environ["GOOGLE_CLOUD_PROJECT"],
            credentials=AnonymousCredentials(),
            client_options=ClientOptions(api_endpoint=os.environ["BIGQUERY_API_ENDPOINT"]),
        )

    def process(self, batch: list[Any]) -> None:
        """Insert the valid ones of a batch."""
        rows = [row for message in batch if (row := _row(message))]
        errors = self.client.insert_rows_json(self.table, rows) if rows else []
        if errors:
            raise RuntimeError(f"{errors[:3]}")
        if max(next(taken) for _ in batch) >= self.count:
            print(json.dumps(time.monotonic() - self.began), flush=True)
            os._exit(0)  # a streaming pipeline does not end by itself


def _row(message: Any) -> dict[str, Any] | None:
    event = json.loads(message.data)
    if "updated_at" not in event:
        return None
    now = datetime.now(UTC).isoformat()
    return {
        "message_id": message.message_id,
        "publish_time": message.publish_time.isoformat(),
        **{name: event[name] for name in ("user_id", "content_id", "read_percent", "updated_at")},
        "session_id": "beam",
        "micro_batch": "beam",
        "appended_at": now,
    }


def main() -> None:
    """Run until the messages are in the table."""
    subscription, table, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    options = PipelineOptions([], runner="DirectRunner", streaming=True, direct_num_workers=1)
    began = time.monotonic()
    with beam.Pipeline(options=options) as pipeline:
        messages = pipeline | beam.io.ReadFromPubSub(
            subscription=subscription, with_attributes=True
        )
        batches = messages | beam.BatchElements(
            min_batch_size=1, max_batch_size=ROWS, target_batch_duration_secs=WAIT
        )
        _ = batches | beam.ParDo(Insert(table, count, began))


if __name__ == "__main__":
    main()
