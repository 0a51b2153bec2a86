"""The generic cell rate algorithm over simulated workers: never over the limit, nothing lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from assets.domains.asking.rate import (
    CATCH_UP,
    LEAST,
    LONGEST_HOLD,
    SLICE,
    Pace,
    RateState,
    cut,
    take,
    told,
)

NOW = 1_800_000_000.0
paces = st.tuples(st.integers(1, 60_000), st.integers(0, 10_000_000))
#: Of workers, in the order in which they come: seconds since the one before, requests wanted,
#: tokens of each.
visits = st.lists(
    st.tuples(st.floats(0, 3), st.integers(1, 300), st.integers(1, 5_000)), min_size=1, max_size=60
)


def starts(pace: Pace, arrivals, state: RateState | None = None):
    """When each request may start, and its tokens."""
    state, now = state or RateState(raised_at=NOW), NOW
    made = []
    for after, wanted, tokens in arrivals:
        now += after
        state, lease = take(state, pace, now, wanted, tokens)
        assert 1 <= lease.requests <= wanted
        made += [
            (max(now, lease.start + number * lease.step), tokens)
            for number in range(lease.requests)
        ]
    return made


@given(paces, visits)
def test_no_window_has_more_than_the_rate_and_what_is_caught_up(limits, arrivals):
    requests, tokens = limits
    made = sorted(starts(Pace(requests, tokens), arrivals))
    for first in range(0, len(made), 7):
        for last in range(first, len(made), 11):
            seconds = made[last][0] - made[first][0]
            allowed = (seconds + CATCH_UP) * requests / 60
            # A request that is over the rate alone still goes; floats lose a little.
            assert last - first <= allowed + 1e-3
            if tokens:
                spent = sum(count for _, count in made[first:last])
                biggest = max(count for _, count in made)
                assert spent <= (seconds + CATCH_UP) * tokens / 60 + biggest + 1e-3


@given(st.integers(60, 60_000), st.lists(st.integers(1, 300), min_size=30, max_size=60))
def test_a_busy_account_gets_all_of_its_rate(requests, wanted):
    """Workers that always come when the last slice is used up lose nothing of the rate."""
    pace, state, now, taken = Pace(requests), RateState(raised_at=NOW), NOW, 0
    for count in wanted:
        state, lease = take(state, pace, now, count, 100)
        taken += lease.requests
        now = max(now, lease.start + lease.requests * lease.step)
    assert taken >= (now - NOW) * requests / 60 - 1e-3


@given(paces, visits)
def test_a_slice_is_short(limits, arrivals):
    state, now, pace = RateState(raised_at=NOW), NOW, Pace(*limits)
    for after, wanted, tokens in arrivals:
        now += after
        state, lease = take(state, pace, now, wanted, tokens)
        assert lease.requests == 1 or lease.requests * lease.step <= SLICE + 1e-9


def test_without_limits_nothing_waits():
    state, lease = take(RateState(raised_at=NOW), Pace(), NOW, 500, 1_000)
    assert (lease.start, lease.step, lease.requests) == (NOW, 0.0, 500)
    assert (state.requests_at, state.tokens_at) == (0.0, 0.0)


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 120)), min_size=1, max_size=40))
def test_a_full_account_is_held_and_slowed_within_bounds(refusals):
    state, now = RateState(raised_at=NOW), NOW
    for after, wait in refusals:
        now += after
        state = cut(state, now, wait)
        assert LEAST <= state.factor < 1
        assert now + min(wait, LONGEST_HOLD) <= state.requests_at <= now + LONGEST_HOLD
    _, lease = take(state, Pace(6_000), now, 10, 1)
    assert lease.start >= state.requests_at - 1e-6


def test_many_refusals_at_once_cut_once():
    state = RateState(raised_at=NOW)
    for _ in range(50):
        state = cut(state, NOW, 1.0)
    assert state.factor == 0.8


def test_the_rate_grows_back():
    state = cut(RateState(raised_at=NOW), NOW, 0.0)
    for second in range(1, 61):
        state, _ = take(state, Pace(600), NOW + second, 1, 1)
    assert state.factor == 1.0


def test_the_lower_of_configured_and_told_holds():
    state = told(RateState(), 600.0, None)
    assert Pace(60, 0).within(state) == Pace(60, 0)
    assert Pace(6_000, 0).within(state) == Pace(600, 0)
    assert Pace(0, 0).within(state) == Pace(600, 0)
    assert told(state, None, 5.0) == told(RateState(), 600.0, 5.0)
