"""How a task gives way to smaller ones, and what it says of its progress."""

from __future__ import annotations

import os

from hypothesis import given
from hypothesis import strategies as st

from assets.images.tasks.work import Progress, niceness, workers


@given(st.integers(0, 10**7), st.integers(0, 10**7))
def test_the_larger_never_goes_before_the_smaller(one, other):
    small, large = sorted((one, other))

    assert 0 <= niceness(small) <= niceness(large) <= 19


def test_a_small_task_gives_way_to_none():
    assert [niceness(n) for n in (0, 1_000, 1_001, 10_001, 100_001)] == [0, 0, 5, 10, 15]


def test_workers_are_those_told_or_one_per_core():
    assert workers(3) == 3
    assert workers(0) == len(os.sched_getaffinity(0))


def test_progress_counts_what_was_there_and_rates_what_was_done():
    now = [100.0]
    progress = Progress(total=1_000, settled=400, clock=lambda: now[0])
    assert progress.rate == 0.0
    assert progress.line() == "400 of 1,000 images, 0 a second"

    now[0], progress.done = 110.0, 200
    assert progress.rate == 20.0
    assert progress.line() == "600 of 1,000 images, 20 a second, about 20 s left"

    progress.done = 600
    assert progress.line() == "1,000 of 1,000 images, 60 a second, about 0 s left"


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.floats(0, 1e6))
def test_progress_says_something_at_any_time(total, done, seconds):
    times = iter([0.0, *[seconds] * 9])
    progress = Progress(total=total, settled=0, clock=lambda: next(times), done=min(done, total))

    assert f"of {total:,} images" in progress.line()
