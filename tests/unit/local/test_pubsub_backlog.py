"""Backlogs of the Pub/Sub server: leases, attempts, delays, ordering keys; a clock by hand."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local.pubsub.backlog import Backlog, Consumer, Delay


def take(backlog: Backlog, consumer: Consumer, now: float = 0.0, limit: int = 100) -> list[str]:
    """Ack ids of what ``consumer`` gets, leased for 10 s, 1 byte each."""
    ack_ids = []
    while len(ack_ids) < limit and not consumer.full and (found := backlog.next(consumer)):
        ack_ids.append(backlog.lease(*found, 1, now + 10, consumer)[0])
    return ack_ids


def numbers(backlog: Backlog, ack_ids: list[str]) -> list[int]:
    leases = [backlog.find(ack_id) for ack_id in ack_ids]
    return [lease.message for lease in leases if lease]


def filled(*messages: int, **more: bool) -> Backlog:
    backlog = Backlog(**more)
    for message in messages:
        backlog.add(message)
    return backlog


def test_an_acknowledged_message_is_done() -> None:
    backlog, consumer = filled(1, 2), Consumer()
    ack_ids = take(backlog, consumer)
    assert numbers(backlog, ack_ids) == [1, 2]
    assert (backlog.outstanding, backlog.waiting, consumer.messages) == (2, 0, 2)
    assert backlog.acknowledge([ack_ids[0], "unknown", ack_ids[0]]) == [1]
    assert backlog.tick(1e9)[0].message == 2
    assert backlog.acknowledge(ack_ids) == []
    assert numbers(backlog, take(backlog, consumer)) == [2]


def test_a_deadline_gives_back_and_an_extension_moves_it() -> None:
    backlog, consumer = filled(1, 2), Consumer()
    one, two = take(backlog, consumer, now=0)
    backlog.extend([two], 25)
    assert backlog.tick(9.9) == []
    assert [lease.message for lease in backlog.tick(10)] == [1]
    assert numbers(backlog, [one, two]) == [2]
    assert [lease.message for lease in backlog.tick(25)] == [2]
    backlog.extend([two], 99)
    assert (backlog.waiting, backlog.outstanding, consumer.messages, consumer.bytes) == (2, 0, 0, 0)


def test_a_shorter_deadline_counts() -> None:
    backlog = filled(1)
    backlog.tick(0)
    [ack_id] = take(backlog, Consumer(), now=100)
    backlog.extend([ack_id], 101)
    assert len(backlog.tick(101)) == 1


def test_limits_of_a_consumer() -> None:
    backlog = filled(*range(10))
    few = Consumer(max_messages=3)
    ack_ids = take(backlog, few)
    assert len(ack_ids) == 3
    assert take(backlog, few) == []
    backlog.acknowledge(ack_ids[:1])
    assert len(take(backlog, few)) == 1
    assert len(take(backlog, Consumer(max_bytes=2))) == 2
    assert len(take(backlog, Consumer())) == 4


def test_consumers_are_woken() -> None:
    backlog = filled()
    woken: Counter[str] = Counter()
    one = Consumer(max_messages=1, wake=lambda: woken.update(["one"]))
    other = Consumer(wake=lambda: woken.update(["other"]))
    backlog.join(one)
    backlog.join(other)
    backlog.add(1)
    backlog.added()
    assert woken == {"one": 1, "other": 1}
    [ack_id] = take(backlog, one)
    backlog.acknowledge([ack_id])
    assert woken == {"one": 2, "other": 1}
    backlog.leave(one)
    backlog.added()
    assert woken == {"one": 2, "other": 2}


def test_attempts_and_the_last_of_them() -> None:
    backlog, consumer = filled(1), Consumer()
    backlog.max_attempts = 3
    attempts = []
    for _ in range(3):
        [ack_id] = take(backlog, consumer)
        lease = backlog.find(ack_id)
        assert lease
        attempts.append(lease.attempt)
        [ended] = backlog.give_back([ack_id], 0)
    assert attempts == [1, 2, 3]
    assert ended.spent
    assert (backlog.waiting, backlog.outstanding) == (0, 0)


def test_attempts_of_an_earlier_server_count() -> None:
    backlog = Backlog()
    backlog.add(1, attempts=4)
    [ack_id] = take(backlog, Consumer())
    lease = backlog.find(ack_id)
    assert lease
    assert lease.attempt == 5


def test_a_delay_doubles_up_to_its_most() -> None:
    delay = Delay(10, 35)
    assert [delay.after(attempt) for attempt in (1, 2, 3, 4, 1_000)] == [10, 20, 35, 35, 35]
    assert Delay().after(3) == 0


def test_what_comes_back_waits_for_its_delay() -> None:
    backlog, consumer = filled(1), Consumer()
    backlog.delay = Delay(10, 600)
    backlog.give_back(take(backlog, consumer), 100)
    backlog.tick(109.9)
    assert take(backlog, consumer) == []
    assert backlog.waiting == 1
    backlog.tick(110)
    backlog.give_back(take(backlog, consumer, now=110), 110)
    backlog.tick(129)
    assert take(backlog, consumer) == []
    backlog.tick(130)
    assert len(take(backlog, consumer)) == 1


def test_what_is_too_old_is_forgotten() -> None:
    backlog = filled(1, 2, 3, 4)
    backlog.forget_before(3)
    assert numbers(backlog, take(backlog, Consumer())) == [3, 4]


# -- ordering keys ----------------------------------------------------------------------------


def ordered(**keys: list[int]) -> Backlog:
    backlog = Backlog(ordered=True)
    for message, key in sorted((message, key) for key, all_ in keys.items() for message in all_):
        backlog.add(message, key)
    return backlog


def test_a_key_is_out_at_one_consumer() -> None:
    backlog = ordered(a=[1, 3, 5], b=[2, 4])
    one, other = Consumer(max_messages=1), Consumer()
    first = take(backlog, one)
    assert numbers(backlog, first) == [1]
    assert numbers(backlog, take(backlog, other)) == [2, 4]
    backlog.acknowledge(first)
    assert numbers(backlog, take(backlog, other)) == [3, 5]


def test_what_comes_back_takes_those_after_it_along() -> None:
    backlog, consumer = ordered(a=[1, 2, 3, 4]), Consumer(max_messages=3)
    ack_ids = take(backlog, consumer)
    ended = backlog.give_back([ack_ids[1]], 0)
    assert [lease.message for lease in ended] == [2, 3]
    assert numbers(backlog, ack_ids) == [1]
    assert take(backlog, Consumer()) == []
    assert numbers(backlog, take(backlog, Consumer())) == []
    backlog.acknowledge(ack_ids)
    assert numbers(backlog, take(backlog, Consumer())) == [2, 3, 4]


def test_a_delayed_key_stays_in_order() -> None:
    backlog, consumer = ordered(a=[1, 2], b=[3]), Consumer()
    backlog.delay = Delay(10, 600)
    one, two, _ = take(backlog, consumer)
    backlog.give_back([two], 0)
    backlog.give_back([one], 0)
    backlog.add(4, "a")
    assert take(backlog, consumer) == []
    backlog.tick(10)
    assert numbers(backlog, take(backlog, consumer)) == [1, 2, 4]


def test_keys_mean_nothing_where_order_is_not_asked_for() -> None:
    backlog = Backlog()
    for message in (1, 2):
        backlog.add(message, "a")
    assert len(take(backlog, Consumer(max_messages=1))) == 1
    assert len(take(backlog, Consumer())) == 1


STEPS = st.lists(
    st.tuples(st.sampled_from(["take", "ack", "nack", "late", "add"]), st.integers(0, 5)),
    max_size=60,
)


@pytest.mark.parametrize("delay", [Delay(), Delay(1, 4)])
@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_nothing_is_lost_and_keys_keep_their_order(
    delay: Delay, steps: list[tuple[str, int]]
) -> None:
    backlog, chance = Backlog(ordered=True), random.Random(1)
    backlog.delay = delay
    consumers = [Consumer(max_messages=4), Consumer(max_messages=2)]
    added: dict[int, str] = {}
    done: list[int] = []
    out: list[str] = []
    now = 0.0

    def acknowledge(count: int) -> None:
        chosen, out[:] = out[:count], out[count:]
        done.extend(backlog.acknowledge(chosen))

    for step, count in steps:
        now += 0.5
        backlog.tick(now)
        if step == "add":
            for _ in range(count):
                key = chance.choice(["", "a", "b"])
                added[len(added) + 1] = key
                backlog.add(len(added), key)
        elif step == "take":
            out += take(backlog, consumers[count % 2], now)
        elif step == "ack":
            acknowledge(count)
        elif step == "nack":
            backlog.give_back(out[:count], now)
        else:
            now += 3
        assert backlog.waiting + backlog.outstanding == len(added) - len(done)
        assert backlog.outstanding == sum(consumer.messages for consumer in consumers)
    while len(done) < len(added):
        now += 20
        backlog.tick(now)
        out += take(backlog, consumers[1], now)
        acknowledge(len(out))
    assert sorted(done) == sorted(added)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(["take", "nack", "ack"]), max_size=40), st.integers(1, 4))
def test_a_key_is_seen_in_order(steps: list[str], room: int) -> None:
    """Whenever a message is delivered, each earlier one of its key was delivered before."""
    backlog, consumer = ordered(a=list(range(1, 8))), Consumer(max_messages=room)
    seen = 0
    out: list[str] = []
    for step in [*steps, *(["take", "ack"] * 8)]:
        if step == "take":
            got = take(backlog, consumer)
            for number in numbers(backlog, got):
                assert number <= seen + 1
                seen = max(seen, number)
            out = [ack_id for ack_id in out if backlog.find(ack_id)] + got
        elif step == "nack":
            backlog.give_back(out[len(out) // 2 :][:1], 0)
        else:
            backlog.acknowledge(out[:1])
    assert seen == 7
