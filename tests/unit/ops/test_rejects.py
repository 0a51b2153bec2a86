"""Rejects put back: the bytes that arrived, only where that is right."""

from __future__ import annotations

import io

import polars as pl
import pytest

from assets.pipelines import reject_reasons
from landing.batch.chunks import original_text
from ops.rejects import Reject, entries, physical_lines, put_back
from tests.memory_store import MemoryStore

HEADER = b"user_id,record_id,message,campaign,timestamp\r\n"


def reject(store, key, line, raw, reason="bad_timestamp", **changes):
    version = store.stat(key)
    text, truncated = original_text(raw)
    return Reject(
        source=version.uri,
        key=key,
        version=version.version,
        line=line,
        reason=reason,
        detail=None,
        text=text,
        truncated=changes.get("truncated", truncated),
    )


def replayed(store, rejects, note=lambda *_: None):
    return put_back(
        rejects,
        store,
        prefix="campaigns/",
        suffix=".csv",
        batch_id="20261122T101503Z-0001",
        reasons=reject_reasons("campaigns"),
        note=note,
    )


TARGET = "campaigns/replay/20261122T101503Z-0001-0.csv"


def test_rows_come_back_byte_for_byte_below_their_own_header():
    store = MemoryStore()
    latin = b"u,1,caf\xe9,Sale,2025-01-01 00:00:00\r\n"
    wide = b'u,2,"two\nlines",Sale,never\n'
    last = b"u,9,no end,Sale,never"
    store.put("campaigns/a.csv", HEADER + latin + b"u,3,good,Sale,x\n" + wide + last)
    result = replayed(
        store,
        [
            reject(store, "campaigns/a.csv", 2, latin, "bad_encoding"),
            reject(store, "campaigns/a.csv", 4, wide),
            reject(store, "campaigns/a.csv", 6, last),
        ],
    )
    assert result.rows == 3
    assert not result.refused
    assert store.get(TARGET) == HEADER + latin + wide + last + b"\n"


def test_each_source_object_gets_an_object_of_its_own():
    store = MemoryStore()
    store.put("campaigns/a.csv", b"\n\nh1\nbad a\n")
    store.put("campaigns/b.csv", b"h2\nbad b\n")
    result = replayed(
        store,
        [
            reject(store, "campaigns/a.csv", 4, b"bad a"),
            reject(store, "campaigns/b.csv", 2, b"bad b"),
        ],
    )
    assert store.get(TARGET) == b"h1\nbad a\n"
    assert store.get(TARGET.replace("-0.csv", "-1.csv")) == b"h2\nbad b\n"
    assert sorted(result.objects.values()) == [1, 1]


def test_what_is_not_put_back_is_counted_with_its_reason():
    store = MemoryStore()
    store.put("campaigns/a.csv", b"h\nx\n")
    store.put("campaigns/long.csv", b"h\n" + b"y" * 70_000 + b"\n")
    whole = reject(store, "campaigns/a.csv", None, b"h", "bad_header")
    result = replayed(
        store,
        [
            whole,
            reject(store, "campaigns/a.csv", 2, b"x", "duplicate_record_id"),
            reject(store, "campaigns/a.csv", 2, b"x", "unclosed_quote"),
            reject(store, "campaigns/long.csv", 2, b"y" * 70_000),
        ],
    )
    assert result.rows == 0
    assert sum(result.refused.values()) == 4
    told = " | ".join(result.refused)
    assert all(words in told for words in ("whole object", "duplicate", "unclosed", "64 KiB"))
    assert store.puts == ["campaigns/a.csv", "campaigns/long.csv"]


@pytest.mark.parametrize(("change", "words"), [("put", "was replaced"), ("delete", "was deleted")])
def test_an_old_row_never_follows_its_correction(change, words):
    store = MemoryStore()
    store.put("campaigns/a.csv", b"h\nbad\n")
    rejects = [reject(store, "campaigns/a.csv", 2, b"bad")]
    if change == "put":
        store.put("campaigns/a.csv", b"h\ngood\n")
    else:
        store.delete("campaigns/a.csv")
    result = replayed(store, rejects)
    assert result.objects == {}
    (refusal,) = result.refused
    assert words in refusal
    assert TARGET not in store.objects


def test_a_line_that_is_not_the_rejected_one_is_not_put_back():
    store = MemoryStore()
    store.put("campaigns/a.csv", b"h\nx\n")
    result = replayed(store, [reject(store, "campaigns/a.csv", 2, b"another")])
    assert result.objects == {}
    assert TARGET not in store.objects


def test_a_second_replay_writes_the_same_object():
    store = MemoryStore()
    store.put("campaigns/a.csv", b"h\nx\n")
    rejects = [reject(store, "campaigns/a.csv", 2, b"x")]
    replayed(store, rejects)
    content, keys = store.get(TARGET), set(store.objects)
    assert replayed(store, rejects).rows == 1
    assert store.get(TARGET) == content
    assert set(store.objects) == keys


def test_physical_lines_are_numbered_over_blocks_and_cut():
    long = b"z" * (3 * 1024 * 1024)
    found = list(physical_lines(io.BytesIO(b"a\n\n" + long + b"\nlast")))
    assert [number for number, _ in found] == [1, 2, 3, 4]
    assert found[0][1] == b"a\n"
    assert found[1][1] == b"\n"
    assert 64 * 1024 < len(found[2][1]) < 65 * 1024
    assert found[3][1] == b"last"


def test_entries_of_a_quarantine_object():
    row = {
        "source": "gs://b/k#1", "key": "k", "version": "1", "line": None, "reason": "bad_header",
        "detail": "d", "kept_line": None, "text": "t", "truncated": False,
    }  # fmt: skip
    (entry,) = entries([pl.DataFrame([row])])
    assert entry == Reject("gs://b/k#1", "k", "1", None, "bad_header", "d", "t", truncated=False)


def test_each_source_version_is_noted_before_its_object_is_put():
    store, noted, rejects = MemoryStore(), [], []
    for name in ("a", "b"):
        raw = f"{name},1,x,Sale,never\r\n".encode()
        store.put(f"campaigns/{name}.csv", HEADER + raw)
        rejects.append(reject(store, f"campaigns/{name}.csv", 2, raw))
    before = len(store.puts)

    def note(of, key):
        assert key not in store.objects
        noted.append((of, key, len(store.puts) - before))

    assert replayed(store, rejects, note).rows == 2
    stem = TARGET.removesuffix("0.csv")
    assert noted == [
        (("campaigns/a.csv", "1"), f"{stem}0.csv", 0),
        (("campaigns/b.csv", "2"), f"{stem}1.csv", 1),
    ]
