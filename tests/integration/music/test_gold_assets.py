"""The gold assets as Dagster runs them, over a batch that is in the ledger."""

from __future__ import annotations

from typing import Any

import dagster as dg
import psycopg
import pytest

from assets.music.gold import assets as gold_assets
from assets.music.gold import recount, replacement
from assets.music.settings import MusicSettings
from assets.sinks.result import HOLDS_BATCH, Verification
from resources.minio import MinioResource
from resources.postgres import PostgresResource
from tests.integration.music.star import GOLD, Song, Star, held, many, versions

pytestmark = pytest.mark.servers("postgres")

SETTINGS = MusicSettings(
    raw_bucket="raw",
    raw_prefix="",
    processed_bucket="processed",
    quarantine_bucket="quarantine",
    raw_remove="never",
    typesense_collection="songs",
    milvus_lyrics="lyrics",
)


@pytest.fixture
def star(env: dict[str, str]) -> Star:
    star = Star(env["POSTGRES_URL"])
    many(star, 50)
    star.put(Song("SO1", "A|B", ("AR1",), "r-1", "Rock", 1990, tempo=100.0, pitch=0, mode=1))
    return star


def ledger(star: Star, batch_id: str, *, rows: int = 1) -> None:
    """The batch as validation leaves it, ``rows`` being staged."""
    with psycopg.connect(star.url) as conn:
        conn.execute(
            "INSERT INTO landing.batch (batch_id, source, pipeline, state, objects, bytes,"
            " created_at, validated_at)"
            " VALUES (%s, 'music_minio', 'music', 'requested', 1, 1, now(), now())",
            (batch_id,),
        )
        for sink in GOLD:
            conn.execute(
                "INSERT INTO landing.batch_sink (batch_id, sink) VALUES (%s, %s)", (batch_id, sink)
            )
        if rows:
            conn.execute(
                "INSERT INTO landing.staged_part VALUES (%s, 0, 'staged', %s, 1, 'digest')",
                (batch_id, rows),
            )


def run(star: Star, batch_id: str, *names: str, **options) -> dg.ExecuteInProcessResult:
    instance = dg.DagsterInstance.ephemeral()
    instance.add_dynamic_partitions("music_batches", [batch_id])
    chosen = [one for one in gold_assets.tables if one.key.path[-1] in (names or GOLD)]
    return dg.materialize(
        chosen,
        partition_key=batch_id,
        instance=instance,
        resources={
            "postgres": PostgresResource(url=star.url),
            # Never called: gold reads Postgres only.
            "minio": MinioResource(
                endpoint="http://127.0.0.1:1",
                access_key="none",
                secret_key="none",  # pragma: allowlist secret
            ),
            "music": SETTINGS,
        },
        **options,
    )


def sinks(star: Star, batch_id: str) -> dict[str, tuple[str, int | None]]:
    with psycopg.connect(star.url) as conn:
        rows = conn.execute(
            "SELECT sink, state, rows_written FROM landing.batch_sink WHERE batch_id = %s",
            (batch_id,),
        ).fetchall()
    return {sink: (state, rows) for sink, state, rows in rows}


def metadata(result: dg.ExecuteInProcessResult, name: str) -> dict[str, Any]:
    (event,) = result.asset_materializations_for_node(f"music__{name}")
    return {key: value.value for key, value in event.metadata.items()}


def test_batch_is_taken_and_shown(star):
    star.commit("b1")
    ledger(star, "b1")
    result = run(star, "b1")
    expected = star.gold()
    assert {name: set(rows) for name, rows in held(star.url).items()} == {
        name: set(rows) for name, rows in expected.items()
    }
    assert sinks(star, "b1") == {name: ("done", len(expected[name])) for name in GOLD}
    with psycopg.connect(star.url) as conn:
        assert conn.execute("SELECT state FROM landing.batch").fetchone() == ("loaded",)
    assert {(e.asset_key.path[-1], e.check_name, e.passed)
            for e in result.get_asset_check_evaluations()} == {
        (name, HOLDS_BATCH, True) for name in GOLD
    }  # fmt: skip
    for name in GOLD:
        shown = metadata(result, name)
        assert shown["mode"] == "full"
        assert shown["dagster/row_count"] == shown["inserted"] == len(expected[name])
        assert shown["dagster/table_name"] == f"music.{name}"
        assert shown["seconds"] >= 0
        assert len(shown["preview"].splitlines()) == min(len(expected[name]), 10) + 2
        assert ("chart" in shown) == (name not in GOLD[1:3])
    assert "Rock" in metadata(result, "genre_by_year")["preview"]
    assert "'ü\\|\\` |" in metadata(result, "song_details")["preview"]


def test_second_batch_is_incremental_and_again_changes_nothing(star):
    star.commit("b1")
    ledger(star, "b1")
    run(star, "b1")
    star.change("SO1", tempo=150.0)
    star.commit("b2")
    ledger(star, "b2")
    result = run(star, "b2")
    shown = metadata(result, "song_details")
    assert (shown["mode"], shown["keys_in_scope"], shown["updated"]) == ("incremental", 1, 1)
    assert metadata(result, "artist_performance")["mode"] == "incremental"
    assert metadata(result, "tempo_key_profile")["mode"] == "full"
    before = versions(star.url)
    again = run(star, "b2")
    assert metadata(again, "song_details")["rows_already_there"] == 1
    assert versions(star.url) == before


def test_batch_without_rows_reads_nothing(star, monkeypatch):
    star.commit("b1")
    ledger(star, "b1", rows=0)
    monkeypatch.setattr(replacement, "replace", None)
    result = run(star, "b1")
    assert result.success
    assert set(sinks(star, "b1").values()) == {("done", 0)}
    assert "preview" not in metadata(result, "song_details")


def test_mismatch_is_rolled_back_and_the_sink_is_not_done(star, monkeypatch):
    star.commit("b1")
    ledger(star, "b1")
    wrong = Verification(expected=3, missing=1, sample=("SO1",))
    monkeypatch.setattr(recount, "recount", lambda _conn, _target, **_: wrong)
    result = run(star, "b1", "song_details", raise_on_error=False)
    assert not result.success
    evaluations = result.get_asset_check_evaluations()  # of every retry
    assert [e.metadata["missing"].value for e in evaluations if not e.passed] == [1, 1, 1]
    assert held(star.url)["song_details"] == {}
    assert sinks(star, "b1")["song_details"] == ("failed", None)


def test_rows_and_the_ledgers_mark_are_committed_together(star, monkeypatch):
    """A run that dies after the recount leaves neither; the next makes both."""
    star.commit("b1")
    ledger(star, "b1")

    class Killed(BaseException):
        """What nothing catches."""

    found = recount.recount

    def dying(conn, target, **options):
        assert found(conn, target, **options).ok
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(recount, "recount", dying)
        with pytest.raises(Killed):
            run(star, "b1", "song_details")
    assert held(star.url)["song_details"] == {}
    assert sinks(star, "b1")["song_details"][0] != "done"
    run(star, "b1", "song_details")
    assert len(held(star.url)["song_details"]) == len(star.songs)
    assert sinks(star, "b1")["song_details"] == ("done", len(star.songs))


REFUSING = {
    "song_details": ("title <> 'Bad'", "SObad"),
    "artist_performance": ("artist <> 'Name of ARbad'", "ARbad"),
    "album_performance": ("album <> 'Title of r-bad'", "r-bad"),
    "genre_by_year": ("genre <> 'Bad' OR year <> 1999", "Bad 1999"),
    "tempo_key_profile": ("tempo_from <> 490", "11 0 490"),
}


@pytest.mark.parametrize("name", GOLD)
@pytest.mark.parametrize("first", [True, False], ids=["all", "in scope"])
def test_a_row_that_postgres_refuses_costs_itself_only(star, name, first):
    condition, key = REFUSING[name]
    with psycopg.connect(star.url) as conn:
        conn.execute(f"ALTER TABLE music.{name} ADD CONSTRAINT known CHECK ({condition})")
    if not first:
        star.commit("b0")
        ledger(star, "b0")
        run(star, "b0")
    star.put(
        Song("SObad", "Bad", ("ARbad",), "r-bad", "Bad", 1999, tempo=499.0, pitch=11, mode=0),
        Song("SO2", "Good", ("AR2",), "r-2", "Bad", 1998),
    )
    touched = star.commit("b1")
    with psycopg.connect(star.url) as conn:
        conn.execute(
            "INSERT INTO music.song_source (record_key, song_key, format, rank, seq, row_hash,"
            " source, line) SELECT base_source, song_key, 'hdf5', 1, 1, 'h',"
            " 'minio://raw/bad.h5#1', 3 FROM music.fact_song WHERE song_key = 'SObad'"
        )
    ledger(star, "b1")
    result = run(star, "b1")
    expected = {one: set(rows) for one, rows in star.gold().items()}
    there = {one: set(rows) for one, rows in held(star.url).items()}
    column = tuple(int(one) if one.isdigit() else one for one in key.split(" "))
    assert there == {**expected, name: expected[name] - {column if " " in key else key}}
    assert touched
    noted = ledgered(star)
    assert [row[:3] for row in noted] == [("b1", name, key)]
    song = name == "song_details"
    assert noted[0][3:5] == (("minio://raw/bad.h5#1", 3) if song else (None, None))
    assert 'violates check constraint "known"' in noted[0][5]
    with psycopg.connect(star.url) as conn:
        state = "SELECT state FROM landing.batch WHERE batch_id = 'b1'"
        assert conn.execute(state).fetchone() == ("loaded_with_rejects",)
    (check,) = [e for e in result.get_asset_check_evaluations() if not e.passed]
    assert (check.asset_key.path[-1], check.severity.value) == (name, "WARN")
    assert check.metadata["rows_refused"].value == 1

    # A batch that touches it tries it again.
    with psycopg.connect(star.url) as conn:
        conn.execute(f"ALTER TABLE music.{name} DROP CONSTRAINT known")
    star.change("SObad", loudness=-3.0)
    star.commit("b2")
    ledger(star, "b2")
    run(star, "b2")
    assert {one: set(rows) for one, rows in held(star.url).items()} == expected
    # And the batch itself, of which nothing is left to say then.
    run(star, "b1")
    assert ledgered(star) == []


def ledgered(star: Star) -> list[tuple[Any, ...]]:
    with psycopg.connect(star.url) as conn:
        return conn.execute(
            "SELECT batch_id, sink, record_key, source, line, detail FROM landing.refused_row"
        ).fetchall()


def test_what_postgres_said_before_of_a_refused_row_stays_and_a_refused_table_fails(star):
    star.commit("b1")
    ledger(star, "b1")
    run(star, "b1")
    before = held(star.url)["song_details"]["SO1"]
    with psycopg.connect(star.url) as conn:
        conn.execute(
            "ALTER TABLE music.song_details ADD CONSTRAINT slow CHECK (tempo < 400) NOT VALID"
        )
    star.change("SO1", tempo=450.0)
    star.put(Song("SO3", "Good"))
    star.commit("b2")
    ledger(star, "b2")
    run(star, "b2", "song_details")
    assert held(star.url)["song_details"]["SO1"] == before
    assert "SO3" in held(star.url)["song_details"]
    # Nothing that is refused with nothing taken is laid at a row.
    star.change("SO1", tempo=451.0)
    star.commit("b3")
    ledger(star, "b3")
    assert not run(star, "b3", "song_details", raise_on_error=False).success
    assert sinks(star, "b3")["song_details"][0] == "failed"
