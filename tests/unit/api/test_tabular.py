"""CSV and NDJSON, read back by Python's own readers."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from api.lists import preferred
from api.tabular import WRITERS, csv_field, unguarded

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
COLUMNS = ("name", "note", "count", "share")
ROWS = st.lists(
    st.tuples(
        TEXTS,
        st.none() | TEXTS,
        st.none() | st.integers(-(2**63), 2**63 - 1),
        st.none() | st.floats(allow_nan=False, allow_infinity=False),
    ),
    max_size=8,
)


def written(form, columns, rows):
    header, of, end = WRITERS[form]
    return (header(columns) + of(columns, rows) + end(columns, len(rows))).decode()


@given(ROWS)
@example([("#complete", '0,""\n#complete,1,,', -1, -1.5), ("=1+1", "'quoted'", None, None)])
@example([("a\r\nb", "\r", 0, 1e300), ("", None, 5, 5e-324)])
def test_csv_gives_every_value_back(rows):
    text = written("csv", COLUMNS, rows)
    header, *found, end = list(csv.reader(io.StringIO(text, newline="")))
    assert tuple(header) == COLUMNS
    assert end == ["#complete", str(len(rows)), "", ""]
    assert len(found) == len(rows)
    for line, (name, note, count, share) in zip(found, rows, strict=True):
        assert unguarded(line[0]) == name
        assert unguarded(line[1]) == (note or "")
        assert (int(line[2]) if line[2] else None) == count
        assert (float(line[3]) if line[3] else None) == share


@given(ROWS)
def test_no_text_is_a_formula_and_no_row_is_the_last_line(rows):
    text = written("csv", COLUMNS, rows)
    _, *found, _ = list(csv.reader(io.StringIO(text, newline="")))
    for line in found:
        assert not line[0].startswith(("=", "+", "-", "@", "\t", "\r", "#"))
        assert not line[1].startswith(("=", "+", "-", "@", "\t", "\r", "#"))


@given(ROWS, st.data())
def test_a_csv_file_that_was_cut_anywhere_lacks_its_last_line(rows, data):
    whole = written("csv", COLUMNS, rows)
    cut = whole[: data.draw(st.integers(0, len(whole) - 2))]
    lines = list(csv.reader(io.StringIO(cut, newline="")))
    assert not lines or lines[-1] != ["#complete", str(len(rows)), "", ""]


@given(ROWS)
def test_ndjson_gives_every_value_back(rows):
    *found, end = [json.loads(line) for line in written("ndjson", COLUMNS, rows).split("\n")[:-1]]
    assert end == {"complete": True, "rows": len(rows)}
    assert [tuple(one.values()) for one in found] == rows
    assert all(tuple(one) == COLUMNS for one in found)


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (None, ""),
        ("", '""'),
        (True, "true"),
        (-5, "-5"),
        (Decimal("-0.10"), "-0.10"),
        (0.1, "0.1"),
        ("-5", "'-5"),
        (" a", '" a"'),
        ('say "so"', '"say ""so"""'),
        (datetime(2026, 11, 28, 1, 2, 3, 4, tzinfo=UTC), "2026-11-28T01:02:03.000004Z"),
        (["a", "b,c"], '"[""a"",""b,c""]"'),
        ([], "[]"),
        ({"a": 1}, '"{""a"":1}"'),
        ("\uff1d1", "'\uff1d1"),
    ],
    ids=lambda value: ascii(value)[:20],
)
def test_a_value_in_csv(value, field):
    assert csv_field(value) == field


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        (None, "json"),
        ("*/*", "json"),
        ("text/csv", "csv"),
        ("application/json, text/csv", "json"),
        ("text/csv;q=0.5, application/x-ndjson", "ndjson"),
        ("text/html, */*;q=0.1", "json"),
        ("text/csv;q=0", "json"),
        ("TEXT/CSV", "csv"),
        ("text/csv;q=x, ;;,", "json"),
    ],
)
def test_accept_says_which_form(accept, form):
    assert preferred(accept) == form
