"""Keys that events named: looked up by the scan's rules, and never in its way."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from landing.arrival.hints import take_hints
from landing.arrival.source import Source
from tests.unit.landing.bucket_model import BucketModel, Clock

SOURCE = Source(
    name="model", pipeline="model", store="s3", bucket="inbox", prefix="in/",
    pattern=re.compile(r"in/.*\.h5"), sinks=("one",),
)  # fmt: skip


@pytest.fixture
def bucket():
    return BucketModel(Clock(), exact=False)


def take(bucket, keys, recorded, *, seconds=10.0, clock=lambda: 0.0):
    def record(versions):
        recorded.extend(version.key for version in versions)
        return len(versions)

    return take_hints(bucket, SOURCE, keys, record, deadline=seconds, clock=clock, now=bucket.clock)


def test_a_version_that_may_still_change_waits(bucket):
    recorded = []
    bucket.put("in/a.h5", b"1")
    first = take(bucket, ["in/a.h5"], recorded)
    assert (first.new, first.unsettled, recorded) == (0, ("in/a.h5",), [])
    bucket.clock.advance(2.5)
    second = take(bucket, first.unsettled, recorded)
    assert (second.new, second.unsettled, recorded) == (1, (), ["in/a.h5"])


def test_only_what_the_scan_would_take(bucket):
    recorded = []
    keys = ["in/a.h5", "in/a.h5", "in/b.txt", "other/c.h5", "in/gone.h5", "in/empty.h5"]
    for key in keys:
        if "gone" not in key:
            bucket.put(key, b"" if "empty" in key else b"1")
    bucket.clock.advance(60)
    hinted = take(bucket, keys, recorded)
    assert recorded == ["in/a.h5"]
    assert (hinted.keys, hinted.new, hinted.failed, hinted.unsettled) == (6, 1, 0, ())


def test_a_store_that_fails_leaves_the_rest_to_the_scan(bucket):
    recorded = []
    for number in range(4):
        bucket.put(f"in/{number}.h5", b"1")
    bucket.clock.advance(60)
    stat = bucket.stat

    def failing(key):
        if key == "in/2.h5":
            raise ConnectionError("reset")
        return stat(key)

    bucket.stat = failing
    hinted = take(bucket, [f"in/{number}.h5" for number in range(4)], recorded)
    assert recorded == ["in/0.h5", "in/1.h5"]
    assert (hinted.new, hinted.failed) == (2, 2)


def test_the_deadline_ends_the_looking(bucket):
    recorded = []
    times = iter(range(100))
    for number in range(6):
        bucket.put(f"in/{number}.h5", b"1")
    bucket.clock.advance(60)
    keys = [f"in/{number}.h5" for number in range(6)]
    hinted = take(bucket, keys, recorded, seconds=3.0, clock=lambda: float(next(times)))
    assert recorded == keys[:3]
    assert hinted.failed == 3
    assert timedelta(seconds=60) < bucket.clock.now - bucket.current["in/0.h5"][0].modified_at
