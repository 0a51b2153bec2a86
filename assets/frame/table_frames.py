"""A table's columns as polars has them.

Belongs here: from declared types to polars' types. Does not: the declaration (``tables.py``).
Imported lazily: needs polars.
"""

from __future__ import annotations

import polars as pl  # noqa: TID253

from assets.frame.tables import Column, Table

_TYPES: dict[str, type[pl.DataType] | pl.DataType] = {
    "bigint": pl.Int64,
    "boolean": pl.Boolean,
    "date": pl.Date,
    "double precision": pl.Float64,
    "integer": pl.Int32,
    "numeric(20,2)": pl.Decimal(20, 2),
    "real": pl.Float32,
    "smallint": pl.Int16,
    "text": pl.String,
    "timestamptz": pl.Datetime("us", "UTC"),
}


def frame_schema(table: Table) -> pl.Schema:
    """Names and types of the table's columns, in order. Raises KeyError for an unknown type."""
    return pl.Schema({column.name: _type(column) for column in table.columns})


def _type(column: Column) -> pl.DataType:
    inner = column.type.removesuffix("[]")
    found: pl.DataType | type[pl.DataType]
    if column.fields:
        found = pl.Struct({part.name: _type(part) for part in column.fields})
    else:
        found = _TYPES[inner]
    kind = found if isinstance(found, pl.DataType) else found()
    return pl.List(kind) if inner != column.type else kind
