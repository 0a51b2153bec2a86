from __future__ import annotations

import csv
import io
import random
import re

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.formats.csv_records import read_records
from assets.formats.csv_rules import Limits
from landing.batch.chunks import UnreadableObject

COLUMNS = ("record_id", "user_id", "message", "campaign", "timestamp")
HEADER = b"record_id,user_id,message,campaign,timestamp\n"
GOOD = b"r%d,user_%d,Hello,Sale,2025-11-03 22:34:41.495680\n"


def read(data: bytes, limits: Limits | None = None) -> tuple[pl.DataFrame, pl.DataFrame]:
    chunks = list(read_records(io.BytesIO(data), COLUMNS, anchor="timestamp", limits=limits))
    if not chunks:
        return pl.DataFrame(schema=dict.fromkeys((*COLUMNS, "text"), pl.String)), pl.DataFrame()
    return pl.concat([c.accepted for c in chunks]), pl.concat([c.rejected for c in chunks])


def rejects(data: bytes, limits: Limits | None = None) -> list[tuple[int, str]]:
    return read(data, limits)[1].select("line", "reason").rows()


# Text without lone surrogates, NUL, or what a strict reader takes for a record of its own.
text = st.text(
    st.one_of(
        st.sampled_from(' ,"\n\r;ab'),
        st.characters(exclude_categories=["Cs"], exclude_characters="\x00"),
    ),
    max_size=12,
)


@given(
    rows=st.lists(st.tuples(text, text, text, text, text), max_size=20),
    order=st.permutations(COLUMNS),
    terminator=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    block=st.integers(min_value=16, max_value=300),
    last_line_ended=st.booleans(),
    bom=st.booleans(),
)
@settings(max_examples=400, deadline=None)
def test_reads_what_pythons_csv_reads(  # noqa: PLR0917
    rows, order, terminator, quoting, block, last_line_ended, bom
):
    if quoting == csv.QUOTE_MINIMAL:
        # Python's writer leaves a lone CR unquoted, which its reader then refuses.
        rows = [tuple(value.replace("\r", "") for value in row) for row in rows]
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator=terminator, quoting=quoting)
    writer.writerow(order)
    writer.writerows(rows)
    content = buffer.getvalue()
    if not last_line_ended:
        content = content.removesuffix(terminator)
    data = (b"\xef\xbb\xbf" if bom else b"") + content.encode()

    reader = csv.DictReader(io.StringIO(content, newline=""))
    expected, line = [], 2
    for row in reader:
        expected.append((*(row[name] for name in COLUMNS), line))
        line += 1 + sum(value.count("\n") for value in row.values())

    accepted, rejected = read(data, Limits(block_bytes=block))
    assert rejected.is_empty()
    assert accepted.select(*COLUMNS, "line").rows() == expected if expected else True
    assert len(accepted) == len(expected)


@given(
    lines=st.lists(
        st.one_of(
            st.just(b"r,u,m,c,2025-01-01 00:00:00"),
            st.binary(max_size=30).map(lambda line: line.replace(b"\n", b"")),
            st.text(st.sampled_from('",\r a\x00é'), max_size=12).map(str.encode),
        ),
        max_size=30,
    ),
    block=st.integers(min_value=16, max_value=200),
)
@settings(max_examples=600, deadline=None)
def test_every_line_ends_up_in_exactly_one_place(lines, block):
    body = b"".join(line + b"\n" for line in lines)
    limits = Limits(block_bytes=block, record_bytes=64, record_lines=4, field_bytes=20)
    chunks = list(
        read_records(io.BytesIO(HEADER + body), COLUMNS, anchor="timestamp", limits=limits)
    )
    covered: list[int] = []
    for chunk in chunks:
        for frame in (chunk.accepted, chunk.rejected):
            for line, raw in frame.select("line", "text").rows():
                covered += range(line, line + 1 + raw.count("\n"))
    blank = [n for n, line in enumerate(lines, start=2) if line in (b"", b"\r")]
    # A blank line inside a quoted field belongs to that record; all others hold none.
    assert len(covered) == len(set(covered))
    assert set(range(2, 2 + len(lines))) - set(covered) <= set(blank)
    assert sum(c.lines for c in chunks) == len(lines)
    assert sum(c.blank_lines for c in chunks) == len(lines) - len(covered)


@pytest.mark.parametrize("block", [16, 100, 1 << 20])
@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"r,u,m", "too_few_fields"),
        (b"r,u,m,c,2025-01-01 00:00:00,x", "too_many_fields"),
        (b'r,u,"m,c,2025-01-01 00:00:00', "unclosed_quote"),
        (b'r,u,"m"x,c,2025-01-01 00:00:00', "unclosed_quote"),
        (b"r,u,caf\xe9,c,2025-01-01 00:00:00", "bad_encoding"),
        (b'r,u,"caf\xe9",c,2025-01-01 00:00:00', "bad_encoding"),
        (b"r,u,m\x00,c,2025-01-01 00:00:00", "nul_character"),
        (b'r,u,"m\x00",c,2025-01-01 00:00:00', "nul_character"),
        (b"r,u," + b"m" * 2_000 + b",c,2025-01-01 00:00:00", "field_too_large"),
        (b'r,u,"' + b"m" * 2_000 + b'",c,2025-01-01 00:00:00', "field_too_large"),
        (b"r,u," + b"m" * 20_000 + b",c,2025-01-01 00:00:00", "field_too_large"),
        (b'r,u,"' + b"m" * 20_000, "field_too_large"),
    ],
)
def test_a_defect_costs_its_own_line_only(bad, reason, block):
    limits = Limits(block_bytes=block, field_bytes=1_000, record_bytes=5_000, line_bytes=10_000)
    before = b"".join(GOOD % (n, n) for n in range(5))
    after = b"".join(GOOD % (n, n) for n in range(5, 10))
    accepted, rejected = read(HEADER + before + bad + b"\n" + after, limits)
    assert rejected.select("line", "reason").rows() == [(7, reason)]
    assert accepted["record_id"].to_list() == [f"r{n}" for n in range(10)]
    assert accepted["line"].to_list() == [*range(2, 7), *range(8, 13)]
    # The last line of a file, with and without its end.
    for end in (b"", b"\n"):
        assert rejects(HEADER + before + bad + end, limits) == [(7, reason)]


def test_an_unclosed_quote_does_not_swallow_quoted_records_after_it():
    bad = b'b1,u,"Hello,Sale,2025-11-03 22:34:41\n'
    quoted = b'q1,u,"Hello, you",Sale,2025-11-03 22:34:41\n'
    stray = b'q2,u,Hello",Sale,2025-11-03 22:34:41\n'
    accepted, rejected = read(HEADER + bad + GOOD % (1, 1) + stray + bad + quoted)
    assert accepted["record_id"].to_list() == ["r1", "q2", "q1"]
    assert rejected.select("line", "reason").rows() == [
        (2, "unclosed_quote"),
        (5, "unclosed_quote"),
    ]


def test_line_breaks_in_quotes_are_text_within_the_bounds():
    record = b'r1,u,"%s",Sale,2025-11-03 22:34:41\n'
    accepted, rejected = read(HEADER + record % b"a\nb\r\nc" + GOOD % (2, 2))
    assert accepted["message"].to_list() == ["a\nb\r\nc", "Hello"]
    assert accepted["line"].to_list() == [2, 5]
    assert rejected.is_empty()
    limits = Limits(record_lines=3)
    assert rejects(HEADER + record % b"a\nb\nc\nd", limits)[0] == (2, "unclosed_quote")


@pytest.mark.parametrize(
    "header",
    [
        b"record_id,user_id,message,campaign\n",
        b"record_id,user_id,message,campaign,timestamp,extra\n",
        b"record_id,user_id,message,campaign,campaign\n",
        b"Record_ID,user_id,message,campaign,timestamp\n",
        b"\xff\xfer\x00e\x00\n",
        b"PK\x03\x04" + bytes(range(256)) * 400,
        b"r1,user_1,Hello,Sale,2025-11-03 22:34:41\n",
    ],
)
def test_an_object_that_is_no_such_csv_is_refused_as_a_whole(header):
    with pytest.raises(UnreadableObject) as caught:
        read(header + GOOD % (1, 1))
    assert caught.value.reason == "bad_header"


@pytest.mark.parametrize("data", [b"", b"\xef\xbb\xbf", HEADER, HEADER[:-1], b"\n\n" + HEADER])
def test_no_rows(data):
    accepted, rejected = read(data)
    assert accepted.is_empty()
    assert rejected.is_empty()


def test_short_reads_of_a_network_stream_change_nothing():
    class Trickle(io.BytesIO):
        def read(self, size=-1):
            return super().read(min(size, rng.randint(1, 7)))

    rng = random.Random(1)
    data = HEADER + b"".join(GOOD % (n, n) for n in range(200))
    chunks = read_records(Trickle(data), COLUMNS, anchor="timestamp", limits=Limits(block_bytes=64))
    assert pl.concat([c.accepted for c in chunks])["line"].to_list() == list(range(2, 202))


def test_columns_may_be_called_otherwise_and_nuls_be_data():
    data = b'"","id","id"\n"1","A\x00","x"\n"2","B","open\n"3","C","y"\n"4","D","E,F"\n'
    chunks = list(
        read_records(
            io.BytesIO(data),
            ("row", "key", "other"),
            anchor="key",
            anchor_value=re.compile(rb"[A-D]$"),
            named=lambda names: ["row", "key", "other"] if names == ["", "id", "id"] else names,
            keep_nuls=True,
        )
    )
    accepted = pl.concat([chunk.accepted for chunk in chunks])
    assert accepted.select("row", "key", "other", "line").rows() == [
        ("1", "A\x00", "x", 2),
        ("3", "C", "y", 4),
        ("4", "D", "E,F", 5),
    ]
    rejected = pl.concat([chunk.rejected for chunk in chunks])
    assert rejected.select("line", "reason").rows() == [(3, "unclosed_quote")]
