"""Keys of events: the queue between the thread that listens and the ticks."""

from __future__ import annotations

import threading
from urllib.parse import quote_plus

import pytest

from landing.arrival.events import FIRST_DELAY, LAST_DELAY, KeyQueue, Listener, Listeners
from landing.stores.minio_events import keys_of


def test_keys_come_in_order_and_once():
    queue = KeyQueue()
    for key in ("b", "a", "b", "c"):
        queue.put(key)
    assert queue.drain(2) == ["b", "a"]
    queue.put("b")
    assert queue.drain() == ["c", "b"]
    assert queue.drain() == []
    assert (queue.received, queue.dropped) == (5, 0)


def test_a_full_queue_drops_and_counts():
    queue = KeyQueue(limit=2)
    for key in ("a", "b", "a", "c"):
        queue.put(key)
    queue.put_back(["d", "b"])
    assert queue.drain() == ["a", "b"]
    assert (queue.received, queue.dropped) == (4, 2)


def test_what_a_tick_could_not_use_waits_behind_the_others():
    queue = KeyQueue()
    queue.put("early")
    (kept,) = queue.drain(1)
    queue.put("meanwhile")
    queue.put_back([kept])
    assert queue.drain() == ["meanwhile", "early"]


class Subscription:
    """Each call is one subscription: what it yields, and an error that ends it, if any."""

    def __init__(self, *outcomes):
        self.outcomes = list(outcomes)

    def __call__(self):
        keys, error = self.outcomes.pop(0)
        yield from keys
        if error:
            raise error


def test_a_broken_subscription_is_renewed_with_growing_patience_until_it_works_again():
    waits = []
    broken = [((), ConnectionError("refused"))] * 8
    listener = Listener(
        "test", Subscription(*broken, (["a", "b"], None), ((), ValueError("x"))), sleep=waits.append
    )
    for _ in broken:
        listener.listen_once()
    assert listener.status.last_error == "ConnectionError: refused"
    assert listener.status.failures == 8
    nominal = [min(FIRST_DELAY * 2**n, LAST_DELAY) for n in range(8)]
    assert waits == [pytest.approx(seconds, rel=0.21) for seconds in nominal]
    listener.listen_once()
    assert listener.keys.drain() == ["a", "b"]
    assert listener.status.last_error == "the subscription ended"
    assert waits[-1] == pytest.approx(FIRST_DELAY, rel=0.21), "it had worked"
    listener.listen_once()
    assert listener.status.last_error == "ValueError: x"
    assert listener.status.received == 2


def test_an_event_clears_the_last_error():
    seen = []

    def subscribe():
        yield "a"
        seen.append(listener.status.last_error)

    listener = Listener("test", Subscription(((), OSError("down"))), sleep=lambda _: None)
    listener.listen_once()
    listener._subscribe = subscribe
    listener.listen_once()
    assert seen == [None]


def test_it_works_once_an_event_came_and_until_something_goes_wrong():
    def subscribe():
        assert not listener.works
        yield "a"
        assert listener.works

    listener = Listener("campaigns", subscribe, sleep=lambda _: None)
    listener.listen_once()
    assert listener.status.last_error == "the subscription ended"
    assert not listener.works


def test_ticks_of_one_process_share_a_listener():
    def subscribe():
        threading.Event().wait()  # a subscription without events, for as long as the process lives
        yield ""

    listeners = Listeners()
    first = listeners.get("one", subscribe)
    assert listeners.get("one", subscribe) is first
    assert listeners.get("two", subscribe) is not first
    names = [thread.name for thread in threading.enumerate()]
    assert names.count("events-one") == names.count("events-two") == 1


@pytest.mark.parametrize("spelled", [str, quote_plus])
def test_a_key_is_named_whether_or_not_it_is_encoded(spelled):
    keys = ["a b/c+d.h5", "é/日本 語.json", "100%.csv", "x?y#z&=.txt", "plain.h5"]
    named = [keys_of({"Records": [{"s3": {"object": {"key": spelled(key)}}}]}) for key in keys]
    assert all(key in found for key, found in zip(keys, named, strict=True))
    assert named[-1] == ["plain.h5"], "once, where there is no doubt"


@pytest.mark.parametrize(
    "event", [{}, {"Records": None}, {"Records": [{}, {"s3": {"object": {}}}]}]
)
def test_what_is_no_event_names_nothing(event):
    assert keys_of(event) == []
