"""The scan: what it skips, where it stops, where it goes on."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from landing.arrival.cursor import Cursor
from landing.arrival.identity import ObjectVersion, unversioned
from landing.arrival.scan import Position, ScanError, ScanResult, scan, skip_reason
from landing.arrival.source import Source
from landing.stores.base import Page
from tests.unit.landing.bucket_model import START, BucketModel, Clock

SOURCE = Source(
    name="model",
    pipeline="model",
    store="gcs",
    bucket="inbox",
    prefix="in/",
    pattern=re.compile(r"in/.*\.csv", re.DOTALL),
    sinks=("only",),
    page_size=10,
)


class Recorder:
    """Knows what it was given before, as the ledger does."""

    def __init__(self) -> None:
        self.seen: list[ObjectVersion] = []

    def __call__(self, versions: Sequence[ObjectVersion]) -> int:
        new = [version for version in versions if version not in self.seen]
        self.seen += new
        return len(new)

    @property
    def keys(self) -> list[str]:
        return [version.key for version in self.seen]


def scan_pages(
    bucket: BucketModel,
    position: Position,
    record: Recorder,
    pages: int = 1_000,
    source: Source = SOURCE,
) -> ScanResult:
    bucket.pages = 0
    return scan(
        bucket,
        source,
        position,
        record,
        deadline=pages,
        clock=lambda: float(bucket.pages),
        now=bucket.clock,
    )


def bucket_of(count: int, exact: bool = True) -> BucketModel:
    bucket = BucketModel(Clock(), exact=exact)
    for number in range(count):
        bucket.put(f"in/{number:05d}.csv", b"x")
    return bucket


def test_a_deadline_cuts_the_listing_and_the_next_tick_goes_on() -> None:
    bucket, record = bucket_of(45), Recorder()
    first = scan_pages(bucket, Position(), record, pages=2)
    assert (first.pages, first.listed, first.new, first.finished_cycle) == (2, 20, 20, False)
    assert first.position.after == "in/00019.csv"
    second = scan_pages(bucket, first.position, record, pages=2)
    third = scan_pages(bucket, second.position, record, pages=2)
    assert (third.listed, third.finished_cycle) == (5, True)
    assert third.position == Position(cycle=2, last_cycle_seconds=0.0), (
        "the next cycle starts at the start"
    )
    assert record.keys == sorted(bucket.current)


def test_a_tick_past_its_deadline_still_lists_one_page() -> None:
    bucket, record = bucket_of(25), Recorder()
    assert scan_pages(bucket, Position(), record, pages=0).listed == 10


def test_counts_are_of_the_cycle_in_the_position_and_of_the_tick_in_the_result() -> None:
    bucket, record = bucket_of(25), Recorder()
    bucket.put("in/00000.txt", b"x")
    first = scan_pages(bucket, Position(), record, pages=1)
    second = scan_pages(bucket, first.position, record, pages=1)
    assert (first.listed, first.known, first.ignored) == (10, 0, {"pattern": 1})
    assert (second.position.listed, second.position.ignored) == (20, 1)
    again = scan_pages(bucket, Position(), record)
    assert (again.listed, again.known, again.new) == (26, 19, 6)


def test_a_failed_listing_is_an_error_that_says_where() -> None:
    class Broken(BucketModel):
        def list_page(
            self, prefix: str, after: str | None, limit: int, token: str | None = None
        ) -> Page:
            if after is not None:
                raise ConnectionError("reset by peer")
            return super().list_page(prefix, after, limit, token)

    bucket, record = Broken(Clock()), Recorder()
    for number in range(15):
        bucket.put(f"in/{number:05d}.csv", b"x")
    with pytest.raises(ScanError, match=r"inbox/in/ after key 'in/00009.csv': reset by peer"):
        scan_pages(bucket, Position(), record)
    assert len(record.seen) == 10, "pages before the failure are safe"


def version(key: str, size: int = 1, age: float = 100) -> ObjectVersion:
    modified = (START - timedelta(seconds=age)).replace(microsecond=0)
    made = unversioned("etag", size, modified)
    return ObjectVersion("s3", "inbox", key, made, size, modified)


@pytest.mark.parametrize(
    ("key", "size", "reason"),
    [
        ("in/a.csv", 1, None),
        ("in/a.csv", 0, "empty"),
        ("in/folder/", 0, "folder"),
        ("in/a.csv.tmp", 1, "temporary"),
        ("in/a.csv.part", 1, "temporary"),
        ("in/a.csv._COPYING_", 1, "temporary"),
        ("in/a.parquet", 1, "pattern"),
        ("in/a\0.csv", 1, "key_with_nul"),
        ("in/line\nbreak.csv", 1, None),
    ],
)
def test_what_is_skipped(key: str, size: int, reason: str | None) -> None:
    assert skip_reason(version(key, size), SOURCE, START) == reason


@pytest.mark.parametrize(
    ("age", "reason"),
    [(0, "unsettled"), (1, "unsettled"), (3, None), (-3, "unsettled"), (-60, None)],
)
def test_versions_told_by_seconds_wait_until_their_second_is_over(
    age: float, reason: str | None
) -> None:
    assert skip_reason(version("in/a.csv", age=age), SOURCE, START) == reason


def test_versions_told_by_a_number_do_not_wait() -> None:
    numbered = dataclasses.replace(version("in/a.csv", age=0), version="1770000000000000")
    assert skip_reason(numbered, SOURCE, START) is None


ORDERED = dataclasses.replace(SOURCE, ordered_keys=True, overlap_keys=10)


def test_ordered_keys_cost_what_is_new_and_the_overlap() -> None:
    bucket, record = bucket_of(500), Recorder()
    position = scan_pages(bucket, Position(), record, source=ORDERED).position
    assert position.anchor == "in/00490.csv"
    bucket.put("in/00500.csv", b"x")
    bucket.put("in/00495a.csv", b"late, within the overlap")
    result = scan_pages(bucket, position, record, source=ORDERED)
    assert (result.listed, result.new) == (11, 2)
    assert result.position.anchor is not None
    assert result.position.anchor > position.anchor


@given(
    steps=st.lists(st.tuples(st.integers(0, 40), st.floats(0, 4), st.integers(1, 4)), max_size=12),
    exact=st.booleans(),
)
def test_ordered_keys_lose_nothing_however_ticks_are_cut(
    steps: list[tuple[int, float, int]], exact: bool
) -> None:
    bucket, record, position = bucket_of(0, exact), Recorder(), Position()
    number = 0
    for count, seconds, pages in steps:
        for _ in range(count):
            number += 1
            bucket.put(f"in/{number:05d}.csv", b"x")
        bucket.clock.advance(seconds)
        position = scan_pages(bucket, position, record, pages, ORDERED).position
        position = Cursor.from_text(Cursor(position).to_text()).position
    bucket.clock.advance(10)
    for _ in range(2):
        position = scan_pages(bucket, position, record, source=ORDERED).position
    assert sorted(record.keys) == sorted(bucket.current)


keys = st.none() | st.text()


@given(
    after=keys,
    anchor=keys,
    hold=keys,
    numbers=st.tuples(*[st.integers(0)] * 4),
    seconds=st.none() | st.floats(0, 1e9),
)
def test_positions_survive_the_cursor(
    after: str | None,
    anchor: str | None,
    hold: str | None,
    numbers: tuple[int, int, int, int],
    seconds: float | None,
) -> None:
    cycle, listed, known, ignored = numbers
    position = Position(after, anchor, hold, cycle, START, seconds, listed, known, ignored)
    cursor = Cursor(position, {"batch/run": START}, "1 2 3")
    assert Cursor.from_text(cursor.to_text()) == cursor


def test_the_cursor_of_the_version_before_is_read():
    text = (
        '{"format": 1, "position": {"format": 1, "after": "in/a", "anchor": null, "hold": "",'
        ' "cycle": 3, "cycle_started_at": "2026-11-22T10:00:00.000005+00:00",'
        ' "last_cycle_seconds": 1.5, "listed": 7, "known": 4, "ignored": 1},'
        ' "unlocked": {"batch/run": "2026-11-22T10:00:01+00:00"}, "backlog": "1 2 3"}'
    )
    began = datetime(2026, 11, 22, 10, 0, 0, 5, tzinfo=UTC)
    found = Cursor.from_text(text)
    assert found.position == Position("in/a", None, "", 3, began, 1.5, 7, 4, 1)
    assert found.unlocked == {"batch/run": datetime(2026, 11, 22, 10, 0, 1, tzinfo=UTC)}
    assert found.backlog == "1 2 3"


@given(st.text() | st.sampled_from(["{}", "[]", "null", '{"format": 1}', '{"format": 2}', "1"]))
def test_an_unreadable_cursor_is_the_start(text: str) -> None:
    assert Cursor.from_text(text) == Cursor()
    damaged = Cursor(Position("in/a")).to_text().replace('"in/a"', "7")
    assert Cursor.from_text(damaged).position == Position()
