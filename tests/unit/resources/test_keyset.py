"""Cursors: what a list gave comes back as it was, and nothing else is taken."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from resources.keyset import BrokenCursorError, By, Listing, after, cursor_of, values_of, where

KINDS = {
    "text": st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    "bigint": st.integers(-(2**63), 2**63 - 1),
    "double precision": st.floats(allow_nan=False),
    "timestamptz": st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC)),  # noqa: DTZ001
    "date": st.dates(),
}
OTHER = b"another l"
LIST = b"this list"


@st.composite
def places(draw):
    kinds = draw(st.lists(st.sampled_from(list(KINDS)), min_size=1, max_size=4))
    return kinds, [draw(st.none() | KINDS[kind]) for kind in kinds]


@given(places())
def test_a_cursor_stands_for_its_values(place):
    kinds, values = place
    assert values_of(LIST, kinds, cursor_of(LIST, values)) == values


@given(places(), st.data())
def test_a_cursor_that_was_altered_or_is_of_another_list_is_refused(place, data):
    kinds, values = place
    cursor = cursor_of(LIST, values)
    with pytest.raises(BrokenCursorError):
        values_of(OTHER, kinds, cursor)
    at = data.draw(st.integers(0, len(cursor) - 1))
    letter = data.draw(st.characters(max_codepoint=126))
    for broken in (cursor[:at], cursor[:at] + letter + cursor[at:], cursor + letter):
        assume(broken != cursor)
        with pytest.raises(BrokenCursorError):
            values_of(LIST, kinds, broken)
    other = cursor[:at] + letter + cursor[at + 1 :]
    if other != cursor:
        with pytest.raises(BrokenCursorError):
            values_of(LIST, kinds, other)


@given(st.text(max_size=200))
def test_any_other_text_is_refused(text):
    with pytest.raises(BrokenCursorError):
        values_of(LIST, ["text"], text)


@pytest.mark.parametrize(
    "said", [["x"], [True], [1.5], [2**63], [None, None], {"a": 1}, [[1]]], ids=str
)
def test_what_is_sealed_but_no_row_s_is_refused(said):
    """Anybody can compute the seal."""
    cursor = cursor_of(LIST, said if isinstance(said, list) else [said])
    with pytest.raises(BrokenCursorError):
        values_of(LIST, ["bigint"], cursor)


@dataclass
class One:
    name: str


def test_lists_differ_by_their_filters_and_their_order():
    def digest(value=None, *, descending=False):
        filters, bound = where({"name = {}": value})
        return Listing(
            One, f"SELECT name FROM t {filters}", (By("name", "text", descending),), bound
        ).digest

    assert digest("a") == digest("a")
    assert len({digest(), digest("a"), digest("b"), digest("a", descending=True)}) == 4


def test_values_never_become_sql():
    evil = "' OR true; --"
    filters, bound = where({"name = {}": evil, "year = {}": None})
    listing = Listing(One, f"SELECT name FROM t {filters}", (By("name", "text"),), bound)
    statement, parameters = listing._statement(cursor_of(listing.digest, [evil]))
    assert evil not in statement
    assert list(parameters.values()) == [evil, evil]
    assert "year" not in statement


def test_one_direction_without_unknown_values_is_one_comparison():
    """An index is entered where the page begins."""
    order = (By("a", "bigint"), By("k", "text"))
    assert after(order, [1, "x"]) == (
        '(listed.a, listed.k COLLATE "C") > (%(after_0)s::bigint, %(after_1)s::text)'
    )
