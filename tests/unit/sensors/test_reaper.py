"""When a run counts as dead: only after it was seen without its lock for longer than the grace."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sensors.reaper import GRACE, overdue

RUNS = st.sets(st.sampled_from("abcd"))
#: Seconds between ticks, and what each tick sees: started runs, and who holds a lock.
TICKS = st.lists(st.tuples(st.floats(0.1, 40), RUNS, RUNS), max_size=20)


@given(TICKS)
def test_dead_are_exactly_those_without_a_lock_in_every_tick_of_the_grace(ticks):
    now, missing = 1_000_000.0, {}
    history: list[tuple[float, set[str], set[str]]] = []
    for step, started, held in ticks:
        now += step
        history.append((now, started, held))
        dead, missing = overdue(started, held, missing, now)
        for run in "abcd":
            # The unbroken stretch of ticks, up to this one, in which the run lacked its lock.
            first = None
            for at, was_started, was_held in reversed(history):
                if run not in was_started or run in was_held:
                    break
                first = at
            assert (run in dead) == (first is not None and now - first > GRACE)
        # What was reported is gone from Dagster's started runs at the next tick.
        history = [(at, s - set(dead), h) for at, s, h in history]


@given(RUNS, RUNS, st.floats(0, 1e9))
def test_one_look_is_never_enough(started, held, now):
    dead, missing = overdue(started, held, {}, now)
    assert dead == []
    assert set(missing) == started - held


def test_a_lock_that_came_back_starts_the_grace_anew():
    _, missing = overdue(["a"], [], {}, 0)
    _, missing = overdue(["a"], ["a"], missing, 20)
    assert missing == {}
    dead, missing = overdue(["a"], [], missing, 40)
    dead, missing = overdue(["a"], [], missing, 40 + GRACE)
    assert dead == []
    dead, missing = overdue(["a"], [], missing, 41 + GRACE)
    assert (dead, missing) == (["a"], {})
