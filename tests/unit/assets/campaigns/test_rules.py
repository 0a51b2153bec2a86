from __future__ import annotations

import hashlib
import unicodedata
from datetime import UTC, datetime

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.campaigns.rules import COLUMNS, validated
from landing.batch.chunks import REJECT_SCHEMA, Chunk

ARRIVED = datetime(2026, 1, 2, 12, tzinfo=UTC)
GOOD = ("r1", "u1", "Hello", "Sale", "2025-11-03 22:34:41.495680")


def check(*rows: tuple[str, ...]) -> Chunk:
    frame = pl.DataFrame(rows, schema=dict.fromkeys(COLUMNS, pl.String), orient="row")
    frame = frame.with_columns(
        pl.int_range(2, len(rows) + 2, dtype=pl.Int64).alias("line"), pl.lit("raw").alias("text")
    )
    return validated(Chunk(frame, pl.DataFrame(schema=REJECT_SCHEMA)), ARRIVED)


def with_value(column: str, value: str) -> tuple[str, ...]:
    return tuple(
        value if name == column else good for name, good in zip(COLUMNS, GOOD, strict=True)
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2025-11-03 22:34:41", datetime(2025, 11, 3, 22, 34, 41, tzinfo=UTC)),
        ("2025-11-03T22:34:41.5", datetime(2025, 11, 3, 22, 34, 41, 500_000, tzinfo=UTC)),
        ("2025-11-03 22:34:41.000001Z", datetime(2025, 11, 3, 22, 34, 41, 1, tzinfo=UTC)),
        ("2025-11-03 22:34:41+05:30", datetime(2025, 11, 3, 17, 4, 41, tzinfo=UTC)),
        ("2025-12-31 22:34:41.25 -0200", datetime(2026, 1, 1, 0, 34, 41, 250_000, tzinfo=UTC)),
        (" 2024-02-29 00:00:00 ", datetime(2024, 2, 29, tzinfo=UTC)),
        ("1970-01-01 00:00:00", datetime(1970, 1, 1, tzinfo=UTC)),
        ("2026-01-03 12:00:00", datetime(2026, 1, 3, 12, tzinfo=UTC)),
    ],
)
def test_timestamps_become_utc(value, expected):
    assert check(with_value("timestamp", value)).accepted["timestamp"].to_list() == [expected]


@pytest.mark.parametrize(
    "value",
    [
        "", "now", "2025-02-30 00:00:00", "2025-13-01 00:00:00", "2023-02-29 00:00:00",
        "2025-01-01 24:00:00", "2025-01-01 00:60:00", "2025-01-01 23:59:60", "2025-01-01",
        "2025-01-01 00:00:00.1234567", "2025-01-01 00:00:00.", "2025-1-1 00:00:00",
        "01/02/2025 00:00:00", "1969-12-31 23:59:59",
        "1970-01-01 00:00:00+01:00", "2025-01-01 00:00:00+25:00", "+2025-01-01 00:00:00",
        "٢٠٢٥-01-01 00:00:00", "1762209281",
    ],
)  # fmt: skip
def test_times_that_do_not_exist_are_rejected(value):
    result = check(with_value("timestamp", value))
    assert result.accepted.is_empty()
    assert result.rejected.select("line", "reason").rows() == [(2, "bad_timestamp")]


@given(st.datetimes(datetime(1970, 1, 1), datetime(2026, 1, 3, 12)))  # noqa: DTZ001
def test_any_time_of_the_range_is_read_exactly(moment):
    text = moment.isoformat(sep=" ", timespec="microseconds")
    accepted = check(with_value("timestamp", text)).accepted
    assert accepted["timestamp"].to_list() == [moment.replace(tzinfo=UTC)]


@pytest.mark.parametrize(
    "value", ["2026-01-03 12:00:00.000001", "2125-11-03 10:00:00", "9999-12-31 23:59:59"]
)
def test_more_than_a_day_after_the_file_arrived_is_the_future(value):
    result = check(with_value("timestamp", value))
    assert result.rejected.select("reason", "detail").rows() == [("future", value)]


UUID = "0528b5eb-0643-54f1-9018-cc12f7ae8ddc"


@pytest.mark.parametrize("column", ["record_id", "user_id"])
@pytest.mark.parametrize(
    "spelled",
    [
        UUID, UUID.upper(), f"{{{UUID}}}", f"urn:uuid:{UUID}", f"URN:UUID:{UUID.upper()}",
        UUID.replace("-", ""), f"\u200b{UUID}\ufeff", f"\xa0{UUID} ",
        UUID[:9] + "\u200d" + UUID[9:],
    ],
)  # fmt: skip
def test_a_uuid_is_one_id_however_it_is_spelled(column, spelled):
    assert check(with_value(column, spelled)).accepted[column].to_list() == [UUID]


@pytest.mark.parametrize(
    "kept", ["order-17", "Order-17", "nano", "none-1", UUID[:-1], UUID + "0", "{" + UUID[:-1] + "}"]
)
def test_other_ids_are_texts_whose_case_stays(kept):
    assert check(with_value("record_id", kept)).accepted["record_id"].to_list() == [kept]


@pytest.mark.parametrize("value", ["NULL", "null", "\\N", "None", "nan", "NaN", "\u200b", "\u3000"])
@pytest.mark.parametrize("column", ["record_id", "user_id"])
def test_what_databases_write_for_nothing_is_no_id(column, value):
    rejected = check(with_value(column, value)).rejected
    assert rejected["reason"].to_list() == [f"missing_{column}"]


def test_a_campaign_may_have_any_name():
    names = ["None", "NULL", "nan", UUID.upper()]
    rows = check(*(with_value("campaign", name) for name in names))
    assert rows.accepted["campaign"].to_list() == names


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20))
def test_users_and_campaigns_that_look_alike_are_one(name):
    forms = [unicodedata.normalize(form, f"x{name}x") for form in ("NFC", "NFD")]
    rows = check(*(("r", form, "m", form, GOOD[4]) for form in forms)).accepted
    assert rows.select("user_id", "campaign").rows() == [(forms[0], forms[0])] * 2
    assert rows["row_hash"].n_unique() == 1


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("record_id", "", "missing_record_id"),
        ("record_id", " \t", "missing_record_id"),
        ("user_id", "", "missing_user_id"),
        ("record_id", "x" * 129, "value_too_long"),
        ("user_id", "é" * 65, "value_too_long"),
        ("campaign", "x" * 257, "value_too_long"),
    ],
)
def test_reasons(column, value, reason):
    good = check(GOOD, with_value(column, value), GOOD)
    assert good.accepted["line"].to_list() == [2, 4]
    assert good.rejected.select("line", "reason", "text").rows() == [(3, reason, "raw")]


def test_a_row_with_several_defects_is_counted_once():
    assert check(("", "", "", "", "")).rejected["reason"].to_list() == ["missing_record_id"]


def test_values_are_made_regular():
    row = check((" r1 ", "u1 ", " keeps its blanks ", " Sale ", GOOD[4])).accepted.row(
        0, named=True
    )
    assert (row["record_id"], row["user_id"], row["campaign"]) == ("r1", "u1", "Sale")
    assert row["message"] == " keeps its blanks "
    empty = check(("r1", "u1", "  ", "", GOOD[4])).accepted.row(0, named=True)
    assert (empty["message"], empty["campaign"], empty["message_hash"]) == (None, None, None)


def test_hashes_are_as_documented():
    row = check(GOOD).accepted.row(0, named=True)
    micros = "1762209281495680"
    encoded = f"2:r12:u15:Hello4:Sale{len(micros)}:{micros}".encode()
    assert row["row_hash"] == hashlib.blake2b(encoded, digest_size=16).hexdigest()
    assert row["message_hash"] == hashlib.sha256(b"Hello").hexdigest()


@given(st.lists(st.tuples(*[st.text("a1:-", max_size=3)] * 2), min_size=2, max_size=8, unique=True))
def test_no_two_contents_share_a_hash(pairs):
    rows = check(*[("r", "u", message, campaign, GOOD[4]) for message, campaign in pairs]).accepted
    assert rows["row_hash"].n_unique() == rows.select("message", "campaign").n_unique()
