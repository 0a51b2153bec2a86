"""Silver's rows and the ledger's note of them are there together or not at all."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from assets.music.pipeline import MUSIC
from assets.music.silver import lyrics
from assets.music.silver.load import load_batch
from landing.batch import delivery as landing_delivery
from landing.batch import staging
from landing.batch.delivery import deliver, read_staged
from landing.batch.failures import TransientError
from resources.postgres import PostgresResource
from tests import forks
from tests.integration.music.silver_world import Handed, SilverWorld, frame, record
from tests.memory_store import MemoryStore

pytestmark = pytest.mark.servers("postgres")

SINK = "silver_songs"
ROWS = [
    record(
        "hdf5", f"TR{n}", track_id=f"TR{n}", song_id=f"SO{n}", title="T", artist_id=f"AR{n % 3}",
        year=1990 + n, album="LP", lyrics_text="la",
    )
    for n in range(50)
]  # fmt: skip


@dataclass
class Ledgered:
    """Batches as validation leaves them."""

    url: str
    store: MemoryStore = field(default_factory=lambda: MemoryStore("music-processed", "minio"))

    @property
    def pg(self) -> PostgresResource:
        return PostgresResource(url=self.url)

    def stage(self, batch_id: str, rows: list[dict[str, Any]]) -> None:
        content = frame(rows)
        with psycopg.connect(self.url) as conn:
            conn.execute(
                "INSERT INTO landing.batch (batch_id, source, pipeline, objects, bytes, created_at,"
                " validated_at, validation_order) VALUES (%s, 'music_minio', 'music', 1, 1, now(),"
                " now(), nextval('landing.validation_order'))",
                (batch_id,),
            )
            for row in rows:
                conn.execute(
                    "INSERT INTO music.record (key, event_time, seq, row_hash, batch_id)"
                    " VALUES (%s, %s, %s, %s, %s) ON CONFLICT (key) DO UPDATE SET"
                    " row_hash = excluded.row_hash, batch_id = excluded.batch_id",
                    (
                        row["record_key"],
                        datetime(1970, 1, 1, tzinfo=UTC),
                        row["seq"],
                        row["row_hash"],
                        batch_id,
                    ),
                )
            with staging.StagingWriter(self.store, "music", batch_id) as writer:
                writer.add(content)
                staging.save_parts(conn, batch_id, writer.finish())
            for sink in MUSIC.sinks:
                conn.execute(
                    "INSERT INTO landing.batch_sink (batch_id, sink) VALUES (%s, %s)",
                    (batch_id, sink),
                )

    def deliver(self, batch_id: str, run_id: str = "run"):
        return deliver(
            self.pg, self.store, pipeline="music", batch_id=batch_id, sink=SINK, run_id=run_id
        )

    def load(self, batch_id: str):
        with self.deliver(batch_id) as batch, self.pg.connect() as conn:
            return load_batch(conn, batch)

    def sink(self, batch_id: str) -> tuple[Any, ...]:
        with psycopg.connect(self.url) as conn:
            row = conn.execute(
                "SELECT state, rows_written, run_id FROM landing.batch_sink"
                " WHERE batch_id = %s AND sink = %s",
                (batch_id, SINK),
            ).fetchone()
        assert row is not None
        return row


@pytest.fixture
def ledgered(env: dict[str, str]) -> Ledgered:
    return Ledgered(env["POSTGRES_URL"])


@pytest.fixture
def world(ledgered: Ledgered) -> SilverWorld:
    return SilverWorld(ledgered.url)


def test_rows_and_mark_are_committed_together(ledgered, world):
    ledgered.stage("b1", ROWS)
    with ledgered.deliver("b1") as batch, ledgered.pg.connect() as conn:
        with conn.transaction():
            load_batch(conn, batch)
            assert ledgered.sink("b1") == ("pending", None, "run")
            assert not world.hashes()
        assert ledgered.sink("b1") == ("done", 50, "run")
    assert len(world.hashes()) == 50
    assert ledgered.sink("b1") == ("done", 50, "run")


def test_a_rolled_back_load_is_not_done(ledgered, world):
    ledgered.stage("b1", ROWS)

    def load_in_vain() -> None:
        with (
            ledgered.deliver("b1") as batch,
            ledgered.pg.connect() as conn,
            conn.transaction(force_rollback=True),
        ):
            load_batch(conn, batch)

    with pytest.raises(TransientError, match="not committed"):
        load_in_vain()
    assert ledgered.sink("b1") == ("failed", None, "run")
    assert not world.hashes()


def test_an_error_after_the_commit_does_not_undo_the_mark(ledgered):
    ledgered.stage("b1", ROWS)

    def load_and_fail() -> None:
        with ledgered.deliver("b1") as batch:
            with ledgered.pg.connect() as conn:
                load_batch(conn, batch)
            raise RuntimeError("while reporting")

    with pytest.raises(RuntimeError, match="reporting"):
        load_and_fail()
    assert ledgered.sink("b1") == ("done", 50, "run")


def test_the_last_sink_closes_the_batch_in_its_own_transaction(ledgered, world):
    ledgered.stage("b1", ROWS)
    world.query("UPDATE landing.batch_sink SET state = 'done' WHERE sink <> %s RETURNING 1", SINK)
    ledgered.load("b1")
    assert world.query("SELECT state FROM landing.batch") == [("loaded",)]


def test_only_a_sink_can_be_done(ledgered):
    ledgered.stage("b1", ROWS)
    reader = read_staged(
        ledgered.pg, ledgered.store, pipeline="music", batch_id="b1", reader="raw_removals"
    )
    with ledgered.pg.connect() as conn, pytest.raises(ValueError, match="raw_removals"):
        reader.done_in(conn, rows_written=0)


def test_records_that_a_later_batch_replaced_are_not_loaded(ledgered, world):
    older = record("hdf5", "TR1", track_id="TR1", song_id="SO1", title="Old")
    newer = record("hdf5", "TR1", track_id="TR1", song_id="SO1", title="New", seq=2)
    ledgered.stage("b1", [older, *ROWS[2:5]])
    ledgered.stage("b2", [newer])
    ledgered.load("b2")
    result, _ = ledgered.load("b1")
    assert result.rows_written == 3
    assert world.state()["fact_song"]["SO1"]["title"] == "New"


def test_what_does_not_read_back_is_not_kept(ledgered, world, monkeypatch):
    monkeypatch.setattr(lyrics, "write_lyrics", lambda conn, *, first: None)
    batch: Any = Handed("b1", ROWS)
    with ledgered.pg.connect() as conn:
        _, found = load_batch(conn, batch)
    assert (found.ok, found.missing, len(found.sample)) == (False, 50, 10)
    assert batch.rows_written is None
    assert not world.hashes()


def test_a_reader_sees_the_old_state_or_the_new(ledgered, world):
    world.load(*ROWS[:10])
    seen = []

    def read() -> tuple[int, ...] | None:
        with psycopg.connect(ledgered.url) as reader:
            reader.execute("SET statement_timeout = '5s'")
            return reader.execute(
                "SELECT (SELECT count(*) FROM music.song_source),"
                " (SELECT count(*) FROM music.fact_song),"
                " (SELECT count(*) FROM music.song_lyrics), (SELECT count(*) FROM music.touched),"
                " (SELECT max(year_key) FROM music.fact_song WHERE song_key = 'SO1')"
            ).fetchone()

    class Watched(Handed):
        def chunks(self) -> Iterator[Any]:
            for chunk in super().chunks():
                yield chunk
                seen.append(read())

        def done_in(self, conn: Any, *, rows_written: int) -> None:
            seen.append(read())

    changed = record(
        "hdf5", "TR1", track_id="TR1", song_id="SO1", title="T", year=2020, seq=2, lyrics_text="x"
    )
    before = read()
    with psycopg.connect(ledgered.url) as conn:
        watched: Any = Watched("b2", [changed, *ROWS[5:]], chunk_rows=20)
        load_batch(conn, watched)
    assert set(seen) == {before}
    assert len(seen) == 4
    assert read()[:3] == (50, 50, 50)
    assert read()[4] == 2020


# -- killed ------------------------------------------------------------------------------------


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _load_and_die(url: str, store: MemoryStore, batch_id: str, point: str) -> None:
    from assets.music.silver import removal

    if point == "mid-copy":
        original = landing_delivery.Delivery.chunks

        def chunks(self: Any, rows: int = 20) -> Iterator[Any]:
            for number, chunk in enumerate(original(self, 20)):
                if number == 2:
                    _die()
                yield chunk

        setattr(landing_delivery.Delivery, "chunks", chunks)  # noqa: B010
    elif point == "before the orphans":
        removal.remove_orphans = lambda conn: _die()
    elif point == "before the commit":
        mark = landing_delivery._mark_done

        def marked(*args: Any) -> None:
            mark(*args)
            _die()

        setattr(landing_delivery, "_mark_done", marked)  # noqa: B010
    Ledgered(url, store).load(batch_id)
    if point == "after the commit":
        _die()


@pytest.mark.parametrize("first", [True, False], ids=["empty tables", "further batch"])
@pytest.mark.parametrize(
    "point", ["mid-copy", "before the orphans", "before the commit", "after the commit"]
)
def test_a_killed_load_leaves_all_or_nothing(ledgered, world, point, first):
    if not first:
        ledgered.stage("b0", [{**row, "seq": 0} for row in ROWS[:10]])
        ledgered.load("b0")
    ledgered.stage("b1", ROWS)
    before = world.state()
    died = forks.exit_code_of(_load_and_die, ledgered.url, ledgered.store, "b1", point, timeout=60)
    assert died == -signal.SIGKILL
    if point == "after the commit":
        assert ledgered.sink("b1") == ("done", 50, "run")
    else:
        assert world.state() == before
        assert ledgered.sink("b1")[0] == "pending"
    ledgered.load("b1")
    again = world.versions()
    assert len(world.hashes()) == 50
    ledgered.load("b1")
    assert world.versions() == again
    assert ledgered.sink("b1") == ("done", 50, "run")


def test_a_record_that_postgres_refuses_costs_its_song_only(ledgered, world):
    """Whichever table refuses it, and whether the star schema was empty before."""
    genre = "".join(hashlib.sha256(str(n).encode()).hexdigest() for n in range(200))
    bad = [
        record("hdf5", "TRG", track_id="TRG", song_id="SOG", title="T", artist_id="AR0",
               genre=genre),
        record("hdf5", "TRN", track_id="TRN", song_id="SON", title="T", artist_id="ARN",
               artist_name="Nobody"),
    ]  # fmt: skip
    with psycopg.connect(ledgered.url) as conn:
        conn.execute("ALTER TABLE music.dim_artist ADD CONSTRAINT known CHECK (name <> 'Nobody')")
    rows = [*ROWS[:20], bad[0], *ROWS[20:], bad[1]]
    ledgered.stage("b1", rows)
    result, found = ledgered.load("b1")
    assert (result.rows_written, found.expected, found.ok) == (50, 50, True)
    alone = world.state()
    assert set(alone["fact_song"]) == {f"SO{n}" for n in range(50)}
    assert set(alone["dim_artist"]) == {"AR0", "AR1", "AR2"}
    assert ledgered.sink("b1") == ("done", 50, "run")
    noted = "SELECT record_key, source, line, detail FROM landing.refused_row ORDER BY line"
    (of_genre, of_artist) = world.query(noted)
    assert of_genre[:3] == (bad[0]["record_key"], f"minio://music-raw/{bad[0]['record_key']}#1", 21)
    assert "index row requires" in of_genre[3]
    assert of_artist[:3] == (
        bad[1]["record_key"],
        f"minio://music-raw/{bad[1]['record_key']}#1",
        52,
    )
    assert 'check constraint "known"' in of_artist[3]
    versions = world.versions()
    ledgered.load("b1")
    assert world.versions() == versions, "nothing is written by loads that only try"

    with psycopg.connect(ledgered.url) as conn:
        conn.execute("ALTER TABLE music.dim_artist DROP CONSTRAINT known")
    result, _ = ledgered.load("b1")
    assert (result.rows_written, result.details["songs_new"]) == (51, 1)
    assert [key for key, *_ in world.query(noted)] == [bad[0]["record_key"]]


def test_records_that_are_refused_only_together_cost_the_later_ones(ledgered, world):
    """Each is taken alone, so that no split ends at them."""
    with psycopg.connect(ledgered.url) as conn:
        conn.execute("CREATE UNIQUE INDEX ON music.dim_artist (name)")
        conn.execute("ALTER TABLE music.dim_artist ADD CONSTRAINT known CHECK (name <> 'Nobody')")
    first, second, third, alone = (
        record("hdf5", f"TRX{n}", track_id=f"TRX{n}", song_id=f"SOX{n}", title="T",
               artist_id=f"ARX{n}", artist_name=name)
        for n, name in enumerate(["Twin", "Twin", "Twin", "Nobody"])
    )  # fmt: skip
    ledgered.stage("b1", [first, *ROWS[:20], alone, second, *ROWS[20:], third])
    result, found = ledgered.load("b1")
    assert (result.rows_written, found.ok) == (51, True)
    assert set(world.state()["fact_song"]) == {f"SO{n}" for n in range(50)} | {"SOX0"}
    noted = world.query("SELECT record_key, detail FROM landing.refused_row ORDER BY record_key")
    assert [key for key, _ in noted] == [one["record_key"] for one in (second, third, alone)]
    twice = (
        'duplicate key value violates unique constraint "dim_artist_name_idx"'
        " Key (name)=(Twin) already exists."
    )
    known = 'new row for relation "dim_artist" violates check constraint "known"'
    assert [words for _, words in noted] == [twice, twice, known]
    versions = world.versions()
    ledgered.load("b1")
    assert world.versions() == versions
