"""What `make quarantine` prints of hostile rows."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ops.quarantine import describe
from ops.rejects import Reject
from ops.terminal import counted, printable, table


@given(st.text())
def test_nothing_printed_can_move_the_cursor(text):
    assert printable(text).isprintable()


def test_readable_text_stays_as_it_is():
    assert printable("Grüße, 東京") == "Grüße, 東京"
    assert printable("a\x1b[2Jb\n") == "a\\x1b[2Jb\\n"


@given(st.text(max_size=2_000), st.none() | st.text(max_size=50), st.none() | st.integers(1))
def test_an_entry_takes_two_lines_however_long_it_is(text, detail, line):
    entry = Reject("gs://b/k#1", "k", "1", line, "bad_timestamp", detail, text, truncated=False)
    where, shown = describe(entry).split("\n")
    assert where.startswith("gs://b/k#1  ")
    assert ("whole object" in where) == (line is None)
    assert len(shown) <= 4 + 161


def test_columns_are_aligned():
    assert table([("a", "long"), ("wide", "b")]) == "a     long\nwide  b"


def test_one_of_a_thing_is_one():
    assert [counted(n, "batch", "batches") for n in (0, 1, 2, 1_005)] == [
        "0 batches", "1 batch", "2 batches", "1,005 batches",
    ]  # fmt: skip
