"""A set of numbers at a bit each is the set that Python has."""

from __future__ import annotations

import sys

from hypothesis import given
from hypothesis import strategies as st

from assets.images.tasks.numbers import Numbers

SOME = st.lists(st.integers(0, 3_000))


@given(SOME, SOME)
def test_it_is_the_set(added: list[int], taken: list[int]) -> None:
    ours, theirs = Numbers(added), set(added) - set(taken)
    for number in taken:
        ours.discard(number)
    assert list(ours) == sorted(theirs)
    assert len(ours) == len(theirs)
    assert all(number in ours for number in theirs)
    assert not any(number in ours for number in taken)


def test_a_million_are_small() -> None:
    numbers = Numbers(range(1_000_000))
    assert len(numbers) == 1_000_000
    assert sys.getsizeof(numbers._bits) < 200_000
