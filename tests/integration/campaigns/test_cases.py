"""Files that went wrong once (``tests/cases/campaigns``): what is written, noted and rejected."""

from __future__ import annotations

import io
import json
from pathlib import Path

import polars as pl
import pytest

from assets.campaigns.pipeline import CAMPAIGNS
from assets.frame.checks import validation_results
from assets.frame.reports import validation_metadata
from tests.integration.campaigns.harness import Landing

pytestmark = pytest.mark.servers("postgres")

CASES = Path(__file__).resolve().parents[2] / "cases" / "campaigns"


def load(landing: Landing, name: str):
    """The validated batch of one file, delivered to every sink; its messages by record."""
    batch = landing.batch({f"campaigns/{name}": (CASES / name).read_bytes()})
    result = landing.validate(batch)
    messages = [landing.deliver(batch, sink) for sink in CAMPAIGNS.sinks]
    assert all(one == messages[0] for one in messages)
    return result, messages[0]


def rejects(landing: Landing, result) -> list[tuple[int, str]]:
    frame = pl.read_parquet(io.BytesIO(landing.quarantine.get(result.quarantine_key)))
    return frame.select("line", "reason").sort("line").rows()


@pytest.mark.parametrize(
    ("name", "rows", "notes"),
    [
        ("utf16.csv", 3, "UTF-16"),
        ("cr_only.csv", 3, "lines end with CR"),
        ("gzip_inside.csv", 3, "gzip"),
        ("excel_sep.csv", 3, "delimiter semicolon"),
        ("semicolon.csv", 40, "delimiter semicolon"),
        ("extra_column.csv", 3, "ignored columns: channel"),
        ("header_case.csv", 3, None),
    ],
)
def test_whatever_a_file_is_written_like_all_of_its_rows_are_loaded(landing, name, rows, notes):
    result, messages = load(landing, name)
    assert (result.rows.read, result.rows.written, len(messages)) == (rows, rows, rows)
    assert all(message == "Looking for deals" for message in messages.values())
    shown = validation_metadata(CAMPAIGNS, result)
    if notes is None:
        assert "read_as" not in shown
    else:
        assert shown["read_as"].value.endswith(f"`: {notes}")


def test_a_repeated_column_rejects_the_object_and_a_check_says_so(landing):
    result, messages = load(landing, "repeated_column.csv")
    assert messages == {}
    assert [one.outcome for one in result.objects] == ["rejected"]
    assert result.objects[0].reason == "bad_header: repeated: message"
    checks = {one.check_name: one.passed for one in validation_results(landing.pg, result.batch_id)}
    assert checks == {"rows_balance": True, "rejected_share": False}


def test_a_record_inside_quotes_is_text(landing):
    result, messages = load(landing, "record_inside_quotes.csv")
    assert (result.rows.written, result.rows.rejected) == (2, 0)
    assert sorted(message.count("\n") for message in messages.values() if message) == [0, 2]
    users = {user for user, *_ in landing.records().values()}
    assert "somebody_else" not in users


def test_a_quote_that_is_never_closed_costs_its_line(landing):
    result, messages = load(landing, "quote_never_closed.csv")
    assert rejects(landing, result) == [(4, "unclosed_quote")]
    assert len(messages) == 6
    assert "closed, properly" in messages.values()


def test_spellings_of_one_id_are_one_record(landing):
    result, messages = load(landing, "id_spellings.csv")
    found = pl.read_parquet(io.BytesIO(landing.quarantine.get(result.quarantine_key)))
    doubles = found.filter(pl.col("reason") == "duplicate_record_id")
    assert doubles.height == 5
    # The latest of the six, by the file itself.
    times = [
        line.rsplit(",", 1)[1] for line in (CASES / "id_spellings.csv").read_text().split("\n")[1:7]
    ]
    latest = 2 + times.index(max(times))
    assert doubles["kept_line"].unique().to_list() == [latest]
    assert found.filter(pl.col("reason") == "missing_record_id").height == 2
    assert len(messages) == 2
    assert "order-17" in messages


@pytest.mark.parametrize("at_once", [False, True], ids=["one after the other", "in one second"])
def test_a_correction_is_what_counts(landing, at_once):
    first, second = "correction_1_first.csv", "correction_2_second.csv"
    if at_once:  # the correction's name sorts first; the ledger has them in order of arrival
        versions = [
            landing.put("campaigns/z.csv", (CASES / first).read_bytes()),
            landing.put("campaigns/a.csv", (CASES / second).read_bytes()),
        ]
        batch = landing.batch_of(versions)
        result = landing.validate(batch)
        messages = landing.deliver(batch, CAMPAIGNS.sinks[0])
        assert result.reasons == {"future": 1}
    else:
        result, _ = load(landing, first)
        assert result.reasons == {"future": 1}
        _, messages = load(landing, second)
    assert sorted(messages.values()) == ["right year", "second, an earlier day"]
    times = {str(time.date()) for _, _, time, _ in landing.records().values()}
    assert all(day.startswith("20") for day in times)
    assert not any(day.startswith("21") for day in times)


def test_rejected_rows_of_another_dialect_come_back_as_they_were(landing):
    from ops.rejects import entries, put_back

    text = 'record_id;user_id;message;campaign;timestamp\r;u1;"a;b,c";Sale;2025-11-03 10:00:00\r'
    batch = landing.batch({"campaigns/a.csv": text.encode("utf-16")})
    result = landing.validate(batch)
    found = pl.read_parquet(io.BytesIO(landing.quarantine.get(result.quarantine_key)))
    assert found["text"].to_list() == [text.split("\r")[1]]
    back = put_back(
        entries([found]),
        landing.store,
        prefix="campaigns/",
        suffix=".csv",
        batch_id=batch,
        reasons={},
        note=lambda *_: None,
    )
    assert back.rows == 1
    (uri,) = back.objects
    key = uri.partition("campaigns/")[2]
    stored = landing.store.get("campaigns/" + key.removeprefix("campaigns/").partition("#")[0])
    assert stored.decode() == text
    assert json.dumps(back.refused) == "{}"
