"""When a batch closes and what is in it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from landing.arrival.arrivals import next_batch_id
from landing.arrival.batching import Arrival, close_batches
from landing.arrival.source import Source

NOW = datetime(2026, 11, 22, 10, 15, 3, tzinfo=UTC)
SOURCE = Source(
    name="model",
    pipeline="model",
    store="gcs",
    bucket="inbox",
    prefix="",
    pattern=re.compile(".*"),
    sinks=("only",),
    max_objects=3,
    max_bytes=100,
)


def arrivals(*sizes: int, age: float = 0) -> list[Arrival]:
    seen = NOW - timedelta(seconds=age)
    return [Arrival(seq, size, seen) for seq, size in enumerate(sizes, start=1)]


def sizes(*given_sizes: int, idle: bool, age: float = 0) -> list[list[int]]:
    closed = close_batches(arrivals(*given_sizes, age=age), SOURCE, idle=idle, now=NOW)
    return [[arrival.size for arrival in group] for group in closed]


@pytest.mark.parametrize(
    ("objects", "idle", "age", "closed"),
    [
        ((), True, 0, []),
        ((1,), True, 0, [[1]]),
        ((1,), False, 0, []),
        ((1,), False, 29.9, []),
        ((1,), False, 30, [[1]]),
        ((1, 1, 1), False, 0, [[1, 1, 1]]),
        ((1, 1, 1, 1), True, 0, [[1, 1, 1]]),
        ((1, 1, 1, 1), False, 31, [[1, 1, 1], [1]]),
        ((60, 60), False, 0, [[60]]),
        ((60, 40), False, 0, [[60, 40]]),
        ((500,), False, 0, [[500]]),
        ((1, 500, 1), False, 0, [[1], [500]]),
    ],
)
def test_closing(objects: tuple[int, ...], idle: bool, age: float, closed: list[list[int]]) -> None:
    assert sizes(*objects, idle=idle, age=age) == closed


@given(
    given_sizes=st.lists(st.integers(1, 150), max_size=30),
    idle=st.booleans(),
    age=st.sampled_from([0, 60]),
)
def test_batches_are_a_prefix_in_order_within_the_limits(
    given_sizes: list[int], idle: bool, age: float
) -> None:
    closed = close_batches(arrivals(*given_sizes, age=age), SOURCE, idle=idle, now=NOW)
    flat = [arrival.seq for group in closed for arrival in group]
    assert flat == list(range(1, len(flat) + 1))
    for group in closed:
        assert 1 <= len(group) <= 3
        assert len(group) == 1 or sum(arrival.size for arrival in group) <= 100
    if given_sizes and (idle or age):
        assert closed
    if age:
        assert len(flat) == len(given_sizes)


@given(
    st.lists(st.tuples(st.integers(1, 60), st.sampled_from(["2025-01", "2025-02", "2025-03"]))),
    st.booleans(),
)
def test_no_batch_holds_objects_of_two_units(
    given_objects: list[tuple[int, str]], old: bool
) -> None:
    seen = NOW - timedelta(seconds=60 if old else 0)
    found = [Arrival(n, size, seen, unit) for n, (size, unit) in enumerate(given_objects, 1)]
    closed = close_batches(found, SOURCE, idle=True, now=NOW)
    taken = [arrival.seq for group in closed for arrival in group]
    assert len(taken) == len(set(taken))
    for group in closed:
        assert len({arrival.unit for arrival in group}) == 1
        assert [arrival.seq for arrival in group] == sorted(arrival.seq for arrival in group)
        # Within its unit a batch leaves no older object behind.
        unit = [arrival.seq for arrival in found if arrival.unit == group[0].unit]
        before = {seq for seq in unit if seq < group[0].seq}
        assert before <= set(taken)
    if old:
        assert sorted(taken) == [arrival.seq for arrival in found]


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        (None, "20261122T101503Z-0001"),
        ("20261122T101502Z-0007", "20261122T101503Z-0001"),
        ("20261122T101503Z-0001", "20261122T101503Z-0002"),
        ("20261122T101503Z-9999", "20261122T101504Z-0001"),
        ("20261122T235959Z-9999", "20261123T000000Z-0001"),
        ("20271231T000000Z-0004", "20271231T000000Z-0005"),
    ],
)
def test_batch_ids_follow_the_clock_but_never_fall(last: str | None, expected: str) -> None:
    assert next_batch_id(last, NOW.replace(microsecond=999_999)) == expected


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=50))
def test_batch_ids_increase_whatever_the_clock_does(steps: list[int]) -> None:
    now, ids = NOW, [next_batch_id(None, NOW)]
    for step in steps:
        now += timedelta(seconds=step)
        ids.append(next_batch_id(ids[-1], now))
    assert ids == sorted(set(ids))
