"""Intervals follow the load, within their bounds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.reading.pacing import category_seconds, merge_seconds, report_seconds


@pytest.mark.parametrize(
    ("billed", "seconds"),
    [(0, 0.4), (400_000, 0.4), (20_971_520, 20.97152), (10**8, 60.0), (10**12, 60.0)],
)
def test_merges_come_as_often_as_their_bytes_allow(billed: int, seconds: float) -> None:
    assert merge_seconds(billed) == seconds


@pytest.mark.parametrize(
    ("load", "report", "category"),
    [
        (0.0, 60.0, 0.0),
        (1.0, 60.0, 0.0),
        (10.0, 600.0, 12_960.0),
        (100.0, 6_000.0, 86_400.0),
        (1_000.0, 21_600.0, 86_400.0),
    ],
)
def test_counting_again_is_rarer_where_days_hold_more(
    load: float, report: float, category: float
) -> None:
    assert (report_seconds(load), category_seconds(load)) == (report, category)


@given(st.floats(0, 10**6), st.floats(0, 10**6))
def test_more_to_read_never_makes_anything_more_frequent(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert report_seconds(low) <= report_seconds(high)
    assert category_seconds(low) <= category_seconds(high)
    assert merge_seconds(int(low)) <= merge_seconds(int(high))
