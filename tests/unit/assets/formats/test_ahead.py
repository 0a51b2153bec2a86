"""Pieces made one ahead of their use."""

from __future__ import annotations

import threading

import pytest

from assets.formats.ahead import one_ahead


def test_items_come_in_their_order():
    assert list(one_ahead(n for n in range(100))) == list(range(100))
    assert list(one_ahead(n for n in range(0))) == []


def test_the_next_item_is_made_while_one_is_in_use():
    """Each waits for the user of the one before: made one by one, they would wait for ever."""
    used = [threading.Event() for _ in range(4)]

    def made():
        yield 0
        for number, event in enumerate(used[:3], start=1):
            assert event.wait(30)
            yield number

    for number in one_ahead(made()):
        used[number].set()
    assert used[3].is_set()


def test_no_more_than_one_waits():
    made = []

    def making():
        for number in range(10):
            made.append(number)
            yield number

    items = one_ahead(making())
    assert next(items) == 0
    items.close()
    assert made in ([0], [0, 1])


def test_an_error_comes_behind_what_was_made_before_it():
    def broken():
        yield 1
        raise ValueError("the rest is missing")

    items = one_ahead(broken())
    assert next(items) == 1
    with pytest.raises(ValueError, match="the rest is missing"):
        next(items)


@pytest.mark.parametrize("used", [0, 1, 2])
def test_what_was_opened_is_closed_by_whoever_leaves_early(used):
    closed = []

    def opened():
        try:
            yield from range(5)
        finally:
            closed.append(True)

    items = one_ahead(opened())
    for _ in range(used):
        next(items)
    items.close()
    assert closed == ([True] if used else [])
