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
    monkeypatch.setattr(recount, "recount", lambda _conn, _target: wrong)
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

    def dying(conn, target):
        assert found(conn, target).ok
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
