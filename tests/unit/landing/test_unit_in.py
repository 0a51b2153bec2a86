"""A unit that is told by what an object holds."""

from __future__ import annotations

from dataclasses import replace

from landing.arrival.source import UNIT_BYTES
from landing.arrival.tick import unit_of
from tests.memory_store import MemoryStore
from tests.unit.landing.test_scan import SOURCE


def held(data: bytes) -> str:
    return f"{len(data)} {data[:5].decode()}"


def test_an_object_says_which_unit_it_is_of_with_as_much_as_is_read_of_it():
    store = MemoryStore()
    source = replace(SOURCE, unit_in=held)
    unit = unit_of(source, store)
    assert unit is not None

    assert unit(store.put("a.json", b"first")) == "5 first"
    large = store.put("b.json", b"x" * (UNIT_BYTES + 100))
    assert unit(large) == f"{UNIT_BYTES + 1} xxxxx"


def test_an_object_that_is_gone_or_rewritten_by_then_says_nothing():
    store = MemoryStore()
    unit = unit_of(replace(SOURCE, unit_in=held), store)
    assert unit is not None
    gone, rewritten = store.put("a.json", b"gone"), store.put("b.json", b"old")
    store.delete("a.json")
    store.put("b.json", b"new")

    assert unit(gone) == unit(rewritten) == "0 "


def test_without_it_the_name_tells():
    assert unit_of(SOURCE, MemoryStore()) is None
