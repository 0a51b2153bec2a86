"""What Dagster shows of a bronze record is what is written."""

from __future__ import annotations

import polars as pl

from assets.music.bronze.records import SCHEMA
from assets.music.registry.bronze import BRONZE_SCHEMA, COLUMNS, ORIGIN

_NAMES = {
    pl.String: "string", pl.Float64: "float64", pl.Int64: "int64", pl.Int32: "int32",
    pl.Int16: "int16",
}  # fmt: skip


def spelled(dtype: pl.DataType) -> str:
    if isinstance(dtype, pl.List):
        return f"list<{spelled(dtype.inner)}>"
    if isinstance(dtype, pl.Struct):
        return "struct<" + ", ".join(f"{f.name}: {spelled(f.dtype)}" for f in dtype.fields) + ">"
    return _NAMES[type(dtype)] if not isinstance(dtype, type) else _NAMES[dtype]


def test_columns_and_types_are_those_of_the_schema():
    assert {name: kind for name, (kind, _) in COLUMNS.items()} == {
        name: spelled(dtype) for name, dtype in SCHEMA.items()
    }
    assert list(COLUMNS) == list(SCHEMA)


def test_every_column_is_described_once():
    names = [column.name for column in BRONZE_SCHEMA.columns]
    assert names == [*COLUMNS, *ORIGIN]
    assert all(column.description.endswith(".") for column in BRONZE_SCHEMA.columns)
