from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import polars as pl

from assets.frame.rows import Rule, checked, hashed
from landing.batch.chunks import REJECT_SCHEMA, TEXT_BYTES, Chunk
from landing.batch.reasons import RejectReason

RULES = (
    Rule(RejectReason("missing_sku", "no sku"), pl.col("sku").is_not_null()),
    Rule(
        RejectReason("bad_amount", "not above 0"),
        pl.col("amount") > 0,
        pl.col("amount").cast(pl.String),
    ),
)


def chunk(*rows: tuple[str | None, int | None, str]) -> Chunk:
    frame = pl.DataFrame(
        [(sku, amount, line, text) for line, (sku, amount, text) in enumerate(rows, 3)],
        schema={"sku": pl.String, "amount": pl.Int64, "line": pl.Int64, "text": pl.String},
        orient="row",
    )
    earlier = pl.DataFrame([(2, "field_count", "1", "x", False)], REJECT_SCHEMA, orient="row")
    return Chunk(frame, earlier, lines=9, blank_lines=1)


def test_rows_that_break_a_rule_join_the_rejects_in_order_of_lines():
    long = "é" * TEXT_BYTES
    found = checked(
        chunk(("a", 1, "a,1"), (None, -1, ",-1"), ("b", 0, long), ("c", None, "c,")), RULES
    )
    assert found.accepted.rows() == [("a", 1, 3, "a,1")]
    assert found.accepted.columns == ["sku", "amount", "line", "text"]
    assert found.rejected.select("line", "reason", "detail", "truncated").rows() == [
        (2, "field_count", "1", False),
        (4, "missing_sku", None, False),  # the first of its two
        (5, "bad_amount", "0", True),
        (6, "bad_amount", None, False),  # null is not above 0
    ]
    assert len(found.rejected["text"][2].encode()) == TEXT_BYTES
    assert (found.lines, found.blank_lines) == (9, 1)


def test_nothing_broken_and_nothing_there():
    good = chunk(("a", 1, "a,1"))
    assert checked(good, RULES).accepted.equals(good.accepted)
    assert checked(good, RULES).rejected.equals(good.rejected)
    assert checked(chunk(), RULES).accepted.is_empty()


def test_hashes_are_of_the_named_columns_in_their_order():
    at = datetime(2025, 11, 3, 22, 34, 41, 5, tzinfo=UTC)
    frame = pl.DataFrame(
        {"a": ["ü", None], "n": [-12, 0], "at": [at, at], "other": [1, 2]},
        schema_overrides={"at": pl.Datetime("us", "UTC")},
    )
    micros = int(at.timestamp()) * 1_000_000 + 5
    time = f"{len(str(micros))}:{micros}"
    assert hashed(frame, ["a", "n", "at"])["row_hash"].to_list() == [
        hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
        for text in (f"2:ü3:-12{time}", f"-1:0{time}")
    ]
