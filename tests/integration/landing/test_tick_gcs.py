"""The campaigns source on a real GCS protocol and the real ledger."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from assets.campaigns.pipeline import CAMPAIGNS
from landing.arrival.tick import Tick, evaluate_tick
from landing.stores.gcs import GcsStore
from tests.unit.landing.arrival_machine import ModelRuns


@pytest.mark.servers("postgres", "gcs")
def test_campaign_files_arrive(connection: psycopg.Connection[Any], env: dict[str, str]) -> None:
    from google.cloud import storage

    store = GcsStore(storage.Client(), env["CAMPAIGNS_BUCKET"])
    source = CAMPAIGNS.source(store.bucket, "campaigns/")

    def tick(cursor: str | None) -> Tick:
        return evaluate_tick(
            source,
            store,
            connection,
            cursor,
            now=lambda: datetime.now(UTC),
            deadline=time.monotonic() + 20,
            clock=time.monotonic,
            runs=ModelRuns(),
        )

    empty = tick(None)
    assert (empty.scan.listed, empty.requests) == (0, ())

    first = store.put("campaigns/2026/é vents.CSV", b"one")
    store.put("campaigns/notes.txt", b"x")
    store.put("campaigns/empty.csv", b"")
    store.put("staging/campaigns/part.csv", b"x")
    arrived = tick(empty.cursor)
    (request,) = arrived.requests
    assert (request.objects, request.bytes, request.sinks) == (1, 3, tuple(sorted(CAMPAIGNS.sinks)))
    assert arrived.scan.ignored == {"pattern": 1, "empty": 1}

    second = store.put("campaigns/2026/é vents.CSV", b"one")
    rewritten = tick(arrived.cursor)
    assert rewritten.scan.new == 1, "the same content written again is another version"
    rows = connection.execute(
        "SELECT version, batch_id FROM landing.object_version ORDER BY seq"
    ).fetchall()
    assert rows == [(first.version, request.batch_id), (second.version, None)]
    # It waits for company while the first batch is in flight.
    assert [each.run_key for each in rewritten.requests] == [request.run_key]
