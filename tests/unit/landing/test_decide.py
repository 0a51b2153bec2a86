"""Which batches are requested, as which attempt, for which sinks."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from landing.arrival.ledger import Batch, SinkState
from landing.arrival.source import Source
from landing.arrival.states import (
    ALL_STATES,
    IN_FLIGHT,
    LOADED,
    TRIED_AGAIN,
    UNKNOWN_RUNS,
    BatchState,
    failed_state,
    retry_delay,
    run_key,
    worst,
)
from landing.arrival.tick import _request, decide

SOURCE = Source(
    name="model", pipeline="campaigns", store="gcs", bucket="inbox", prefix="",
    pattern=re.compile(".*"), sinks=("mongo",), large_bytes=1_000,
)  # fmt: skip
NOW = datetime(2026, 11, 22, 10, 15, 3, tzinfo=UTC)


def batch(number: int, state: BatchState, attempt: int = 0, **values: Any) -> Batch:
    columns: dict[str, Any] = {
        "requested_at": None, "started_at": None, "finished_at": None, "next_attempt_at": None,
        "run_id": None, "validated_at": None, "error_class": None, "error": None,
        "partition_removed_at": None, "bytes": 10,
        "partition_key": f"20261122T101503Z-{number:04d}",
    }  # fmt: skip
    return Batch(
        batch_id=f"20261122T101503Z-{number:04d}",
        source="model",
        pipeline="campaigns",
        state=state,
        attempt=attempt,
        objects=1,
        created_at=NOW,
        **(columns | values),
    )


def chosen(batches: list[Batch], limit: int = 1) -> list[tuple[int, int]]:
    return [(int(found.batch_id[-4:]), n) for found, n in decide(batches, NOW, limit)]


SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("batches", "limit", "expected"),
    [
        ([], 1, []),
        ([batch(1, "pending")], 1, [(1, 1)]),
        ([batch(1, "pending"), batch(2, "pending")], 1, [(1, 1)]),
        ([batch(1, "pending"), batch(2, "pending")], 2, [(1, 1), (2, 1)]),
        # Repeated as the same attempt, whatever the limit.
        ([batch(1, "requested", 3), batch(2, "pending")], 1, [(1, 3)]),
        ([batch(1, "requested", 1), batch(2, "requested", 1)], 1, [(1, 1), (2, 1)]),
        ([batch(1, "running", 1), batch(2, "pending")], 1, []),
        ([batch(1, "running", 1), batch(2, "pending")], 2, [(2, 1)]),
        ([batch(1, "failed_transient", 2, next_attempt_at=NOW)], 1, [(1, 3)]),
        ([batch(1, "failed_transient", 2, next_attempt_at=NOW + SECOND)], 1, []),
        # A failed batch does not hold up the next one.
        (
            [batch(1, "failed_transient", 1, next_attempt_at=NOW + SECOND), batch(2, "pending")],
            1,
            [(2, 1)],
        ),
        ([batch(1, "failed_permanent", 1), batch(2, "pending")], 1, [(2, 1)]),
        # One that waits for somebody else's work neither, and is asked for when its time has come.
        ([batch(1, "waiting", 1, next_attempt_at=NOW + SECOND), batch(2, "pending")], 1, [(2, 1)]),
        ([batch(1, "waiting", 1, next_attempt_at=NOW)], 1, [(1, 2)]),
        ([batch(1, "pending", 4)], 1, [(1, 5)]),
    ],
)
def test_decide(batches: list[Batch], limit: int, expected: list[tuple[int, int]]) -> None:
    assert chosen(batches, limit) == expected


DUE = st.sampled_from([None, NOW - SECOND, NOW, NOW + SECOND])


@given(
    st.lists(st.tuples(st.sampled_from(ALL_STATES), st.integers(0, 3), DUE), max_size=8),
    st.integers(1, 4),
)
def test_who_waits_for_others_is_treated_as_one_that_failed(
    found: list[tuple[BatchState, int, datetime | None]], limit: int
) -> None:
    batches = [
        batch(number, state, attempt, next_attempt_at=due)
        for number, (state, attempt, due) in enumerate(found)
        if state not in LOADED
    ]
    decided = decide(batches, NOW, limit)
    failed = [replace(one, state="failed_transient") for one in batches if one.state == "waiting"]
    others = [one for one in batches if one.state != "waiting"]
    same = decide(sorted(failed + others, key=lambda one: one.batch_id), NOW, limit)
    assert [(one.batch_id, n) for one, n in decided] == [(one.batch_id, n) for one, n in same]
    for one, attempt in decided:
        assert attempt == one.attempt + (one.state != "requested")
        assert one.state in {"pending", "requested", *TRIED_AGAIN}
        if one.state in TRIED_AGAIN:
            assert one.next_attempt_at is None or one.next_attempt_at <= NOW
    new = sum(one.state != "requested" for one, _ in decided)
    assert new + sum(one.state in IN_FLIGHT for one in batches) <= max(
        limit, sum(one.state in IN_FLIGHT for one in batches)
    )


@pytest.mark.parametrize(
    ("attempt", "minutes"), [(1, 1), (2, 5), (3, 15), (4, 60), (5, 60), (100, 60)]
)
def test_backoff(attempt: int, minutes: int) -> None:
    assert retry_delay(attempt) == timedelta(minutes=minutes)


def test_failed_states_and_run_keys() -> None:
    assert failed_state("transient") == "failed_transient"
    assert failed_state("permanent") == "failed_permanent"
    assert failed_state("unknown", UNKNOWN_RUNS - 1) == "failed_transient"
    assert failed_state("unknown", UNKNOWN_RUNS) == "failed_permanent"
    assert worst(("transient", "unknown")) == "unknown"
    assert worst(("unknown", "permanent", "transient")) == "permanent"
    assert run_key("20261122T101503Z-0001", 2) == "20261122T101503Z-0001/2"


def sinks(**states: str) -> list[SinkState]:
    return [
        SinkState("b", name, state, None, None, None, None, None, None)  # type: ignore[arg-type]
        for name, state in states.items()
    ]


def test_a_first_request_is_for_everything() -> None:
    request = _request(SOURCE, batch(1, "pending"), 1, sinks(mongo="pending", milvus="pending"))
    assert (request.whole, request.validate, request.sinks) == (True, True, ("mongo", "milvus"))
    assert request.run_key == "20261122T101503Z-0001/1"


def test_a_retry_is_for_what_is_not_done() -> None:
    validated = batch(1, "failed_transient", 1, validated_at=NOW)
    request = _request(SOURCE, validated, 2, sinks(mongo="failed", milvus="done", neo4j="pending"))
    assert (request.whole, request.validate, request.sinks) == (False, False, ("mongo", "neo4j"))


def test_a_retry_after_a_failed_validation_is_for_everything() -> None:
    request = _request(SOURCE, batch(1, "failed_transient", 1), 2, sinks(mongo="pending"))
    assert (request.whole, request.validate) == (True, True)


def test_a_retry_with_every_sink_done_validates_again() -> None:
    validated = batch(1, "failed_transient", 1, validated_at=NOW)
    request = _request(SOURCE, validated, 2, sinks(mongo="done"))
    assert (request.whole, request.validate) == (True, True)


@pytest.mark.parametrize(("size", "large"), [(1_000, False), (1_001, True)])
def test_large_batches_are_marked(size: int, large: bool) -> None:
    assert (
        _request(SOURCE, batch(1, "pending", bytes=size), 1, sinks(mongo="pending")).large is large
    )
