"""MERGEs as far apart as what BigQuery has billed allows, by its own words over HTTP."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest

from assets.reading.pacing import BY_LOAD
from tests.http_proxy import HttpProxy
from tests.reading_stream import (
    LIMITS,
    Systems,
    balanced,
    made_events,
    payload,
    session,
    wait_until,
)

pytestmark = pytest.mark.servers("postgres", "bigquery", "pubsub")

LOTS = 3


@pytest.mark.parametrize(
    ("billed", "merges"), [(10**9, 2), (0, LOTS)], ids=["a gigabyte", "nothing"]
)
def test_the_next_merge_waits_for_what_the_last_was_billed(
    env: Mapping[str, str], billed: int, merges: int
) -> None:
    """Of three lots the first is merged at once, and the others together where it cost too much.

    The session's end cuts the minute short that they would wait.
    """

    def says(answer: bytes) -> bytes:
        if b'"statementType":"MERGE"' not in answer.replace(b": ", b":"):
            return answer
        told = json.loads(answer)
        told["statistics"]["query"]["totalBytesBilled"] = str(billed)
        return json.dumps(told).encode()

    direct = Systems.of(env)
    lots = [made_events(30, mark=mark) for mark in range(1, LOTS + 1)]
    topic = direct.reading.interaction_topic
    seen = "SELECT coalesce(sum(received), 0)::int FROM reading.session_stream"
    written = "SELECT coalesce(sum(accepted), 0)::int FROM reading.session_stream"
    with HttpProxy(direct.bigquery.api_endpoint, says) as proxy:
        bigquery = direct.bigquery.model_copy(update={"api_endpoint": proxy.address})
        limits = replace(LIMITS, merge_milliseconds=BY_LOAD)
        with session(replace(direct, bigquery=bigquery), limits=limits) as one:
            for number, lot in enumerate(lots, start=1):
                direct.publish(topic, map(payload, lot))
                look = seen if billed and number > 1 else written
                wait_until(lambda: one.errors or direct.rows(look) == [(30 * number,)])  # noqa: B023
            report = one.end(timeout=30)
    assert sum(stream.micro_batches for stream in report.streams) == merges
    assert direct.events() == sorted(event for lot in lots for event in lot)
    assert balanced(report)
