"""Records by object: an object's newest whole version is all that it says, whatever the order."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO

import polars as pl
import psycopg
import pytest

from landing.arrival.identity import ObjectVersion
from landing.batch import winners
from landing.batch.chunks import REJECT_SCHEMA, Chunk
from landing.batch.delivery import deliver
from landing.batch.origins import of_object, origin_of
from landing.batch.reasons import RejectReason
from landing.batch.validation import RecordRules, validate
from migrations.upgrade import upgrade
from resources.postgres import PostgresResource
from tests.memory_store import MemoryStore

pytestmark = pytest.mark.servers("postgres")

LOG = logging.getLogger("test")
START = datetime(2026, 11, 22, 10, tzinfo=UTC)
#: What a version says: records with their content, of which "bad" ones are rejected.
Said = Sequence[tuple[str, str]]


class Versions(MemoryStore):
    """A bucket that keeps its versions."""

    def __init__(self) -> None:
        super().__init__("music-raw", "minio")
        self.kept: dict[str, bytes] = {}

    def put(self, key: str, data: Any, **given: Any) -> ObjectVersion:
        version = super().put(key, data, **given)
        self.kept[version.uri] = self.objects[key][1]
        return version

    @contextmanager
    def open(self, version: ObjectVersion) -> Iterator[BinaryIO]:
        yield io.BytesIO(self.kept[version.uri])


def read(stream: BinaryIO, version: ObjectVersion) -> Iterator[Chunk]:
    said = list(enumerate(json.load(stream), start=1))
    good = [(key, text, hashlib.md5(text.encode()).hexdigest(), line, text)
            for line, (key, text) in said if text != "bad"]  # fmt: skip
    bad = [(line, "bad", "it says so", text, False) for line, (_, text) in said if text == "bad"]
    columns = {"key": pl.String, "what": pl.String, "row_hash": pl.String, "line": pl.Int64,
               "text": pl.String}  # fmt: skip
    rows = pl.DataFrame(good, schema=columns, orient="row")
    rejects = pl.DataFrame(bad, schema=REJECT_SCHEMA, orient="row")
    yield Chunk(of_object(rows, "key", version.key), rejects, lines=len(said))


RULES = RecordRules(
    name="music",
    key="key",
    event_time=None,
    columns=("key", "what", "row_hash"),
    attributes=(),
    sinks=("one", "two"),
    read=read,
    reasons=(RejectReason("bad", "one that says so", "correct it"),),
    by_object=True,
)


@dataclass
class Landing:
    """A ledger, a bucket, and two sinks that are what was given to them."""

    url: str
    store: Versions = field(default_factory=Versions)
    sinks: dict[str, dict[str, str]] = field(
        default_factory=lambda: {sink: {} for sink in RULES.sinks}
    )
    batches: int = 0

    @property
    def pg(self) -> PostgresResource:
        return PostgresResource(url=self.url)

    def put(self, key: str, said: Said) -> ObjectVersion:
        return self.store.put(key, json.dumps(said).encode())

    def batch(self, *versions: ObjectVersion) -> str:
        self.batches += 1
        batch_id = f"{START:%Y%m%dT%H%M%SZ}-{self.batches:04d}"
        seen = START + timedelta(minutes=self.batches)
        with psycopg.connect(self.url) as conn:
            conn.execute(
                "INSERT INTO landing.batch (batch_id, source, pipeline, objects, bytes, created_at)"
                " VALUES (%s, 'music_minio', 'music', %s, 1, %s)",
                (batch_id, len(versions), seen),
            )
            for v in versions:
                conn.execute(
                    "INSERT INTO landing.object_version (source, store, bucket, key, version, size,"
                    " modified_at, seen_at, batch_id) VALUES ('music_minio', %s, %s, %s, %s, %s,"
                    " %s, %s, %s)",
                    (v.store, v.bucket, v.key, v.version, v.size, v.modified_at, seen, batch_id),
                )
        return batch_id

    def validate(self, batch_id: str):
        return validate(
            self.pg, self.store, MemoryStore("quarantine"), RULES,
            batch_id=batch_id, run_id="run", log=LOG,
        )  # fmt: skip

    def deliver(self, batch_id: str, sink: str) -> None:
        held = self.sinks[sink]
        with deliver(
            self.pg, self.store, pipeline="music", batch_id=batch_id, sink=sink, run_id="run"
        ) as delivery:
            for key in delivery.withdrawn():
                held.pop(key, None)
            for chunk in delivery.chunks():
                held.update(chunk.select("key", "what").rows())
            delivery.done(rows_written=delivery.row_count)

    def load(self, *versions: ObjectVersion):
        batch_id = self.batch(*versions)
        result = self.validate(batch_id)
        for sink in RULES.sinks:
            self.deliver(batch_id, sink)
        return result

    def shown(self) -> dict[tuple[str, str], str]:
        """What both sinks hold: by object and record."""
        one, two = self.sinks.values()
        assert one == two
        names = {origin_of(key): key for key in self.store.objects}
        return {
            (names[key.partition(":")[0]], key.partition(":")[2]): what for key, what in one.items()
        }

    def state(self, batch_id: str) -> str:
        with psycopg.connect(self.url) as conn:
            found = conn.execute(
                "SELECT state FROM landing.batch WHERE batch_id = %s", (batch_id,)
            ).fetchone()
        assert found is not None
        return found[0]


@pytest.fixture
def landing(env: Mapping[str, str]) -> Landing:
    upgrade(env["POSTGRES_URL"])
    return Landing(env["POSTGRES_URL"])


def test_what_a_rewritten_object_leaves_out_is_withdrawn(landing):
    landing.load(landing.put("a", [("kept", "1"), ("changed", "1"), ("left out", "1")]))
    result = landing.load(landing.put("a", [("kept", "1"), ("changed", "2"), ("new", "1")]))
    assert landing.shown() == {("a", "kept"): "1", ("a", "changed"): "2", ("a", "new"): "1"}
    assert (result.rows.written, result.rows.unchanged, result.withdrawn) == (2, 1, 1)


def test_two_objects_that_say_the_same_are_two_sources(landing):
    both = [("x", "1"), ("y", "1")]
    landing.load(landing.put("a", both), landing.put("b", both))
    landing.load(landing.put("a", [("x", "1")]))
    assert landing.shown() == {("a", "x"): "1", ("b", "x"): "1", ("b", "y"): "1"}


def test_an_object_emptied_says_nothing_and_its_batch_reaches_the_sinks(landing):
    landing.load(landing.put("a", [("x", "1"), ("y", "1")]))
    batch_id = landing.batch(landing.put("a", []))
    assert landing.validate(batch_id).withdrawn == 2
    landing.deliver(batch_id, "one")
    assert landing.state(batch_id) != "loaded"
    landing.deliver(batch_id, "two")
    assert (landing.shown(), landing.state(batch_id)) == ({}, "loaded")


def test_a_version_with_rejects_takes_nothing_back(landing):
    landing.load(landing.put("a", [("x", "1"), ("y", "1")]))
    assert landing.load(landing.put("a", [("x", "2"), ("y", "bad")])).withdrawn == 0
    assert landing.shown() == {("a", "x"): "2", ("a", "y"): "1"}
    assert landing.load(landing.put("a", [("x", "2")])).withdrawn == 1
    assert landing.shown() == {("a", "x"): "2"}


def test_a_duplicate_is_no_reason_to_keep_what_was_left_out(landing):
    landing.load(landing.put("a", [("x", "1"), ("y", "1")]))
    result = landing.load(landing.put("a", [("x", "2"), ("x", "3")]))
    assert (result.withdrawn, result.rows.rejected) == (1, 1)
    assert landing.shown() == {("a", "x"): "3"}


def test_an_older_version_that_is_decided_later_brings_nothing_back(landing):
    old = landing.put("a", [("x", "1"), ("y", "1")])
    landing.load(landing.put("a", [("x", "2")]))
    result = landing.load(old)
    assert (result.rows.superseded, result.withdrawn) == (2, 0)
    assert landing.shown() == {("a", "x"): "2"}


def test_what_was_withdrawn_before_its_batch_reached_a_sink_never_does(landing):
    first = landing.batch(landing.put("a", [("x", "1"), ("y", "1")]))
    landing.validate(first)
    second = landing.batch(landing.put("a", [("x", "1")]))
    landing.validate(second)
    for sink in RULES.sinks:
        landing.deliver(second, sink)
        landing.deliver(first, sink)
    assert landing.shown() == {("a", "x"): "1"}


def test_what_came_back_is_not_taken_out_by_a_late_sink(landing):
    landing.load(landing.put("a", [("x", "1"), ("y", "1")]))
    late = landing.batch(landing.put("a", [("x", "1")]))
    landing.validate(late)
    landing.load(landing.put("a", [("x", "1"), ("y", "1")]))
    for sink in RULES.sinks:
        landing.deliver(late, sink)
    assert landing.shown() == {("a", "x"): "1", ("a", "y"): "1"}


def expected(arrived: Sequence[tuple[str, Said]]) -> dict[tuple[str, str], str]:
    """Per object what its versions say, one after the other; a whole one is all there is."""
    said: dict[str, dict[str, str]] = {}
    for key, rows in arrived:
        if all(text != "bad" for _, text in rows):
            said[key] = dict(rows)
        else:
            said.setdefault(key, {}).update((name, text) for name, text in rows if text != "bad")
    return {(key, name): text for key, records in said.items() for name, text in records.items()}


@pytest.mark.parametrize("again", [1, 1_000])
@pytest.mark.parametrize("seed", range(6))
def test_any_order_of_batches_sinks_and_retries_ends_as_what_arrived(
    landing, monkeypatch, seed, again
):
    monkeypatch.setattr(winners, "SAID_AGAIN_ROWS", again)
    chance = random.Random(seed)
    arrived: list[tuple[str, Said]] = []
    found = []
    for _ in range(14):
        key = chance.choice("abc")
        rows = [(name, chance.choice(["1", "2", "1", "2", "1", "2", "bad"]))
                for name in "uvwxyz" if chance.random() < 0.6]  # fmt: skip
        arrived.append((key, rows))
        found.append(landing.put(key, rows))
    chance.shuffle(found)
    batches = []
    while found:
        size = chance.randint(1, 3)
        batches.append(landing.batch(*found[:size]))
        found = found[size:]
    chance.shuffle(batches)
    due: list[tuple[str, str]] = []

    def take_some(share: float) -> None:
        chance.shuffle(due)
        for _ in range(round(len(due) * share)):
            batch_id, sink = due.pop()
            landing.deliver(batch_id, sink)
            if chance.random() < 0.1:
                due.append((batch_id, sink))

    for batch_id in batches:
        landing.validate(batch_id)
        due += [(batch_id, sink) for sink in RULES.sinks]
        take_some(chance.random())
    while due:
        take_some(1)
    assert landing.shown() == expected(arrived)
    # A backfill of everything, into empty sinks, newest batch first.
    landing.sinks = {sink: {} for sink in RULES.sinks}
    for batch_id in sorted(batches, reverse=True):
        landing.validate(batch_id)
        for sink in RULES.sinks:
            landing.deliver(batch_id, sink)
    assert landing.shown() == expected(arrived)
