"""Splitting requests until refused rows stand alone."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.sinks.isolating import SUSPECTS, Isolating, Refusal


class OfData(Exception):
    """A refusal that may be of data."""


class OfOneRow(OfData):
    """One that can be of nothing else."""


def why(error: Exception) -> Refusal | None:
    if not isinstance(error, OfData):
        return None
    return Refusal(str(error), certain=isinstance(error, OfOneRow))


@dataclass
class Store:
    """Takes requests without a bad row."""

    bad: frozenset[int]
    error: type[Exception] = OfData
    held: set[int] = field(default_factory=set)
    requests: int = 0

    def write(self, rows: list[int]) -> None:
        assert rows
        self.requests += 1
        if found := self.bad & set(rows):
            raise self.error(f"{min(found)} is bad")
        self.held |= set(rows)


def isolated(store: Store, *requests: list[int]) -> dict[int, str]:
    told: dict[int, str] = {}

    def refused(rows: list[int], detail: str) -> None:
        (row,) = rows
        told[row] = detail

    isolating: Isolating[list[int]] = Isolating(why, refused)
    for request in requests:
        isolating.write(request, store.write)
    isolating.settle()
    return told


@given(st.integers(2, 300), st.data())
def test_exactly_the_bad_rows_are_set_aside_and_the_others_are_there(rows, data):
    bad = data.draw(st.sets(st.integers(0, rows - 1), max_size=min(rows - 1, SUSPECTS - 1)))
    store = Store(frozenset(bad))
    told = isolated(store, list(range(rows)))
    assert told == {row: f"{row} is bad" for row in bad}
    assert store.held == set(range(rows)) - bad
    assert store.requests <= 1 + len(bad) * 2 * math.ceil(math.log2(rows))


@dataclass
class Keeping:
    """Takes requests that are neither too heavy nor hold a bad row, nor break a pair.

    A pair is broken by a request that holds both of its rows, or one while the other is there.
    """

    bad: set[int]
    pairs: set[tuple[int, int]]
    most: int
    keeps_pairs: bool
    held: set[int] = field(default_factory=set)
    refused_alone: set[int] = field(default_factory=set)
    requests: int = 0

    def write(self, rows: list[int]) -> None:
        assert rows
        self.requests += 1
        asked = set(rows)
        together = asked | self.held if self.keeps_pairs else asked
        broken = any(set(pair) <= together and asked & set(pair) for pair in self.pairs)
        if asked & self.bad or broken or sum(1 + row % 3 for row in rows) > self.most:
            if len(rows) == 1:
                self.refused_alone |= asked
            raise OfData(f"one of {rows} is bad")
        self.held |= asked


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_no_row_is_lost_whatever_a_store_refuses(data):
    rows = data.draw(st.integers(1, 120))
    one = st.integers(0, rows - 1)
    store = Keeping(
        bad=data.draw(st.sets(one)),
        pairs=data.draw(st.sets(st.tuples(one, one).filter(lambda p: p[0] != p[1]), max_size=40)),
        most=data.draw(st.integers(1, 400)),
        keeps_pairs=data.draw(st.booleans()),
    )
    cut = data.draw(st.integers(0, rows))
    told: dict[int, str] = {}
    isolating: Isolating[list[int]] = Isolating(why, lambda row, said: told.update({row[0]: said}))
    raised = False
    try:
        for request in (list(range(cut)), list(range(cut, rows))):
            isolating.write(request, store.write)
        isolating.settle()
    except OfData:
        raised = True
    assert store.requests <= 3 * rows, "an end, whatever is refused"
    assert not told.keys() & store.held
    assert told.keys() <= store.refused_alone
    if raised:
        assert not store.held, "something got through: what did not is the rows' fault"
        assert len(store.refused_alone) >= min(SUSPECTS, rows, max(cut, rows - cut))
    else:
        assert told.keys() | store.held == set(range(rows))
        alone = {row for row in range(rows) if 1 + row % 3 > store.most}
        of_pairs = {row for pair in store.pairs for row in pair} if store.keeps_pairs else set()
        assert store.bad | alone <= told.keys() <= store.bad | alone | of_pairs


@pytest.mark.parametrize(
    "good", [[99], [0], [60, 61], list(range(50, 100)), list(range(0, 100, 7))]
)
def test_many_bad_rows_side_by_side_are_not_the_system(good):
    bad = frozenset(range(100)) - set(good)
    store = Store(bad)
    if good == [60, 61]:
        with pytest.raises(OfData):
            isolated(store, list(range(100)))
        assert store.requests < 40, "98 of 100: as good as all, and found out by few requests"
    else:
        assert isolated(store, list(range(100))).keys() == bad
        assert store.held == set(good)


def test_what_refuses_every_row_is_raised_after_a_few_requests():
    store = Store(frozenset(range(1_000)))
    with pytest.raises(OfData, match="0 is bad"):
        isolated(store, list(range(1_000)))
    assert store.requests < 40
    with pytest.raises(OfData, match="5 is bad"):
        isolated(Store(frozenset({5})), [5])


def test_another_request_that_got_through_is_evidence_before_and_after():
    for requests in ([[1], [5]], [[5], [1]]):
        assert isolated(Store(frozenset({5})), *requests) == {5: "5 is bad"}


def test_words_that_can_mean_the_row_only_need_no_evidence():
    assert isolated(Store(frozenset({5}), error=OfOneRow), [5]) == {5: "5 is bad"}


def test_a_request_that_is_too_much_is_cut_and_no_row_is_blamed():
    class Cramped(Store):
        def write(self, rows: list[int]) -> None:
            super().write(rows)
            if len(rows) > 7 or rows == [99]:
                self.held -= set(rows)
                raise OfData("no memory")

    def too_much(error: Exception) -> Refusal:
        return Refusal(str(error), too_much="no memory" in str(error))

    told: list[list[int]] = []
    isolating: Isolating[list[int]] = Isolating(too_much, lambda row, _: told.append(row))
    store = Cramped(frozenset({40}))
    isolating.write(list(range(60)), store.write)
    isolating.settle()
    assert (store.held, told) == (set(range(60)) - {40}, [[40]])
    with pytest.raises(OfData, match="no memory"):
        isolating.write([99], store.write)
    assert told == [[40]]


def test_any_other_error_is_raised_at_once():
    store = Store(frozenset({5}), error=ConnectionError)
    with pytest.raises(ConnectionError):
        isolated(store, list(range(10)))
    assert store.requests == 1


def test_without_somebody_to_tell_every_error_is_raised():
    isolating: Isolating[list[int]] = Isolating(why, None)
    store = Store(frozenset({5}), error=OfOneRow)
    with pytest.raises(OfOneRow):
        isolating.write([4, 5], store.write)
    with pytest.raises(OfData):
        isolating.suspect([5], Refusal("bad"), OfData())


def test_rows_that_the_store_singles_out_are_no_evidence_of_others():
    told: list[list[int]] = []
    isolating: Isolating[list[int]] = Isolating(why, lambda rows, _: told.append(rows))
    error = OfData("5 is bad")

    def write(rows: list[int]) -> None:
        isolating.suspect([5], Refusal("bad"), error)

    isolating.write([5], write)
    with pytest.raises(OfData, match="5 is bad"):
        isolating.settle()
    assert told == []
    isolating.got_through()
    isolating.settle()
    assert told == [[5]]
