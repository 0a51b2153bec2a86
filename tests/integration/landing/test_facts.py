"""A pipeline of facts: every accepted row is staged, and no earlier one stands in its way."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import polars as pl
import pytest

from landing.batch import row_buffer, staging
from landing.batch.chunks import REJECT_SCHEMA, Chunk, UnreadableObject
from landing.batch.counts import RowCounts
from landing.batch.delivery import deliver
from landing.batch.reasons import RejectReason
from landing.batch.rewriting import RecordsLost
from landing.batch.staging import part_key
from landing.batch.validation import FactRules, validate
from landing.stores.base import ObjectGone
from migrations.upgrade import upgrade
from resources.postgres import PostgresResource
from tests.memory_store import MemoryStore, PutRefused

pytestmark = pytest.mark.servers("postgres")

SEEN_AT = datetime(2026, 11, 22, 10, tzinfo=UTC)


def read(stream, version):
    """A row per line, the line's text being its value; lines with a question mark are bad.

    An object that ends with ``gone`` is removed while it is read.
    """
    lines = stream.read().decode().splitlines()
    if lines[:1] == ["none"]:
        raise UnreadableObject("none", "not of this format")
    gone = lines[-1:] == ["gone"] and lines.pop()
    rows = [(text, number) for number, text in enumerate(lines, start=1)]
    good = [row for row in rows if "?" not in row[0]]
    bad = [(line, "doubtful", None, text, False) for text, line in rows if "?" in text]
    schema = {"value": pl.String, "line": pl.Int64}
    yield Chunk(
        pl.DataFrame(good, schema=schema, orient="row"),
        pl.DataFrame(bad, schema=REJECT_SCHEMA, orient="row"),
    )
    if gone:
        raise ObjectGone(version)


PIPELINE = FactRules(
    name="reading",
    columns=("value",),
    sinks=("one", "two"),
    read=read,
    reasons=(RejectReason("doubtful", "a question mark"), RejectReason("none", "no such file")),
)


class World:
    """The ledger of a test, its buckets, and batches as the scan makes them."""

    def __init__(self, url):
        self.pg = PostgresResource(url=url)
        self.store, self.quarantine = MemoryStore(), MemoryStore("quarantine")

    def batch(self, number, objects):
        batch_id = f"20261122T100000Z-{number:04d}"
        with self.pg.connect() as conn:
            conn.execute(
                "INSERT INTO landing.batch (batch_id, source, pipeline, objects, bytes, created_at)"
                " VALUES (%s, 's', 'reading', %s, 1, %s)",
                (batch_id, len(objects), SEEN_AT),
            )
            for key, data in objects.items():
                v = self.store.put(key, data)
                conn.execute(
                    "INSERT INTO landing.object_version (source, store, bucket, key, version, size,"
                    " modified_at, seen_at, batch_id) VALUES ('s', %s, %s, %s, %s, %s, %s, %s, %s)",
                    (v.store, v.bucket, v.key, v.version, v.size, v.modified_at, SEEN_AT, batch_id),
                )
        return batch_id

    def validate(self, batch_id):
        return validate(
            self.pg, self.store, self.quarantine, PIPELINE,
            batch_id=batch_id, run_id="run", log=logging.getLogger("test"),
        )  # fmt: skip

    def take(self, batch_id, sink):
        with deliver(
            self.pg, self.store, pipeline="reading", batch_id=batch_id, sink=sink, run_id="run"
        ) as delivery:
            rows = [row for chunk in delivery.facts(rows=2) for row in chunk.rows(named=True)]
            assert len(rows) == delivery.row_count == sum(part.rows for part in delivery.parts)
            delivery.done(rows_written=len(rows))
        return rows

    def query(self, statement):
        with self.pg.connect() as conn:
            return conn.execute(statement).fetchall()


@pytest.fixture
def world(env):
    upgrade(env["POSTGRES_URL"])
    return World(env["POSTGRES_URL"])


def test_equal_rows_are_all_staged_in_one_object_in_two_and_in_two_batches(world):
    first = world.batch(1, {"a": b"x\nx\ny?\nz", "b": b"x", "c": b"none", "d": b""})
    second = world.batch(2, {"e": b"x\nx"})
    result = world.validate(first)
    assert result.rows == RowCounts(read=5, written=4, rejected=1)
    assert [(o.outcome, o.rows.written, o.rows.rejected) for o in result.objects] == [
        ("loaded", 3, 1), ("loaded", 1, 0), ("rejected", 0, 0), ("loaded", 0, 0),
    ]  # fmt: skip
    assert result.reasons == {"doubtful": 1, "none": 1}
    later = world.validate(second)
    assert (later.rows, later.staged_rows) == (RowCounts(read=2, written=2), 2)
    # The later batch was decided meanwhile: what the earlier one staged stays current.
    for sink in PIPELINE.sinks:
        rows = world.take(first, sink)
        assert [(row["value"], row["line"], row["source"]) for row in rows] == [
            ("x", 1, "gs://campaigns/a#1"), ("x", 2, "gs://campaigns/a#1"),
            ("z", 4, "gs://campaigns/a#1"), ("x", 1, "gs://campaigns/b#2"),
        ]  # fmt: skip
        assert {row["ingested_at"] for row in rows} == {SEEN_AT}
        world.take(second, sink)
    assert world.query("SELECT state FROM landing.batch ORDER BY batch_id") == [
        ("loaded_with_rejects",), ("loaded",),
    ]  # fmt: skip


def test_what_is_staged_again_is_what_was_staged(world):
    batch = world.batch(1, {"a": b"x\ny?\nz"})
    first = world.validate(batch)
    staged = world.store.get(part_key("reading", batch, 0))
    assert world.validate(batch).mode == "rewrite"
    world.store.delete(part_key("reading", batch, 0))
    again = world.validate(batch)
    assert (again.mode, again.rows, again.reasons) == ("rewrite", first.rows, {"doubtful": 1})
    # Under another name: until the commit the old parts are the batch's.
    assert [(p.part, p.rows, p.sha256) for p in again.parts] == [
        (p.part + 1, p.rows, p.sha256) for p in first.parts
    ]
    assert world.store.get(part_key("reading", batch, 1)) == staged


def test_rows_of_an_object_that_goes_while_it_is_read_are_not_staged(world, monkeypatch):
    """Not even those that are spooled already, in files that would be parts as they are."""
    monkeypatch.setattr(staging, "PART_ROWS", 2)
    batch_id = world.batch(1, {"a": b"1\n2\n3", "b": b"4\n5\ngone", "c": b"6"})
    result = world.validate(batch_id)
    assert [(o.outcome, o.rows.written) for o in result.objects] == [
        ("loaded", 3), ("gone", 0), ("loaded", 1),
    ]  # fmt: skip
    assert [row["value"] for row in world.take(batch_id, "one")] == ["1", "2", "3", "6"]
    assert [part.rows for part in result.parts] == [2, 2]
    assert [row["value"] for row in result.preview] == ["1", "2", "3", "6"]


def test_a_batch_of_more_parts_than_files_may_be_open_has_every_row_once(world, monkeypatch):
    monkeypatch.setattr(staging, "PART_ROWS", 2)
    monkeypatch.setattr(row_buffer, "MOST_FILES", 2)
    monkeypatch.setattr(row_buffer, "_GATHERED_ROWS", 1)
    objects = {key: f"{key}1\n{key}2\n{key}3".encode() for key in "abc"}
    result = world.validate(batch_id := world.batch(1, objects))
    rows = [f"{key}{number}" for key in "abc" for number in (1, 2, 3)]
    assert [row["value"] for row in world.take(batch_id, "one")] == rows
    assert [part.rows for part in result.parts] == [2, 2, 2, 2, 1]


def test_facts_that_cannot_be_read_again_are_named(world):
    batch = world.batch(1, {"a": b"x", "b": b"y", "c": b"?"})
    world.validate(batch)
    for sink in PIPELINE.sinks:
        world.take(batch, sink)
    world.store.delete(part_key("reading", batch, 0))
    world.store.delete("b")
    world.store.delete("c")
    with pytest.raises(RecordsLost, match="gs://campaigns/b#2 is gone") as raised:
        world.validate(batch)
    assert "campaigns/c" not in str(raised.value), "it had given none"
    assert world.query("SELECT state FROM landing.batch") == [("loaded_with_rejects",)]
    assert world.query("SELECT DISTINCT state FROM landing.batch_sink") == [("done",)]


def test_a_validation_that_fails_leaves_nothing_to_be_seen(world):
    batch = world.batch(1, {"a": b"x\ny?"})
    world.store.puts_left = 0
    with pytest.raises(PutRefused):
        world.validate(batch)
    assert world.query("SELECT * FROM landing.staged_part") == []
    assert world.query("SELECT validated_at FROM landing.batch") == [(None,)]
    assert world.query("SELECT outcome FROM landing.object_version") == [(None,)]
    world.store.puts_left = None
    assert world.validate(batch).rows == RowCounts(read=2, written=1, rejected=1)


def test_a_batch_without_a_good_row_is_loaded_at_once(world):
    batch = world.batch(1, {"a": b"?", "b": b"none"})
    assert world.validate(batch).staged_rows == 0
    assert world.query("SELECT state FROM landing.batch") == [("loaded_with_rejects",)]
    assert world.query("SELECT sink, state FROM landing.batch_sink ORDER BY 1") == [
        ("one", "done"), ("two", "done"),
    ]  # fmt: skip
