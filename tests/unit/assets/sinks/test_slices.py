from __future__ import annotations

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from assets.sinks.slices import slices


@given(st.lists(st.tuples(st.text(max_size=9) | st.none(), st.integers()), max_size=40),
       st.integers(1, 7), st.integers(1, 30))  # fmt: skip
def test_every_row_once_in_order_within_both_bounds(rows, most, size):
    rows = [(text, number % 2**31) for text, number in rows]
    frame = pl.DataFrame(rows, schema={"text": pl.String, "n": pl.Int64}, orient="row")
    parts = list(slices(frame, rows=most, size=size))
    assert [row for part in parts for row in part.rows()] == rows
    for part in parts:
        held = sum(len((text or "").encode()) for text, _ in part.rows())
        assert 0 < part.height <= most
        assert held <= size or part.height == 1
