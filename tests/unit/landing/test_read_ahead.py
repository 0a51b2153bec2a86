"""Objects read side by side: in their order, within bounds, failures where they belong."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime

import pytest

from landing.arrival.identity import ObjectVersion
from landing.batch.read_ahead import Bounds, reading_ahead


def versions(*sizes: int) -> list[ObjectVersion]:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return [ObjectVersion("minio", "b", f"k{n}", "v", size, at) for n, size in enumerate(sizes)]


class Reads:
    """Counts what is begun and not yet taken."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.begun: list[ObjectVersion] = []
        self.side_by_side = self.most_side_by_side = 0
        self._lock = threading.Lock()

    def __call__(self, version: ObjectVersion) -> str:
        with self._lock:
            self.begun.append(version)
            self.side_by_side += 1
            self.most_side_by_side = max(self.most_side_by_side, self.side_by_side)
        time.sleep(self.seconds)
        with self._lock:
            self.side_by_side -= 1
        if version.size == 13:
            raise KeyError(version.key)
        return version.key


def test_everything_comes_once_and_in_order():
    all_of_them, reads = versions(*[1] * 200), Reads(0.001)
    with reading_ahead(all_of_them, reads, Bounds(8, 32, 1_000)) as ahead:
        found = [ahead.take(one) for one in all_of_them]
    assert found == [one.key for one in all_of_them]
    assert sorted(one.key for one in reads.begun) == sorted(found)
    assert 1 < reads.most_side_by_side <= 8


@pytest.mark.parametrize(
    ("sizes", "bounds", "begun"),
    [
        ([1] * 50, Bounds(4, 10, 1_000), 10),
        ([100] * 50, Bounds(4, 10, 350), 3),
        # One that is larger than all that may be under way is under way alone.
        ([5_000, 1, 1], Bounds(4, 10, 350), 1),
        ([1, 5_000, 1], Bounds(4, 10, 350), 1),
    ],
)
def test_no_more_is_under_way_than_may_be(sizes, bounds, begun):
    some, reads = versions(*sizes), Reads()
    with reading_ahead(some, reads, bounds) as ahead:
        ahead.take(some[0])
        time.sleep(0.2)
        assert len(reads.begun) == begun


def test_a_failure_is_that_of_its_object():
    some = versions(1, 13, 1)
    with reading_ahead(some, Reads(), Bounds(4, 10, 100)) as ahead:
        assert ahead.take(some[0]) == "k0"
        with pytest.raises(KeyError, match="k1"):
            ahead.take(some[1])
        assert ahead.take(some[2]) == "k2"


def test_whoever_leaves_early_waits_for_what_is_under_way_only():
    some, reads = versions(*[1] * 100), Reads(0.05)
    started = time.monotonic()
    with reading_ahead(some, reads, Bounds(2, 100, 1_000)) as ahead:
        ahead.take(some[0])
    assert time.monotonic() - started < 1
    assert len(reads.begun) < 10
    assert reads.side_by_side == 0


def test_another_order_is_a_defect():
    some = versions(1, 1)
    with (
        reading_ahead(some, Reads(), Bounds(2, 10, 100)) as ahead,
        pytest.raises(AssertionError, match=r"k1#v was asked for before .*k0"),
    ):
        ahead.take(some[1])
