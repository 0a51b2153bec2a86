from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest

from landing.arrival.identity import ObjectVersion
from landing.batch.chunks import REJECT_SCHEMA, TEXT_BYTES, cut_texts, original_text
from landing.batch.quarantine import QuarantineWriter, read
from landing.batch.reasons import UnknownReasonWarning
from tests.memory_store import MemoryStore

KNOWN = ("bad_timestamp", "bad_header")
VERSION = ObjectVersion("gcs", "b", "a.csv", "7", 1, datetime(2026, 1, 1, tzinfo=UTC))


def test_rejects_are_kept_with_where_and_why():
    store = MemoryStore("quarantine")
    rows = pl.DataFrame(
        [(3, "bad_timestamp", "x", "raw", False)], schema=REJECT_SCHEMA, orient="row"
    )
    with QuarantineWriter(KNOWN) as writer:
        writer.add(VERSION, rows)
        writer.add(VERSION, rows.with_columns(pl.lit(9, pl.Int64).alias("kept_line")))
        writer.add_object(VERSION, "bad_header", "no header", ("PK", False))
        key = writer.put(store, "campaigns", "b1")
        assert writer.reasons == {"bad_timestamp": 2, "bad_header": 1}
    assert key == "campaigns/b1.parquet"
    found = pl.concat(read(store, key))
    assert found.select("source", "key", "version", "line", "reason", "kept_line").rows() == [
        ("gs://b/a.csv#7", "a.csv", "7", 3, "bad_timestamp", None),
        ("gs://b/a.csv#7", "a.csv", "7", 3, "bad_timestamp", 9),
        ("gs://b/a.csv#7", "a.csv", "7", None, "bad_header", None),
    ]


def test_an_undeclared_reason_is_kept_and_an_error_in_tests():
    rows = pl.DataFrame([(3, "odd", "x", "raw", False)], schema=REJECT_SCHEMA, orient="row")
    with QuarantineWriter(KNOWN) as writer:
        with pytest.raises(UnknownReasonWarning, match="'odd'"):
            writer.add(VERSION, rows)
        with pytest.warns(UnknownReasonWarning):
            writer.add(VERSION, rows)
        assert writer.rows == 1


def test_without_rejects_there_is_no_object_not_even_an_older_one():
    store = MemoryStore("quarantine")
    store.put("campaigns/b1.parquet", b"of a run that was killed")
    with QuarantineWriter(KNOWN) as writer:
        assert writer.put(store, "campaigns", "b1") is None
    assert not store.objects
    with pytest.raises(KeyError):
        list(read(store, "campaigns/b1.parquet"))


def test_original_text_is_readable_and_bounded():
    assert original_text(b"caf\xe9,\x00\r\n") == ("caf\\xe9,\\x00", False)
    text, cut = original_text("é".encode() * TEXT_BYTES)
    assert cut
    assert len(text.encode()) <= TEXT_BYTES
    frame = cut_texts(pl.DataFrame({"text": ["a", "b" * (TEXT_BYTES + 1)]}))
    assert frame["truncated"].to_list() == [False, True]
    assert frame["text"].str.len_bytes().to_list() == [1, TEXT_BYTES]
