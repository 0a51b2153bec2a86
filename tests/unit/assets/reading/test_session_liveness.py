"""Who is taken for alive, and when the next session is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sensors.session_liveness import Ended, Seen, SessionRow, SessionRun, decide, is_lost

HEALTHY = SessionRow("r1", "serving", 0.5, locked=True)


def run(status="running", *, locked=True, age=100.0, row=HEALTHY):
    return SessionRun("r1", status, locked, age, row)


def silent(seconds, state="serving"):
    return SessionRow("r1", state, seconds, locked=False)


def test_the_first_session_is_asked_for():
    assert decide([], [], Seen(), [], 0.0).request


@pytest.mark.parametrize(
    "there",
    [
        run(),
        run("waiting", locked=False, row=None),
        # Starting: it has neither a row nor the lock yet.
        run(locked=False, age=3.0, row=None),
        # Postgres was restarted: the session writes again, its lock comes back a little later.
        run(locked=False, row=silent(1.0)),
    ],
)
def test_one_session_is_enough(there):
    decision = decide([there], [], Seen(-5.0, {"r1": -100.0}), [], 0.0)
    assert not decision.request
    assert not decision.dead
    assert not decision.seen.missing_since


def test_a_run_without_lock_and_word_is_dead_at_the_second_look_and_replaced_at_once():
    killed = run(locked=False, row=silent(6.0))
    first = decide([killed], [], Seen(), [], 1_000.0)
    assert (first.dead, first.request) == ((), False)
    second = decide([killed], [], first.seen, [], 1_005.0)
    assert (second.dead, second.request) == (("r1",), True)
    assert not second.seen.missing_since


def test_what_was_seen_before_a_time_without_looks_says_nothing():
    quiet = run(locked=False, row=silent(30.0))
    first = decide([quiet], [], Seen(), [], 1_000.0)
    assert not decide([quiet], [], first.seen, [], 1_025.0).dead


def test_a_run_that_never_got_to_its_lock_is_dead_after_the_time_that_a_start_takes():
    stuck = run(locked=False, age=31.0, row=None)
    assert decide([stuck], [], Seen(0.0, {"r1": 0.0}), [], 5.0).dead == ("r1",)


@pytest.mark.parametrize(
    "leaving",
    [
        run(row=SessionRow("r1", "draining", 0.2, locked=True)),
        run("canceling"),
        SessionRun("r1", "running", True, 3_591.0, HEALTHY, left=9.0),
    ],
)
def test_the_next_session_waits_in_the_queue_while_one_drains(leaving):
    assert decide([leaving], [], Seen(), [], 0.0).request
    queued = SessionRun("r2", "waiting", False, 0.0, None)
    assert not decide([queued, leaving], [], Seen(), [], 0.0).request


def test_a_session_that_dagster_gave_up_is_not_doubled():
    decision = decide([], ["r7"], Seen(), [], 0.0)
    assert not decision.request
    assert "r7" in decision.message


def test_sessions_that_fail_at_once_are_not_asked_for_all_the_time():
    short = Ended(failed=True, lifetime=3.0, ago=1.0)
    assert decide([], [], Seen(), [short], 0.0).request, (
        "the first one is not held against the next"
    )
    paused = decide([], [], Seen(), [short, short, short], 0.0)
    assert not paused.request
    assert "3 sessions in a row failed at once: the next in 19 s" in paused.message
    assert decide([], [], Seen(), [Ended(True, 3.0, 20.0), short, short], 0.0).request
    assert not decide([], [], Seen(), [Ended(True, 3.0, 299.0)] * 10, 0.0).request
    assert decide([], [], Seen(), [Ended(True, 3.0, 300.0)] * 10, 0.0).request


@pytest.mark.parametrize(
    "last", [Ended(True, 3_000.0, 1.0), Ended(False, 3.0, 1.0)], ids=["long", "well"]
)
def test_a_session_that_served_or_ended_well_ends_the_row_of_failures(last):
    short = Ended(failed=True, lifetime=3.0, ago=50.0)
    assert decide([], [], Seen(), [last, short, short, short], 0.0).request


@pytest.mark.parametrize(
    ("seconds", "locked", "ended", "lost"),
    [
        (5.0, False, True, True),
        (3.0, False, True, False),
        (29.0, False, False, False),
        (31.0, False, False, True),
        (900.0, True, True, False),
    ],
)
def test_a_session_is_lost_when_nobody_holds_its_lock_and_it_has_said_nothing(
    seconds, locked, ended, lost
):
    assert is_lost(SessionRow("r", "serving", seconds, locked), ended=ended) is lost


@dataclass
class Process:
    """A session as it really is; ``ends`` is when it has drained."""

    name: str
    requested: float
    launched: float | None = None
    died: float | None = None
    ends: float | None = None
    reported: bool = False

    def lives(self, now):
        return self.launched is not None and not self.died and not self.over(now)

    def over(self, now):
        return self.ends is not None and now >= self.ends


@dataclass
class World:
    """Seconds of a machine with one sensor, one queue and one Postgres."""

    now: float = 0.0
    outage_began: float = float("-inf")
    outage_ended: float = float("-inf")
    down: bool = False
    sessions: list[Process] = field(default_factory=list)
    seen: Seen = field(default_factory=Seen)
    ended: list[Ended] = field(default_factory=list)

    def serving(self):
        return [one for one in self.sessions if one.lives(self.now) and one.ends is None]

    def in_flight(self):
        return [one for one in self.sessions if not one.over(self.now) and not one.reported]

    def second(self):
        """Let one second go by: the queue launches, the sensor ticks every fifth."""
        self.now += 1
        running = [one for one in self.in_flight() if one.launched is not None]
        for one in self.in_flight():
            if one.launched is None and not running and self.now - one.requested >= 6:
                one.launched = self.now
                running = [one]
        if self.now % 5 == 0 and not self.down:
            self.tick()

    def look(self, one):
        if one.launched is None:
            return SessionRun(one.name, "waiting", False, 0.0, None)
        until = one.died or self.now
        # After an outage the row is written within 2 s, the lock taken again within 5 s.
        heard = until - 1 if self.outage_ended + 2 <= until else self.outage_began
        locked = one.lives(self.now) and self.now >= self.outage_ended + 5
        state: Literal["draining", "serving"] = "draining" if one.ends else "serving"
        row = SessionRow(one.name, state, self.now - max(heard, one.launched), locked)
        return SessionRun(one.name, "running", locked, self.now - one.launched, row)

    def tick(self):
        runs = [self.look(one) for one in self.in_flight()]
        decision = decide(runs, [], self.seen, self.ended, self.now)
        self.seen = decision.seen
        for one in self.sessions:
            if one.name in decision.dead:
                assert one.died, f"{one.name} was alive at {self.now}"
                one.reported = True
        if decision.request:
            self.sessions.append(Process(f"s{len(self.sessions)}", self.now))


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["crash", "outage", "drain", "nothing"]),
        st.integers(min_value=1, max_value=40),
    ),
    max_size=15,
)


@settings(max_examples=150, deadline=None)
@given(EVENTS)
@example([("outage", 37), ("outage", 5), ("outage", 5)])
def test_whatever_happens_at_most_one_serves_and_soon_one_does_again(events):
    world = World()
    for what, seconds in events:
        serving = world.serving()
        if what == "crash" and serving:
            serving[0].died = world.now
        elif what == "drain" and serving:
            serving[0].ends = world.now + 4
        elif what == "outage":
            world.down, world.outage_began = True, world.now
            for _ in range(seconds):
                world.second()
            world.down, world.outage_ended = False, world.now
        for _ in range(seconds):
            world.second()
            assert len(world.serving()) <= 1
            queued = [one for one in world.in_flight() if one.launched is None]
            assert len(queued) <= 1
    for _ in range(35):
        world.second()
    assert len(world.serving()) == 1
