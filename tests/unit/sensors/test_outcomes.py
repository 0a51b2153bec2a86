"""What ended a run: told by its own sinks, else by its validation, else by Dagster."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from landing.arrival.ledger import Batch, SinkState
from sensors.outcomes import concerns, failure_of

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def batch(**changes):
    values: dict[str, Any] = {
        "batch_id": "b", "partition_key": "b", "source": "s", "pipeline": "campaigns",
        "state": "running", "attempt": 1,
        "objects": 1, "bytes": 1, "created_at": NOW, "requested_at": NOW, "started_at": NOW,
        "finished_at": None, "next_attempt_at": None, "run_id": "run", "validated_at": None,
        "error_class": None, "error": None, "partition_removed_at": None,
    }  # fmt: skip
    return Batch(**(values | changes))


def sink(name, error_class, error, *, state="failed", run_id="run"):
    return SinkState("b", name, state, None, None, run_id, None, error_class, error)


def test_one_permanent_failure_makes_the_run_s_permanent():
    found = failure_of(
        batch(),
        [sink("mongo", "transient", "down"), sink("neo4j", "permanent", "denied")],
        "run",
    )
    assert found == ("permanent", "mongo: down; neo4j: denied")


def test_only_what_this_run_reported_counts():
    sinks = [
        sink("mongo", "permanent", "old", run_id="earlier"),
        sink("neo4j", "permanent", "mended since", state="done"),
        sink("milvus", "transient", "down"),
    ]
    assert failure_of(batch(), sinks, "run") == ("transient", "milvus: down")


def test_validation_s_error_counts_when_no_sink_failed():
    failed = batch(error_class="permanent", error="events: denied")
    assert failure_of(failed, [], "run") == ("permanent", "events: denied")
    assert failure_of(failed, [], "another") is None


def test_what_a_batch_waits_for_is_no_failure():
    waits = batch(state="waiting", error="12 prompts wait")
    assert failure_of(waits, [sink("summaries", None, None, state="pending")], "run") is None
    found = failure_of(waits, [sink("mongo", "permanent", "denied")], "run")
    assert found == ("permanent", "mongo: denied"), "what failed beside the step that waits"


def test_a_run_that_reported_nothing_has_no_failure_of_its_own():
    assert failure_of(batch(), [], "run") is None


@pytest.mark.parametrize(
    ("changes", "run_id", "key", "concerned"),
    [
        ({}, "run", None, True),
        ({}, "another", "b/1", False),
        ({"state": "loaded"}, "run", "b/1", False),
        ({"state": "waiting"}, "run", "b/1", True),
        ({"state": "waiting"}, "another", "b/1", False),
        ({"state": "requested", "run_id": None, "attempt": 2}, "run", "b/2", True),
        ({"state": "requested", "run_id": None, "attempt": 2}, "run", "b/1", False),
        ({"state": "requested", "run_id": None, "attempt": 2}, "run", None, False),
    ],
)
def test_a_batch_listens_to_the_run_that_it_is_in_flight_in(changes, run_id, key, concerned):
    assert concerns(batch(**changes), run_id, key) is concerned
