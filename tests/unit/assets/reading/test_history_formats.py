"""What history files are taken for, and which of their rows are taken for what."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import os
import re
import unicodedata
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from assets.formats.csv_header import Header
from assets.formats.csv_rules import Limits
from assets.reading.history import formats as history_formats
from assets.reading.history.formats import layout, read_history_records
from assets.reading.history.rows import usual, validated
from assets.reading.history.validation import read_history
from assets.reading.kinds import CATEGORIES, EVENTS
from assets.reading.rules import Category, Interaction
from assets.reading.stream.messages import parse
from landing.batch.chunks import UnreadableObject
from samples import reading as samples
from samples.reading_formats import BAD_CATEGORIES, BAD_EVENTS

HEADER = "user_id,content_id,read_percent,updated_at"


def read(data: bytes):
    """Accepted rows as tuples with their lines, rejects as (line, reason, text)."""
    good, bad = [], []
    for chunk in read_history(io.BytesIO(data)):
        good += chunk.accepted.rows()
        bad += chunk.rejected.select("line", "reason", "text").rows()
    return good, bad


def refused(data: bytes) -> str:
    with pytest.raises(UnreadableObject) as error:
        read(data)
    return error.value.reason


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reading")
    return folder, samples.write(folder, seed=7)


def test_files_hold_what_their_manifest_says(made):
    folder, manifest = made
    events, categories = set(), set()
    for name, part in manifest.files.items():
        data = (folder / name).read_bytes()
        if part.reason:
            assert refused(data) == part.reason
            continue
        good, bad = read(data)
        assert (len(good), Counter(reason for _, reason, _ in bad)) == (
            part.rows - part.rejects.total(), part.rejects,
        )  # fmt: skip
        for user, content, percent, at, category, _line in good:
            if part.kind == "events":
                events.add((user, content, percent, at))
                assert category is None
            else:
                categories.add((content, category))
                assert (user, percent, at) == (None, None, None)
    assert events == manifest.history_events
    assert categories == manifest.history_categories


def test_rejects_name_the_line_and_its_text(made):
    folder, _ = made
    data = (folder / "history" / "old_interactions.csv").read_bytes()
    lines = data.split(b"\r\n")
    _, bad = read(data)
    expected = {}
    for reason, line in BAD_EVENTS:
        expected[lines.index(line) + 1] = reason
    assert {line: reason for line, reason, _ in bad} == expected
    for line, reason, text in bad:
        if reason not in {"bad_encoding", "nul_character"}:
            assert text == lines[line - 1].decode()


@pytest.mark.parametrize(("reason", "values"), BAD_CATEGORIES)
def test_each_defect_of_a_category(reason, values):
    good, bad = read(b"content_id,category_name\n1,life\n" + b",".join(values) + b"\n2,love\n")
    assert [(row[1], row[4], row[5]) for row in good] == [(1, "life", 2), (2, "love", 4)]
    assert [(line, why) for line, why, _ in bad] == [(3, reason)]


@pytest.mark.parametrize(
    ("header", "kind"),
    [
        ("user_id,content_id,read_percent,updated_at", "events"),
        ("\ufeffuser_id,pratilipi_id,read_percent,updated_at", "events"),
        ('"updated_at",  READ_PERCENT ,x,,Content_Id,user_id', "events"),
        ("content_id,category_name", "categories"),
        ("author_id,pratilipi_id,category_name,reading_time,updated_at,x", "categories"),
        ("user_id,category_name,content_id,updated_at", "categories"),
    ],
)
def test_headers_that_are_known(header, kind):
    assert layout(f"{header}\r\n1,2".encode()).kind.name == kind
    assert layout(f"\r\n\n{header.removeprefix(chr(0xFEFF))}\n".encode()).kind.name == kind


@pytest.mark.parametrize(
    "header",
    [
        "1,2,3.0,2022-03-04",
        "user_id,content_id,updated_at",
        "user_id,content_id,pratilipi_id,read_percent,updated_at",
        "user_id,content_id,read_percent,updated_at,category_name",
        "content_id,category_name,category_name",
        'content_id,"category_name',
        "content_id;category_name",
    ],
)
def test_headers_that_are_none(header):
    assert refused(f"{header}\n1,2\n".encode()) == "bad_header"


@pytest.mark.parametrize("data", [b"", b"\n\r\n", b"\xef\xbb\xbf", gzip.compress(b"", mtime=0)])
def test_an_empty_file_holds_nothing(data):
    assert read(data) == ([], [])


def test_compression_is_told_by_content_and_damage_refuses_the_whole_file():
    rows = "".join(f"{n},2,3.5,2022-03-04\n" for n in range(20_000))
    text = f"{HEADER}\n{rows}".encode()
    packed = gzip.compress(text)
    assert len(read(packed)[0]) == 20_000
    assert len(read(gzip.compress(text[:1000]) + gzip.compress(text[1000:]))[0]) == 20_000
    damaged = bytearray(packed)
    damaged[len(packed) // 2] ^= 0xFF
    assert refused(bytes(damaged)) == "bad_gzip"
    assert refused(packed[:-1]) == "bad_gzip"
    assert refused(packed[:-8] + bytes(8)) == "bad_gzip"
    assert refused(b"\x1f\x8b") == "bad_gzip"


_TIMES = st.one_of(
    st.datetimes(datetime(1998, 1, 1), datetime(2030, 1, 1)).map(  # noqa: DTZ001
        lambda at: at.isoformat(sep=" ")
    ),
    st.dates().map(str),
    st.from_regex(re.compile(r"\A(20[0-3]\d)-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d{1,7})?)?"
                             r"(Z|[+-]\d\d:?\d\d)?\Z", re.ASCII)),
    st.sampled_from(["2022-03-04 24:00:00", "2022-03-04 10:00:60", "2022-3-4", "", "now"]),
)  # fmt: skip
_NUMBERS = st.one_of(
    st.integers(-(2**64), 2**64).map(str), st.floats().map(repr), st.just("-0.0"),
    st.sampled_from(["1e400", "5.", ".5", "1_0", "0x1p3", "", "٣", "+7", "1e3", "--1", "1,5"]),
)  # fmt: skip


#: Spellings that JSON has not, of numbers all the same.
_CSV_ONLY = {"+7", "5.", ".5"}


def json_number(text: str) -> str | None:
    """The text as a JSON number, if it can be written as one that says the same.

    One that no float holds makes a message no JSON, where a row is out of range.
    """
    number = re.fullmatch(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?", text)
    return text if number and math.isfinite(float(text)) else None


@given(st.lists(st.tuples(_NUMBERS, _NUMBERS, _NUMBERS, _TIMES), max_size=12))
@settings(max_examples=150, deadline=None)
@example([("9223372036854775808", "1e400", "-0.0", "2022-03-04"), ("x", "1", "-1", "")])
def test_a_row_is_the_event_that_the_same_message_is(rows):
    """Each row is accepted as the message's event, or is rejected for the same reason."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([HEADER.split(","), *rows])
    good, bad = read(buffer.getvalue().encode())
    found = {line: values for *values, _, line in good} | {line: why for line, why, _ in bad}
    assert len(found) == len(rows)
    now = datetime.now(UTC)
    for line, (user, content, percent, at) in enumerate(rows, start=2):
        if {user, content, percent} & _CSV_ONLY:
            continue
        numbers = [json_number(user), json_number(content), json_number(percent)]
        if None in numbers:
            assert isinstance(found[line], str)
            continue
        said = parse(
            EVENTS,
            f'{{"user_id": {user}, "content_id": {content}, "read_percent": {percent}, '
            f'"updated_at": "{at}"}}'.encode(),
            now,
        )
        if isinstance(said, Interaction):
            assert found[line] == [*said]
            assert math.copysign(1, found[line][2]) == 1
        else:
            assert found[line] == said.reason


_FRACTIONS = st.lists(st.integers(0, 6), min_size=1, max_size=3, unique=True)


@given(
    _FRACTIONS.flatmap(
        lambda digits: st.lists(
            st.tuples(
                st.datetimes(datetime(2000, 1, 1), datetime(2026, 10, 31)),  # noqa: DTZ001
                st.sampled_from(digits),
            ),
            min_size=1,
            max_size=8,
        )
    )
)
def test_times_of_one_length_and_of_several_are_what_they_say(times):
    """Of whole seconds, and with a fraction of as many digits as one likes."""
    lines, expected = [HEADER], []
    for at, digits in times:
        fraction = f"{at.microsecond:06}"[:digits]
        lines.append(f"1,2,3,{at:%Y-%m-%d %H:%M:%S}{'.' if digits else ''}{fraction}")
        read_as = at.replace(microsecond=int(fraction.ljust(6, "0")), tzinfo=UTC)
        expected.append(read_as)
    good, bad = read("\n".join([*lines, ""]).encode())
    assert not bad
    assert [row[3] for row in good] == expected


_CELLS = st.one_of(_NUMBERS, _TIMES, st.sampled_from([" 7", "7 ", "\t1", "a\rb", "ä", "nan"]))
_USUAL_ROW = st.tuples(
    st.integers(-(2**63), 2**63 - 1).map(str),
    st.integers(0, 9).map(str),
    st.floats(0, 1e300).map(repr),
    st.datetimes(datetime(1990, 1, 1), datetime(2030, 1, 1)).map(  # noqa: DTZ001
        lambda at: at.isoformat(sep=" ")
    )
    | st.dates(date(1990, 1, 1), date(2030, 1, 1)).map(str),
)


@given(
    st.permutations([*HEADER.split(","), "further"]),
    st.lists(st.one_of(_USUAL_ROW, _USUAL_ROW, st.lists(_CELLS, max_size=6)), max_size=6),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["", "x", "1", "x,y", "x^2 abc", "x\x01"]),
)
@settings(max_examples=300, deadline=None)
@example([*HEADER.split(","), "further"], [("1", "2", "3.5", "2022-03-04")] * 2, "\n", "x")
@example(["further", *HEADER.split(",")], [("1", "2", "3.5", "2022-03-04")] * 2, "\n", "x^2 abc")
@example(["further", *HEADER.split(",")], [("1", "2", "3.5", "2022-03-04")] * 2, "\n", "x\x01")
def test_a_block_read_by_types_says_what_its_lines_say_one_by_one(header, rows, end, further):
    """Also lines that are blank, short or long, and columns that nobody asked for."""
    lines = [",".join(header)]
    for row in rows:
        if len(row) == len(HEADER.split(",")) and not isinstance(row, list):
            cells = dict(zip([*HEADER.split(","), "further"], [*row, further], strict=True))
            lines.append(",".join(cells[name] for name in header))
        else:
            lines.append(",".join(row))
    data = (end.join(lines) + end).encode()
    now = datetime(2026, 11, 1, tzinfo=UTC)
    one_by_one = [
        validated(kind, chunk, now) for kind, chunk in read_history_records(io.BytesIO(data))
    ]
    at_once = [
        validated(kind, chunk, now)
        for kind, chunk in read_history_records(io.BytesIO(data), partial(usual, now=now))
    ]
    for found, said in zip(at_once, one_by_one, strict=True):
        assert found.accepted.rows() == said.accepted.rows()
        assert found.accepted.schema == said.accepted.schema
        assert found.rejected.equals(said.rejected)
        assert (found.lines, found.blank_lines) == (said.lines, said.blank_lines)


def test_plain_events_are_read_by_types_and_a_block_with_anything_else_is_not():
    plain = b"1,2,3.5,2022-03-04 10:00:00\n" * 3
    header = Header(tuple(HEADER.split(",")), tuple(HEADER.split(",")))
    now = datetime(2026, 11, 1, tzinfo=UTC)
    chunk = usual(EVENTS, plain, header, 2, now)
    assert chunk is not None
    assert chunk.accepted["line"].to_list() == [2, 3, 4]
    for line in (b"1,2,3.5\n", b"\n", b'"1",2,3.5,2022-03-04\n', b"1,2,-1,2022-03-04\n"):
        assert usual(EVENTS, plain + line, header, 2, now) is None


@given(st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), st.text(max_size=210)), max_size=8))
@settings(max_examples=150, deadline=None)
def test_a_row_is_the_category_that_the_same_message_is(rows):
    rows = [(content, name.replace("\x00", "")) for content, name in rows]
    rows = [(c, n) for c, n in rows if not any(unicodedata.category(x) == "Cs" for x in n)]
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(
        [("content_id", "category_name"), *rows]
    )
    good, bad = read(buffer.getvalue().encode())
    expected = []
    for content, name in rows:
        message = json.dumps({"content_id": content, "category_name": name}).encode()
        expected.append(parse(CATEGORIES, message, datetime.now(UTC)))
    assert [(row[1], row[4]) for row in good] == [
        (one.content_id, one.category_name) for one in expected if isinstance(one, Category)
    ]
    assert [why for _, why, _ in bad] == [
        one.reason for one in expected if not isinstance(one, Category)
    ]


def test_an_event_of_tomorrow_is_rejected_and_one_of_today_is_not():
    now = datetime.now(UTC)
    rows = [now, now.replace(hour=23, minute=59, second=59), now + timedelta(days=1, minutes=6)]
    text = "".join(f"1,2,3,{at:%Y-%m-%d %H:%M:%S}\n" for at in rows)
    good, bad = read(f"{HEADER}\n{text}".encode())
    assert [row[5] for row in good] == [2, 3]
    assert [(line, why) for line, why, _ in bad] == [(4, "future_date")]


def test_what_a_file_says_does_not_depend_on_where_blocks_end(monkeypatch, made):
    folder, _ = made
    data = (folder / "history" / "old_interactions.csv").read_bytes()
    whole = read(data)
    monkeypatch.setattr(history_formats, "LIMITS", Limits(block_bytes=97, record_bytes=90))
    assert read(data) == whole


real = pytest.mark.skipif("QUINTET_DATA_DIR" not in os.environ, reason="the real files")


@real
def test_rows_of_the_old_systems():
    folder = Path(os.environ["QUINTET_DATA_DIR"]) / "reading"
    for name, kind in (("interactions", "events"), ("metadata", "categories")):
        data = (folder / f"real_rows_{name}.csv").read_bytes()
        good, bad = read(data)
        assert layout(data).kind.name == kind
        assert (len(good), bad) == (len(data.splitlines()) - 1, [])
        contents = [int(row["pratilipi_id"]) for row in csv.DictReader(io.StringIO(data.decode()))]
        assert [row[1] for row in good] == contents


@real
def test_the_real_metadata_is_as_a_plain_reader_reads_it():
    path = Path(os.environ["QUINTET_DATA_DIR"]) / "reading" / "content_meta_calibrated.csv.gz"
    good, bad = read(path.read_bytes())
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        plain = [(int(row["content_id"]), row["category_name"]) for row in csv.DictReader(file)]
    assert (len(plain), bad) == (128_871, [])
    assert [(row[1], row[4]) for row in good] == plain
