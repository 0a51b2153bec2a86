"""Which batches are requested, as which attempt, for which sinks."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from landing.arrival.ledger import Batch, SinkState
from landing.arrival.requests import NEW_PER_RETRY, choose, free_slots, request_for
from landing.arrival.source import Source
from landing.arrival.states import (
    UNKNOWN_RUNS,
    BatchState,
    failed_state,
    retry_delay,
    run_key,
    worst,
)

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


def numbers(batches: list[Batch]) -> list[int]:
    return [int(batch.batch_id[-4:]) for batch in batches]


def chosen(new: list[int], due: list[int], free: int, since_retry: int = 0) -> tuple[Any, int]:
    found, since = choose(
        [batch(number, "pending") for number in new],
        [batch(number, "failed_transient", 1) for number in due],
        free,
        since_retry,
    )
    return numbers(found), since


@pytest.mark.parametrize(
    ("new", "due", "free", "since", "expected"),
    [
        ([], [], 1, 0, ([], 0)),
        ([1, 2], [], 1, 0, ([1], 1)),
        ([1, 2], [], 2, 3, ([1, 2], 3)),
        # What has not been tried goes first, however long the others have been due,
        ([9], [1, 2], 1, 0, ([9], 1)),
        # and they get one request in four.
        ([9], [1, 2], 1, 3, ([1], 0)),
        ([7, 8, 9, 10], [1, 2], 6, 0, ([7, 8, 9, 1, 10, 2], 0)),
        # Neither waits for the other where there is room.
        ([9], [1, 2], 3, 0, ([9, 1, 2], 0)),
        ([9], [1], 0, 3, ([], 3)),
    ],
)
def test_new_ones_go_before_those_that_are_tried_again(
    new: list[int], due: list[int], free: int, since: int, expected: tuple[list[int], int]
) -> None:
    assert chosen(new, due, free, since) == expected


@given(st.integers(0, 40), st.integers(0, 40), st.integers(1, 3))
def test_neither_starves(new: int, due: int, free: int) -> None:
    """Slots come free one after another: both are worked off, the new ones three times as fast."""
    fresh, again = list(range(new)), list(range(100, 100 + due))
    since, order = 0, []
    while fresh or again:
        found, since = chosen(fresh[:free], again[:free], free, since)
        assert len(found) == min(free, len(fresh) + len(again))
        order += found
        fresh = [number for number in fresh if number not in found]
        again = [number for number in again if number not in found]
    assert [number for number in order if number < 100] == list(range(new))
    assert [number for number in order if number >= 100] == list(range(100, 100 + due))
    both = order[: order.index(new - 1) + 1] if new else []
    retries = [number for number in both if number >= 100]
    assert len(retries) == min(due, max(len(both) - len(retries) - 1, 0) // NEW_PER_RETRY)


@pytest.mark.parametrize(
    ("states", "most", "free"),
    [([], 2, 2), (["running"], 2, 1), (["running", "requested"], 1, 0), (["requested"], 1, 0)],
)
def test_slots_are_taken_by_what_is_in_flight(
    states: list[BatchState], most: int, free: int
) -> None:
    assert free_slots([batch(n, state) for n, state in enumerate(states)], most) == free


@pytest.mark.parametrize(
    ("begun", "minutes"), [(0, 1), (1, 1), (2, 5), (3, 15), (4, 60), (5, 60), (100, 60)]
)
def test_backoff(begun: int, minutes: int) -> None:
    assert retry_delay(begun) == timedelta(minutes=minutes)


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
    request = request_for(SOURCE, batch(1, "pending"), 1, sinks(mongo="pending", milvus="pending"))
    assert (request.whole, request.validate, request.sinks) == (True, True, ("mongo", "milvus"))
    assert request.run_key == "20261122T101503Z-0001/1"


def test_a_retry_is_for_what_is_not_done() -> None:
    validated = batch(1, "failed_transient", 1, validated_at=NOW)
    request = request_for(
        SOURCE, validated, 2, sinks(mongo="failed", milvus="done", neo4j="pending")
    )
    assert (request.whole, request.validate, request.sinks) == (False, False, ("mongo", "neo4j"))


def test_a_retry_after_a_failed_validation_is_for_everything() -> None:
    request = request_for(SOURCE, batch(1, "failed_transient", 1), 2, sinks(mongo="pending"))
    assert (request.whole, request.validate) == (True, True)


def test_a_retry_with_every_sink_done_validates_again() -> None:
    validated = batch(1, "failed_transient", 1, validated_at=NOW)
    request = request_for(SOURCE, validated, 2, sinks(mongo="done"))
    assert (request.whole, request.validate) == (True, True)


def test_a_sink_that_the_code_does_not_know_is_not_asked_for() -> None:
    request = request_for(SOURCE, batch(1, "pending"), 1, sinks(mongo="pending", old="retired"))
    assert (request.whole, request.validate, request.sinks) == (True, True, ("mongo",))
    validated = batch(1, "failed_transient", 1, validated_at=NOW)
    request = request_for(SOURCE, validated, 2, sinks(mongo="done", neo4j="failed", old="retired"))
    assert (request.whole, request.validate, request.sinks) == (False, False, ("neo4j",))


@pytest.mark.parametrize(("size", "large"), [(1_000, False), (1_001, True)])
def test_large_batches_are_marked(size: int, large: bool) -> None:
    assert (
        request_for(SOURCE, batch(1, "pending", bytes=size), 1, sinks(mongo="pending")).large
        is large
    )
