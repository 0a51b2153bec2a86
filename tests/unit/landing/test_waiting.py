"""Waiting in a tick: after which ticks, and what ends it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from landing.arrival.arrivals import Backlog
from landing.arrival.hints import Hinted
from landing.arrival.scan import Position, ScanResult, scan
from landing.arrival.tick import Tick
from landing.arrival.waiting import (
    EVENT_SECONDS,
    LOOK_SECONDS,
    RARE_LOOK_SECONDS,
    SHARE,
    nothing_to_do,
    something_new,
    wait,
)
from landing.stores.base import Page
from tests.unit.landing.bucket_model import START, BucketModel, Clock
from tests.unit.landing.test_scan import SOURCE, Recorder

IDLE = Tick(
    requests=(),
    created=(),
    lost=(),
    scan=ScanResult(Position(), True, 1, 0, 0, 0, {}),
    backlog=Backlog(0, None, 0, 0, 0, 0, 0),
    changed=False,
    message="",
    cursor="",
    hinted=Hinted(),
)


def test_a_tick_waits_for_files_alone() -> None:
    assert nothing_to_do(IDLE)
    stopped = replace(IDLE.backlog, stopped=3, oldest_seen_at=START)
    assert nothing_to_do(replace(IDLE, backlog=stopped)), "they wait for an operator"
    unsettled = Hinted(keys=1, unsettled=("in/a.csv",))
    assert nothing_to_do(replace(IDLE, hinted=unsettled)), "it may still change"


@pytest.mark.parametrize("field", ["unassigned", "waiting", "in_flight", "failed", "elsewhere"])
def test_a_tick_does_not_wait_while_a_batch_becomes_due(field: str) -> None:
    backlog = replace(IDLE.backlog, **{field: 1})  # type: ignore[arg-type]
    assert not nothing_to_do(replace(IDLE, backlog=backlog))


@pytest.mark.parametrize(
    "news",
    [
        {"changed": True}, {"created": ("b",)}, {"lost": ("b",)}, {"warnings": ("w",)},
    ],
)  # fmt: skip
def test_a_tick_with_something_to_tell_does_not_wait(news: dict[str, object]) -> None:
    assert not nothing_to_do(replace(IDLE, **news))  # type: ignore[arg-type]


class Time:
    """Seconds that pass by sleeping and by looking."""

    def __init__(self, look_seconds: float = 0.0) -> None:
        self.now, self.looks, self._look_seconds = 0.0, [], look_seconds
        self.stopped_at = float("inf")

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.now += seconds

    def look(self, found_from: float = float("inf")) -> Callable[[], bool]:
        def looked() -> bool:
            self.looks.append(self.now)
            self.now += self._look_seconds
            return self.now >= found_from

        return looked

    def wait(self, look: Callable[[], bool], event: Callable[[], bool] = lambda: False) -> bool:
        return wait(
            look, event, lambda: self.now >= self.stopped_at, until=20.0, clock=self.clock,
            sleep=self.sleep,
        )  # fmt: skip


def test_waiting_ends_soon_after_something_new_is_there() -> None:
    time = Time()
    assert time.wait(time.look(found_from=7.3))
    assert 7.3 <= time.now <= 7.3 + 2 * LOOK_SECONDS


def test_waiting_ends_in_time_when_nothing_comes() -> None:
    time = Time()
    assert not time.wait(time.look())
    assert 20.0 <= time.now < 20.2
    assert len(time.looks) == pytest.approx(20 / LOOK_SECONDS, rel=0.25)


def test_it_ends_when_all_is_stopped() -> None:
    time = Time()
    time.stopped_at = 4.0
    assert not time.wait(time.look(found_from=9.0))
    assert time.now <= 4.0 + 2 * EVENT_SECONDS


def test_an_event_ends_it_at_once() -> None:
    time = Time()
    assert time.wait(time.look(), lambda: time.now > 3.0)
    assert time.now <= 3.0 + 2 * EVENT_SECONDS


def test_where_events_come_looks_are_rare() -> None:
    time = Time()
    wait(
        time.look(), lambda: False, lambda: False, until=20.0, clock=time.clock, sleep=time.sleep,
        look_seconds=RARE_LOOK_SECONDS,
    )  # fmt: skip
    assert len(time.looks) == pytest.approx(20 / RARE_LOOK_SECONDS, abs=1)


@given(seconds=st.floats(0.001, 2.0))
def test_a_slow_store_is_asked_less_often(seconds: float) -> None:
    time = Time(seconds)
    time.wait(time.look())
    assert all(
        later - earlier >= max(seconds / SHARE, LOOK_SECONDS)
        for earlier, later in pairwise(time.looks)
    )


def test_a_look_that_fails_leaves_it_to_the_next_tick() -> None:
    def broken() -> bool:
        raise ConnectionError("reset by peer")

    time = Time()
    assert not time.wait(broken)
    assert time.now < 2 * LOOK_SECONDS


KEYS = st.sampled_from(["in/a.csv", "in/b.csv", "in/c.csv", "in/no.txt", "in/dir/"])
STEPS = st.lists(
    st.tuples(st.sampled_from(["put", "delete", "pass"]), KEYS, st.binary(max_size=1)), max_size=6
)


@given(before=STEPS, after=STEPS, exact=st.booleans(), ordered=st.booleans())
def test_a_look_tells_of_what_the_next_scan_would_record(
    before: list[tuple[str, str, bytes]],
    after: list[tuple[str, str, bytes]],
    exact: bool,
    ordered: bool,
) -> None:
    bucket = BucketModel(Clock(), exact=exact)
    source = replace(SOURCE, ordered_keys=ordered, overlap_keys=2)
    record = Recorder()

    def apply(steps: list[tuple[str, str, bytes]]) -> None:
        for what, key, data in steps:
            if what == "put":
                bucket.put(key, data)
            elif what == "delete":
                bucket.delete(key)
            bucket.clock.advance(0.7)

    def scanned(position: Position) -> ScanResult:
        return scan(
            bucket, source, position, record, deadline=0.0, clock=lambda: 1.0, now=bucket.clock
        )

    apply(before)
    last = scanned(Position())
    apply(after)
    told = something_new(bucket, source, last, bucket.clock)
    new = scanned(last.position).new
    assert told >= (new > 0), "what is new is told"
    bucket.clock.now += timedelta(seconds=10)
    settled = scanned(Position())
    assert not something_new(bucket, source, settled, bucket.clock), "and nothing else"


def test_a_source_of_many_pages_is_not_looked_at() -> None:
    class Unasked(BucketModel):
        def list_page(
            self, prefix: str, after: str | None, limit: int, token: str | None = None
        ) -> Page:
            raise AssertionError

    bucket = BucketModel(Clock())
    for number in range(25):
        bucket.put(f"in/{number:05d}.csv", b"x")
    result = scan(
        bucket, SOURCE, Position(), Recorder(), deadline=99.0, clock=lambda: 0.0, now=bucket.clock
    )
    assert result.finished_cycle
    assert result.seen is None
    assert not something_new(Unasked(Clock()), SOURCE, result, bucket.clock)
