"""``metadata.csv`` holds whatever a product is called, for every reader of CSV."""

from __future__ import annotations

import csv
import io

import polars as pl
from hypothesis import example, given, settings
from hypothesis import strategies as st

from assets.images.tasks import metadata_files

HOSTILE = st.text(
    st.one_of(
        st.sampled_from("\r\n\",;'\t \\#\ufeff\u2028\x85\x1a\x7f"),
        st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
    ),
    min_size=1,
    max_size=20,
)
COLUMNS = metadata_files._SCHEMA.names


def filled(names: list[str]) -> tuple[bytes, bytes]:
    """Both files of products with these names."""
    rows = [
        [{"id": number, "product_display_name": name}.get(column) for column in COLUMNS]
        for number, name in enumerate(names)
    ]
    text, columns = io.BytesIO(), io.BytesIO()
    assert metadata_files._fill(iter(rows), text, columns) == len(names)
    return text.getvalue(), columns.getvalue()


@settings(deadline=None)  # the first one loads what reads files
@given(st.lists(HOSTILE, min_size=1, max_size=5))
@example(["a\rb", "a\nb", "a\r\nb", "\r", "\n", '"', '""\r', ",\r,", "\\", "=1+1", "'"])
def test_every_reader_finds_the_names(names: list[str]) -> None:
    text, columns = filled(names)

    rows = list(csv.DictReader(io.StringIO(text.decode(), newline="")))
    assert [(row["id"], row["product_display_name"]) for row in rows] == [
        (str(number), name) for number, name in enumerate(names)
    ]
    frame = pl.read_csv(text, infer_schema=False)
    assert frame["product_display_name"].to_list() == names
    assert pl.read_parquet(columns)["product_display_name"].to_list() == names
    assert frame.columns == pl.read_parquet(columns).columns


def test_lines_end_with_a_line_feed_alone() -> None:
    text, _ = filled(["one", "two\r"])

    first, second, third, end = text.split(b"\n")
    assert first.startswith(b"id,gender,")
    assert (second[:3], third[:3], end) == (b"0,,", b"1,,", b"")
    assert text.count(b"\r") == 1
    assert b'"two\r"' in third
