from __future__ import annotations

import csv
import gzip
import io
import random

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
    chunks = list(read_records(io.BytesIO(data), COLUMNS, limits=limits))
    if not chunks:
        return pl.DataFrame(schema=dict.fromkeys((*COLUMNS, "text"), pl.String)), pl.DataFrame()
    return pl.concat([c.accepted for c in chunks]), pl.concat([c.rejected for c in chunks])


def rejects(data: bytes, limits: Limits | None = None) -> list[tuple[int, str]]:
    return read(data, limits)[1].select("line", "reason").rows()


# Text without lone surrogates and NUL; records of this very file may stand in it.
text = st.text(
    st.one_of(
        st.sampled_from(' ,"\n\r;\t|ab'),
        st.characters(exclude_categories=["Cs"], exclude_characters="\x00"),
    ),
    max_size=12,
) | st.sampled_from(["r,u,m,c,2025-01-01 00:00:00", "x\nr;u;m;c;2025-01-01 00:00:00\ny", "sep=;"])


def packed(data: bytes) -> bytes:
    return gzip.compress(data, 1, mtime=0)


@given(
    rows=st.lists(st.tuples(text, text, text, text, text), max_size=20),
    order=st.permutations(COLUMNS),
    terminator=st.sampled_from(["\n", "\r\n", "\r"]),
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"]),
    compressed=st.booleans(),
    named=st.booleans(),
    ignored=st.booleans(),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    block=st.integers(min_value=16, max_value=300),
    last_line_ended=st.booleans(),
)
@settings(max_examples=600, deadline=None)
def test_reads_what_pythons_csv_reads(  # noqa: PLR0917
    rows, order, terminator, delimiter, encoding, compressed, named, ignored, quoting, block,
    last_line_ended,
):  # fmt: skip
    if quoting == csv.QUOTE_MINIMAL:
        # Python's writer does not quote a lone CR, nor LF beside it, at which its reader ends rows.
        gone = dict.fromkeys(map(ord, "\r\n" if terminator == "\r" else "\r"))
        rows = [tuple(value.translate(gone) for value in row) for row in rows]
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator=terminator, quoting=quoting)
    header = [f" {name.upper()} " if at % 2 else name for at, name in enumerate(order)]
    writer.writerow([*header[:2], "Channel", *header[2:]] if ignored else header)
    writer.writerows([*row[:2], row[0], *row[2:]] if ignored else row for row in rows)
    table = buffer.getvalue()
    content = f"sep={delimiter}{terminator}{table}" if named else table
    if not last_line_ended:
        content = content.removesuffix(terminator)
    # Python marks what has no order in its name.
    mark = "\ufeff" if encoding.endswith(("-le", "-be")) else ""
    data = (mark + content).encode(encoding)
    if compressed:
        data = packed(data)

    expected, line = [], 2 + named
    end = "\r" if terminator == "\r" else "\n"
    reader = csv.reader(io.StringIO(table, newline=""), delimiter=delimiter)
    next(reader)
    for fields in reader:
        values = dict(zip(order, fields[:2] + fields[3:] if ignored else fields, strict=True))
        expected.append((*(values[name] for name in COLUMNS), line))
        line += 1 + sum(value.count(end) for value in fields)

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
    limits = Limits(block_bytes=block, record_bytes=64, field_bytes=20)
    chunks = list(read_records(io.BytesIO(HEADER + body), COLUMNS, limits=limits))
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
    accepted, rejected = read(HEADER + bad + GOOD % (1, 1) + bad + quoted + stray)
    assert accepted["record_id"].to_list() == ["r1", "q1", "q2"]
    assert rejected.select("line", "reason").rows() == [
        (2, "unclosed_quote"),
        (4, "unclosed_quote"),
    ]


def test_what_looks_like_a_record_in_quotes_is_text():
    inside = b"b1,u,Hello,Sale,2025-11-03 22:34:41\n"
    accepted, rejected = read(HEADER + b'r1,u,"see:\n' + inside + b'",Sale,2025-11-03 22:34:41\n')
    assert accepted["message"].to_list() == ["see:\n" + inside.decode()]
    assert rejected.is_empty()


def test_line_breaks_in_quotes_are_text_within_the_bounds():
    record = b'r1,u,"%s",Sale,2025-11-03 22:34:41\n'
    accepted, rejected = read(HEADER + record % b"a\nb\r\nc" + GOOD % (2, 2))
    assert accepted["message"].to_list() == ["a\nb\r\nc", "Hello"]
    assert accepted["line"].to_list() == [2, 5]
    assert rejected.is_empty()
    accepted, _ = read(HEADER + record % (b"a\n" * 5_000))
    assert accepted["message"].to_list() == ["a\n" * 5_000]
    limits = Limits(record_bytes=8)
    assert rejects(HEADER + record % b"a\nb\nc\nd", limits)[0] == (2, "unclosed_quote")


@pytest.mark.parametrize(
    ("header", "reason", "detail"),
    [
        (b"record_id,user_id,message,campaign\n", "bad_header", "missing: timestamp"),
        (
            b"record_id,Campaign ,message,campaign,campaign\n",
            "bad_header",
            "missing: user_id, timestamp; repeated: campaign",
        ),
        (b"record_id;user_id;message\n", "bad_header", "missing: campaign, timestamp"),
        (b"\xff\xfer\x00e\x00\n\x00", "bad_header", "missing: "),
        (b"\xff\xfe\x00\x00r\x00\x00\x00", "bad_encoding", "UTF-32"),
        (b"PK\x03\x04" + bytes(range(256)) * 400, "archive", "a zip archive"),
        (b"\x1f\x8b\x08" + bytes(range(256)), "bad_gzip", ""),
        (b"r1,user_1,Hello,Sale,2025-11-03 22:34:41\n", "bad_header", "missing: "),
    ],
)
def test_an_object_that_is_no_such_csv_is_refused_as_a_whole(header, reason, detail):
    with pytest.raises(UnreadableObject) as caught:
        read(header + GOOD % (1, 1))
    assert caught.value.reason == reason
    assert detail in caught.value.detail


def tabbed(data: bytes) -> str:
    return data.decode().replace(",", "\t").replace("\n", "\r")


@pytest.mark.parametrize(
    ("data", "notes"),
    [
        (HEADER + GOOD % (1, 1), ()),
        (b"\xef\xbb\xbf" + (HEADER + GOOD % (1, 1)).replace(b"\n", b"\r\n"), ()),
        (packed(HEADER + GOOD % (1, 1)), ("gzip",)),
        (
            b"sep=;\n" + (HEADER + GOOD % (1, 1)).replace(b",", b";"),
            ("delimiter semicolon",),
        ),
        (
            packed(tabbed(HEADER + GOOD % (1, 1)).encode("utf-16")),
            ("gzip", "UTF-16", "delimiter tab", "lines end with CR"),
        ),
        (
            (HEADER + GOOD % (1, 1)).replace(b"user_", b"Channel,user_"),
            ("ignored columns: Channel",),
        ),
    ],
)
def test_what_is_unusual_is_noted_with_the_first_chunk(data, notes):
    (chunk,) = read_records(io.BytesIO(data), COLUMNS)
    assert chunk.notes == dict.fromkeys(notes, 1)
    assert chunk.accepted.select("record_id", "user_id").rows() == [("r1", "user_1")]


def test_the_end_of_utf16_that_is_cut_off_costs_its_line():
    data = (HEADER + GOOD % (1, 1) + GOOD % (2, 2)).decode().encode("utf-16")
    accepted, rejected = read(data[:-3])
    assert accepted["record_id"].to_list() == ["r1"]
    assert rejected.select("line", "reason").rows() == [(3, "bad_encoding")]


def test_a_reject_is_told_as_it_was_written():
    body = 'r1;u;"a;b,c\rd";Sale\r'
    header = HEADER.decode().replace(",", ";").replace("\n", "\r")
    (chunk,) = read_records(io.BytesIO((header + body).encode()), COLUMNS)
    assert chunk.rejected["text"].to_list() == [body.removesuffix("\r")]


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
    chunks = read_records(Trickle(data), COLUMNS, limits=Limits(block_bytes=64))
    assert pl.concat([c.accepted for c in chunks])["line"].to_list() == list(range(2, 202))


def test_columns_may_be_called_otherwise_and_nuls_be_data():
    data = b'"","id","id"\n"1","A\x00","x"\n"2","B","open\n"3","C","y"\n"4","D","E,F"\n'
    chunks = list(
        read_records(
            io.BytesIO(data),
            ("row", "key", "other"),
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
