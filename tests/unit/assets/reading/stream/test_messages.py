from __future__ import annotations

import json
import math
import unicodedata
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from assets.reading.kinds import CATEGORIES, EVENTS
from assets.reading.rules import Category, Interaction, Rejection
from assets.reading.stream.messages import parse

NOW = datetime(2026, 3, 14, 12, 0, tzinfo=UTC)
INT64 = st.integers(-(2**63), 2**63 - 1)
PERCENT = st.floats(0, allow_infinity=False, allow_nan=False)


def times(first: str, last: str) -> st.SearchStrategy[datetime]:
    limits = (datetime.fromisoformat(first), datetime.fromisoformat(last))
    return st.datetimes(*limits, timezones=st.just(UTC))


PAST = times("2000-01-01", "2026-03-14T11:59")


def event(**changes: object) -> dict[str, object]:
    return {
        "user_id": 1,
        "content_id": 2,
        "read_percent": 93.5,
        "updated_at": "2022-03-01 10:20:30.123",
    } | changes


def parsed(document: object) -> Any:
    return parse(EVENTS, json.dumps(document).encode(), NOW)


def reason(result: object) -> str:
    assert isinstance(result, Rejection), result
    assert result.detail
    return result.reason


def test_an_event_as_publishers_write_it() -> None:
    assert parsed(event()) == Interaction(
        1, 2, 93.5, datetime(2022, 3, 1, 10, 20, 30, 123_000, tzinfo=UTC)
    )
    assert parsed(event(read_percent=100, more=[1])) == parsed(event(read_percent=100.0))


@settings(deadline=None)
@given(user=INT64, content=INT64, percent=PERCENT, at=PAST)
def test_every_value_in_range_arrives_as_it_was_sent(
    user: int, content: int, percent: float, at: datetime
) -> None:
    sent = event(
        user_id=user,
        content_id=content,
        read_percent=percent,
        updated_at=at.strftime("%Y-%m-%d %H:%M:%S.%f"),
    )
    row = parsed(sent)
    assert isinstance(row, Interaction)
    assert (row.user_id, row.content_id, row.read_percent, row.updated_at) == (
        user,
        content,
        percent,
        at,
    )
    assert row.updated_at.tzinfo is UTC
    assert math.copysign(1, row.read_percent) == 1  # -0.0 and 0.0 are one value


@settings(deadline=None)
@given(data=st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8")))
def test_whatever_is_published_is_read_or_rejected(data: bytes) -> None:
    for kind in (EVENTS, CATEGORIES):
        assert isinstance(parse(kind, data, NOW), Interaction | Category | Rejection)


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["user_id", "content_id", "read_percent", "updated_at", "category_name"]),
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text()
        | st.lists(st.integers(), max_size=2),
    )
)
def test_whatever_object_is_published_is_read_or_rejected(document: dict[str, object]) -> None:
    for kind, fields in (
        (EVENTS, {"user_id": int, "content_id": int, "updated_at": str}),
        (CATEGORIES, {"content_id": int, "category_name": str}),
    ):
        result = parse(kind, json.dumps(document).encode(), NOW)
        fits = all(type(document.get(name)) is wanted for name, wanted in fields.items())
        if not isinstance(result, Rejection):
            assert fits
        elif not set(fields) <= document.keys():
            assert result.reason == "missing_field"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"user_id": "1"}, "wrong_type"),
        ({"user_id": 1.0}, "wrong_type"),
        ({"user_id": 1e3}, "wrong_type"),
        ({"user_id": True}, "wrong_type"),
        ({"user_id": None}, "wrong_type"),
        ({"read_percent": "93"}, "wrong_type"),
        ({"read_percent": False}, "wrong_type"),
        ({"updated_at": 20220301}, "wrong_type"),
        ({"updated_at": None}, "wrong_type"),
        ({"user_id": 2**63}, "out_of_range"),
        ({"user_id": -(2**63) - 1}, "out_of_range"),
        ({"content_id": 2**64}, "out_of_range"),
        ({"content_id": 10**40}, "out_of_range"),
        ({"read_percent": -0.001}, "out_of_range"),
        ({"read_percent": 10**400}, "not_json"),
        ({"updated_at": "1999-12-31 23:59:59.999999"}, "before_2000"),
        ({"updated_at": "2000-01-01T00:30:00+01:00"}, "before_2000"),
        ({"updated_at": "2026-03-16"}, "future_date"),
        ({"updated_at": "2026-03-15 00:00:00"}, "future_date"),
        ({"updated_at": "9999-12-31 23:59:59"}, "future_date"),
        ({"updated_at": "a" * 70_000}, "too_long"),
    ],
)
def test_a_value_that_cannot_be_taken(changes: dict[str, object], expected: str) -> None:
    assert reason(parsed(event(**changes))) == expected


@pytest.mark.parametrize(
    "text",
    [
        "2022-02-30",
        "2022-13-01",
        "2022-3-1",
        "20220301",
        "2022-W09-2",
        "2022-03-01 25:00:00",
        "2022-03-01 24:00:00",
        "2022-03-01 10:20:60",
        "2022-03-01 10:20:30.1234567",
        "2022-03-01 10:20:30,123",
        "2022-03-01  10:20:30",
        " 2022-03-01",
        "2022-03-01\n",
        "٢٠٢٢-03-01",
        "0000-01-01",
        "0001-01-01T00:00:00+23:59",
        "yesterday",
    ],
)
def test_a_date_that_is_none(text: str) -> None:
    assert reason(parsed(event(updated_at=text))) == "bad_date"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2022-03-01", datetime(2022, 3, 1, tzinfo=UTC)),
        ("2022-03-01 10:20", datetime(2022, 3, 1, 10, 20, tzinfo=UTC)),
        ("2022-03-01T10:20:30Z", datetime(2022, 3, 1, 10, 20, 30, tzinfo=UTC)),
        ("2022-03-01 00:20:30.5+05:30", datetime(2022, 2, 28, 18, 50, 30, 500_000, tzinfo=UTC)),
        ("2022-03-01 10:20:30.000001", datetime(2022, 3, 1, 10, 20, 30, 1, tzinfo=UTC)),
        ("2000-01-01", datetime(2000, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_date_that_is_one(text: str, expected: datetime) -> None:
    row = parsed(event(updated_at=text))
    assert isinstance(row, Interaction)
    assert row.updated_at == expected


@settings(deadline=None)
@given(
    published=times("2001-01-01", "2100-01-01"),
    ahead=st.timedeltas(timedelta(0), timedelta(days=3)),
)
def test_only_a_later_day_than_the_publishers_clock_can_be_is_future(
    published: datetime, ahead: timedelta
) -> None:
    at = (published + ahead).replace(microsecond=0)
    result = parse(
        EVENTS, json.dumps(event(updated_at=f"{at:%Y-%m-%d %H:%M:%S}")).encode(), published
    )
    expected = at > published + timedelta(minutes=5) and at.date() > published.date()
    assert isinstance(result, Rejection) == expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "not_json"),
        (b"{", "not_json"),
        (b"hello", "not_json"),
        (b"\xff\xfe", "not_json"),
        (b"\x1f\x8b\x08\x00", "not_json"),
        (b'{"user_id": NaN}', "not_json"),
        (b'{"user_id": 1} {"user_id": 2}', "not_json"),
        (b"[" * 5_000 + b"]" * 5_000, "not_json"),
        (b"null", "not_an_object"),
        (b"[1]", "not_an_object"),
        (b'"text"', "not_an_object"),
        (b"{}", "missing_field"),
        (b'{"user_id": "no", "content_id": 2}', "missing_field"),
    ],
)
def test_a_message_that_is_no_event(data: bytes, expected: str) -> None:
    assert reason(parse(EVENTS, data, NOW)) == expected


def test_halves_of_surrogate_pairs_are_no_text() -> None:
    half = rb'{"content_id": 1, "category_name": "\ud800"}'
    assert reason(parse(CATEGORIES, half, NOW)) == "not_json"


@settings(deadline=None)
@given(INT64, st.text(min_size=1, max_size=60))
def test_categories_are_kept_as_written_but_for_blanks_and_composition(
    content: int, name: str
) -> None:
    document = json.dumps({"content_id": content, "category_name": f" {name}\t"})
    try:
        name.encode()
    except UnicodeEncodeError:
        assume(False)
    expected = unicodedata.normalize("NFC", name).strip()
    result = parse(CATEGORIES, document.encode(), NOW)
    if not expected:
        assert reason(result) == "empty"
    else:
        assert result == Category(content, expected)


def test_two_spellings_of_one_category_are_one() -> None:
    composed, decomposed = (
        parse(CATEGORIES, json.dumps({"content_id": 1, "category_name": name}).encode(), NOW)
        for name in ("Pok\u00e9mon", "Poke\u0301mon")
    )
    assert composed == decomposed


def test_lengths_of_categories() -> None:
    def of(length: int) -> object:
        name = "न" * length
        return parse(CATEGORIES,
            json.dumps({"content_id": 1, "category_name": name}).encode(), NOW
        )  # fmt: skip

    assert of(200) == Category(1, "न" * 200)
    assert reason(of(201)) == "too_long"
    assert reason(of(0)) == "empty"


def test_an_offset_does_not_move_the_instant() -> None:
    zone = timezone(timedelta(hours=-11))
    at = datetime(2022, 3, 1, 23, 30, tzinfo=zone)
    row = parsed(event(updated_at=at.isoformat(sep=" ")))
    assert isinstance(row, Interaction)
    assert row.updated_at == at
    assert row.updated_at.date().isoformat() == "2022-03-02"
