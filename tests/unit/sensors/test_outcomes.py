"""What ended a run: told by its own sinks, else by its validation, else by Dagster."""

from __future__ import annotations

from datetime import UTC, datetime

from landing.ledger import Batch, SinkState
from sensors.outcomes import failure_of

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def batch(**changes):
    values = {
        "batch_id": "b", "source": "s", "pipeline": "campaigns", "state": "running", "attempt": 1,
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
        "m",
    )
    assert found == ("permanent", "mongo: down; neo4j: denied")


def test_only_what_this_run_reported_counts():
    sinks = [
        sink("mongo", "permanent", "old", run_id="earlier"),
        sink("neo4j", "permanent", "mended since", state="done"),
        sink("milvus", "transient", "down"),
    ]
    assert failure_of(batch(), sinks, "run", "m") == ("transient", "milvus: down")


def test_validation_s_error_counts_when_no_sink_failed():
    failed = batch(error_class="permanent", error="events: denied")
    assert failure_of(failed, [], "run", "m") == ("permanent", "events: denied")
    assert failure_of(failed, [], "another", "m") == ("transient", "m")


def test_a_run_that_reported_nothing_is_worth_another_attempt():
    assert failure_of(batch(), [], "run", "exited -9") == ("transient", "exited -9")
