from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from api.breaker import FIRST_LOOK, LAST_LOOK, Breaker


@given(st.lists(st.tuples(st.floats(0, 100), st.booleans()), max_size=40))
def test_it_is_open_exactly_while_the_last_look_found_nobody(looks):
    breaker, now, away = Breaker(), 0.0, False
    for pause, there in looks:
        now += pause
        if there:
            assert breaker.seen_there() == away
        else:
            breaker.seen_away(now, "refused")
        away = not there
        assert breaker.open == away
        assert breaker.look_due(now) is False
        if away:
            assert now + FIRST_LOOK <= breaker.next_look <= now + LAST_LOOK
            assert breaker.look_due(breaker.next_look)
            # Who asks again then finds that it has been looked for.
            assert now + breaker.retry_after(now) >= breaker.next_look
            assert breaker.retry_after(now) >= 1


def test_looks_become_rarer_and_start_anew():
    breaker, found = Breaker(), []
    for _ in range(7):
        breaker.seen_away(10.0, "refused")
        found.append(breaker.next_look - 10.0)
    assert found == [0.5, 1, 2, 4, 8, 8, 8]
    breaker.seen_there()
    breaker.seen_away(20.0, "refused")
    assert breaker.next_look == 20.5
