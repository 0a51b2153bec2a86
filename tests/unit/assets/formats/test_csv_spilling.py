"""CSV whose last column has commas that were not quoted."""

from __future__ import annotations

import csv
import io

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.formats.csv_records import read_records
from assets.formats.csv_rules import Limits
from landing.batch.chunks import Chunk

COLUMNS = ("at", "who", "what")
TEXTS = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters='"\u2028\u2029\x85'),
    max_size=12,
)


def read(data: bytes, *, spilling: str | None = "what", block: int = 1 << 20) -> Chunk:
    chunks = list(
        read_records(
            io.BytesIO(data), COLUMNS, spilling=spilling,
            limits=Limits(block_bytes=block),
        )
    )  # fmt: skip
    return Chunk(
        pl.concat([chunk.accepted for chunk in chunks]),
        pl.concat([chunk.rejected for chunk in chunks]),
    )


def quoted(value: str) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="", quoting=csv.QUOTE_ALL).writerow([value])
    return text.getvalue()


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(TEXTS.map(lambda t: t.replace(",", "")), TEXTS, st.integers(0, 2)), min_size=1
    ),
    st.sampled_from([7, 64, 1 << 20]),
    st.sampled_from(["\n", "\r\n"]),
)
def test_what_was_split_is_joined_exactly(rows, block, end):
    """Whole, quoted, or spilled; whatever block a line comes with."""
    lines, expected = ["at,who,what"], []
    for who, what, how in rows:
        if how == 0:
            lines.append(f"2025-01-01,{who},{what}")
        elif how == 1:
            lines.append(f"2025-01-01,{who},{quoted(what)}")
        else:
            lines.append(f"2025-01-01,{quoted(who)},{what}")
        expected.append((who, what, how != 1 and "," in what))
    found = read(f"{end.join(lines)}{end}".encode(), block=block)
    assert found.rejected.is_empty()
    assert found.accepted.select("who", "what", "repaired").rows() == expected
    assert found.accepted["text"].to_list() == lines[1:]


def test_only_the_last_column_takes_them():
    found = read(b"at,what,who\n2025-01-01,a,b,c\n2025-01-01,a,b\n")
    assert found.rejected.select("line", "reason").rows() == [(2, "too_many_fields")]
    assert found.accepted.select("who", "what", "repaired").rows() == [("b", "a", False)]


def test_nothing_is_joined_and_nothing_marked_unasked():
    found = read(b"at,who,what\n2025-01-01,a,b,c\n2025-01-01,a,b\n", spilling=None)
    assert found.rejected["reason"].to_list() == ["too_many_fields"]
    assert found.accepted.columns == [*COLUMNS, "line", "text"]


@pytest.mark.parametrize("row", [b"2025-01-01,a", b'2025-01-01,"a"'])
def test_too_few_fields_stay_too_few(row):
    assert read(b"at,who,what\n" + row + b"\n").rejected["reason"].to_list() == ["too_few_fields"]


def test_a_quote_amid_the_spill_is_data_and_one_at_its_edge_is_none_to_guess_at():
    found = read(b'at,who,what\n2025-01-01,a,5" wide, 3" high\n2025-01-01,a,b,"c" d\n')
    assert found.accepted["what"].to_list() == ['5" wide, 3" high']
    assert found.rejected.select("line", "reason").rows() == [(3, "unclosed_quote")]


def test_a_spilled_record_inside_quotes_is_text():
    found = read(b'at,who,what\n2025-01-01,a,"open\n2025-01-02,b,c,d\n2025-01-03,e,f"\n')
    assert found.rejected.is_empty()
    assert found.accepted["what"].to_list() == ["open\n2025-01-02,b,c,d\n2025-01-03,e,f"]
