"""A block of CSV in which every line is plain, read into columns of their types all at once.

Belongs here: telling such a block from all others. Does not: the others (``csv_blocks.py``), what a
value may be.
Imported lazily: needs polars and numpy.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np  # noqa: TID253
import polars as pl  # noqa: TID253

from assets.formats.csv_header import Header
from assets.formats.csv_rules import Limits

_LF = 10
#: A quote, a NUL and a lone CR mean something.
_NOT_PLAIN = (b'"', b"\0", b"\r")
#: What polars would take the rest for compressed after, though it may be text.
_ZLIB = (b"x\x01", b"x^")


def typed(
    block: bytes, header: Header, types: Mapping[str, pl.DataType], limits: Limits
) -> pl.DataFrame | None:
    """The header's columns of whole lines by ``types``, a row for each line; None for any other.

    For other blocks than those of ASCII in which each line has all its fields, none empty, and
    every value is of its type as polars spells it. None says nothing of what is wrong, if anything.
    """
    if not block.isascii() or any(one in block for one in _NOT_PLAIN):
        return None
    if block.startswith(_ZLIB):
        return None
    ends = np.flatnonzero(np.frombuffer(block, dtype=np.uint8) == _LF)
    if not len(ends) or int(np.diff(ends, prepend=-1).max()) > limits.field_bytes:
        return None
    schema = {name: types.get(name, pl.String()) for name in header.order}
    try:
        frame = pl.read_csv(block, has_header=False, schema=schema, quote_char=None)
    except pl.exceptions.PolarsError:
        return None
    # Of a blank line all fields are null, and those that a short line does not have.
    if frame.height != len(ends) or any(column.null_count() for column in frame.iter_columns()):
        return None
    return frame.select(header.columns)
