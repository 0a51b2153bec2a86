"""Which shards are sent when: never too many, none twice at once, all in the end."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from assets.images.scaleout.sending import RESEND, priority, to_send, turns_of
from assets.images.scaleout.shards import ranges

NUMBERS = st.lists(st.integers(0, 30), unique=True).map(sorted)
TIMES = st.floats(0, 1_000)


@given(
    waiting=NUMBERS,
    held=st.sets(st.integers(0, 30)),
    sent=st.dictionaries(st.integers(0, 30), TIMES),
    now=TIMES,
    window=st.integers(1, 9),
)
def test_the_window_holds_and_what_is_held_or_was_just_sent_is_let_be(
    waiting, held, sent, now, window
):
    sending = to_send(waiting, held, sent, now, window)

    lately = {n for n, at in sent.items() if now - at < RESEND}
    under_way = (held | lately) & set(waiting)
    assert len(under_way | set(sending)) <= max(window, len(under_way))
    assert not (held | lately) & set(sending)
    assert set(sending) <= set(waiting)
    assert sending == sorted(sending)
    # What there is room for is sent.
    room = max(window - len(under_way), 0)
    assert len(sending) == min(room, len(set(waiting) - under_way))


@settings(deadline=None)
@given(
    count=st.integers(1, 25),
    window=st.integers(1, 6),
    fates=st.lists(st.sampled_from(["lost", "held", "done", "died"]), max_size=60),
)
def test_everything_is_sent_and_done_whatever_is_lost_on_the_way(count, window, fates):
    """Messages get lost and workers die as ``fates`` say; after these, all goes well."""
    waiting, sent, held = list(range(count)), dict[int, float](), set[int]()
    fate, now = iter(fates), 0.0
    for _ in range(10_000):
        if not waiting:
            break
        sending = to_send(waiting, held, sent, now, window)
        for number in sending:
            assert number not in held
            assert now - sent.get(number, -RESEND) >= RESEND
            sent[number] = now
            held.add(number)
        assert len(held) <= window
        for number in sorted(held):
            what = next(fate, "done")
            if what != "held":
                held.discard(number)
            if what == "done":
                waiting.remove(number)
        now += 5.0
    assert waiting == []
    assert set(sent) == set(range(count))


def test_a_turn_begins_when_a_session_first_holds_a_shard():
    turns = turns_of({1: 70, 2: 71}, {}, 5.0)
    assert turns == {(1, 70): 5.0, (2, 71): 5.0}

    assert turns_of({1: 70, 2: 72}, turns, 9.0) == {(1, 70): 5.0, (2, 72): 9.0}


def test_the_fewer_shards_the_sooner():
    ranks = [priority(count) for count in range(1, 400)]

    assert ranks == sorted(ranks, reverse=True)
    assert (ranks[0], ranks[-1]) == (9, 1)


@given(items=st.integers(0, 5_000), size=st.integers(1, 700))
def test_each_item_is_of_one_shard(items, size):
    found = ranges(items, size)

    assert [n for first, last in found for n in range(first, last + 1)] == list(range(1, items + 1))
    assert all(last - first + 1 == size for first, last in found[:-1])
    assert all(last >= first for first, last in found)
