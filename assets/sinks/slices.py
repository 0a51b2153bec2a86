"""Frames in pieces that a store takes in one request.

Belongs here: bounds by rows and by bytes. Does not: any store's bounds.
Imported lazily: needs polars.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl  # noqa: TID253


def slices(frame: pl.DataFrame, *, rows: int, size: int) -> Iterator[pl.DataFrame]:
    """Consecutive rows, at most ``rows`` and about ``size`` bytes of text; one row at least."""
    names = [name for name, kind in frame.schema.items() if kind == pl.String]
    texts = [pl.col(name).str.len_bytes().fill_null(0) for name in names]
    bytes_of = pl.sum_horizontal(texts) if texts else pl.lit(0)
    if frame.height <= rows and frame.select(bytes_of.sum()).item() <= size:
        if frame.height:
            yield frame
        return
    first = held = 0
    for at, more in enumerate(frame.select(bytes_of).to_series()):
        if at > first and (at - first == rows or held + more > size):
            yield frame.slice(first, at - first)
            first, held = at, 0
        held += more
    yield frame.slice(first)
