from __future__ import annotations

import hashlib

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landing.batch import staging
from landing.batch.staging import StagingLost, StagingWriter, intact, read_parts
from tests.memory_store import MemoryStore


def frame(start: int, count: int) -> pl.DataFrame:
    numbers = range(start, start + count)
    return pl.DataFrame(
        {"key": [f"r{n}" for n in numbers], "line": numbers, "text": [None] * count},
        schema={"key": pl.String, "line": pl.Int64, "text": pl.String},
    )


def write(store: MemoryStore, sizes: list[int]) -> tuple[staging.StagedPart, ...]:
    start = 0
    with StagingWriter(store, "campaigns", "b1") as writer:
        for size in sizes:
            writer.add(frame(start, size))
            start += size
        return writer.finish()


@given(st.lists(st.integers(0, 700), max_size=8), st.integers(1, 300))
@settings(max_examples=60, deadline=None)
def test_what_is_staged_is_read_in_order_in_bounded_pieces(sizes, rows):
    part_rows, group_rows = staging.PART_ROWS, staging.GROUP_ROWS
    staging.PART_ROWS, staging.GROUP_ROWS = 500, 100
    try:
        store = MemoryStore()
        parts = write(store, sizes)
    finally:
        staging.PART_ROWS, staging.GROUP_ROWS = part_rows, group_rows
    assert [p.rows for p in parts] == [min(500, sum(sizes) - n) for n in range(0, sum(sizes), 500)]
    for part in parts:
        data = store.get(part.key)
        assert (part.bytes, part.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    chunks = list(read_parts(store, parts, rows=rows))
    assert all(len(chunk) <= rows for chunk in chunks)
    assert [n for c in chunks for n in c["line"]] == list(range(sum(sizes)))
    assert write(MemoryStore(), sizes) is not None


def test_the_same_rows_give_the_same_bytes():
    first, second = MemoryStore(), MemoryStore()
    assert write(first, [50, 60]) == write(second, [50, 60])


@pytest.mark.parametrize("damage", ["missing", "changed", "cut"])
def test_a_part_that_is_not_what_was_staged_is_refused(damage):
    store = MemoryStore()
    parts = write(store, [50])
    assert intact(store, parts)
    data = store.get(parts[0].key)
    if damage == "missing":
        store.delete(parts[0].key)
    else:
        store.put(parts[0].key, data[:-1] if damage == "cut" else data[:-1] + b"!")
    assert not intact(store, parts)
    with pytest.raises(StagingLost, match="accepted-0"):
        list(read_parts(store, parts))
