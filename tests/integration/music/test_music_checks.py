"""Every check of the hourly audit: all pass on sound tables, each fails for what it is about."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import dagster as dg
import psycopg
import pytest

from assets.frame.checks import audits as every_audit
from assets.music import checks
from assets.music.gold.replacement import replace
from assets.music.gold.targets import TARGETS
from assets.music.pipeline import PIPELINE
from assets.music.search import lyrics_vectors
from assets.sinks.typesense import DocumentStore
from resources.postgres import PostgresResource
from tests.integration.music.star import GOLD, Song, Star, many

pytestmark = pytest.mark.servers("postgres")

RULES = ("nothing_missing", "values_in_range", "keys_unique", "references_hold")
OF_SILVER = (
    "one_song_per_track", "records_lead_to_songs", "crosswalk_holds", "unknown_members_hold",
)  # fmt: skip
OTHER_SERVERS = {
    "search_holds_all_songs", "vectors_hold_all_lyrics", "records_can_be_given_again",
}  # fmt: skip
BATCH = "20261122T100000Z-0001"


@pytest.fixture
def star(env: dict[str, str]) -> Star:
    """Silver and gold that agree."""
    star = Star(env["POSTGRES_URL"])
    many(star, 40)
    for key in [key for key, one in star.songs.items() if one.status == "failed"]:
        star.change(key, status="missing")
    star.put(
        Song(
            "SOund", "Sound", ("AR1",), "r-1", "Rock", 2000, ("TRsound",), 100.0, 120.0, -5.0, 3,
            1, 4, 0.5, "found", "text",
        ),
        Song("SOother", tracks=("TRother",)),
    )  # fmt: skip
    star.commit(BATCH)
    follow(star)
    return star


def follow(star: Star) -> None:
    for name in GOLD:
        with psycopg.connect(star.url) as conn:
            replace(conn, TARGETS[name], BATCH)


def execute(star: Star, *statements: str) -> None:
    with psycopg.connect(star.url) as conn:
        for statement in statements:
            conn.execute(statement)


def audit(url: str) -> dict[tuple[str, str], dg.AssetCheckEvaluation]:
    """Run every check that reads Postgres alone, as the audit job does."""
    audits = [
        a
        for a in every_audit(PIPELINE, PIPELINE.definitions())
        if not {k.name for k in a.check_keys} & OTHER_SERVERS
    ]
    job = dg.define_asset_job(
        "audit",
        selection=dg.AssetSelection.checks(*(key for one in audits for key in one.check_keys)),
    )
    defs = dg.Definitions(
        asset_checks=audits, jobs=[job], resources={"postgres": PostgresResource(url=url)}
    )
    result = defs.resolve_job_def("audit").execute_in_process()
    evaluations = result.get_asset_check_evaluations()
    return {(e.asset_key.path[-1], e.check_name): e for e in evaluations}


def failed(url: str) -> set[tuple[str, str]]:
    return {key for key, evaluation in audit(url).items() if not evaluation.passed}


def text(evaluation: dg.AssetCheckEvaluation) -> str:
    return str(evaluation.metadata["sample"].value)


def test_all_pass_on_sound_tables(star):
    evaluations = audit(star.url)
    assert [key for key, e in evaluations.items() if not e.passed] == []
    assert {key for key in evaluations if key[0] in {"silver_songs", *GOLD}} == {
        *(("silver_songs", name) for name in (*RULES, *OF_SILVER)),
        *((name, rule) for name in GOLD for rule in (*RULES[:3], "equals_silver")),
        *((name, "references_hold") for name in GOLD[:3]),
    }
    expected = star.gold()
    for name in GOLD[:1] + GOLD[3:]:
        metadata = evaluations[name, "equals_silver"].metadata
        assert metadata["rows_expected"].value == len(expected[name])
    assert all(e.description is None for e in evaluations.values())


def test_all_pass_on_empty_tables(env):
    assert failed(env["POSTGRES_URL"]) == set()


SOUND = "WHERE song_key = 'SOund'"


def song(number: int) -> str:
    return f"WHERE song_key = 'SO{number:06}'"


NO_ARTIST_KEY = "ALTER TABLE music.artist_performance DROP CONSTRAINT artist_performance_pkey"
ARTIST_TWICE = (
    "INSERT INTO music.artist_performance"
    " SELECT * FROM music.artist_performance WHERE artist_key = 'AR1'"
)

#: A statement or several, the check that fails by it, and a line of its sample.
BROKEN = [
    (
        (
            "ALTER TABLE music.fact_song ALTER track_ids DROP NOT NULL",
            f"UPDATE music.fact_song SET track_ids = NULL {song(1)}",
        ),
        ("silver_songs", "nothing_missing"),
        "| fact_song.track_ids is set | 1 | SO000001 |",
    ),
    (
        (f"UPDATE music.fact_song SET key = 12 {song(2)}",),
        ("silver_songs", "values_in_range"),
        "| fact_song.key >= 0 and \\<= 11 | 1 | SO000002 |",
    ),
    (
        (f"UPDATE music.fact_song SET mode = -1 {song(3)}",),
        ("silver_songs", "values_in_range"),
        "| fact_song.mode >= 0 and \\<= 1 | 1 | SO000003 |",
    ),
    (
        (f"UPDATE music.fact_song SET tempo = 0 {song(4)} OR song_key = 'SO000005'",),
        ("silver_songs", "values_in_range"),
        "| fact_song.tempo > 0 and \\<= 500 | 2 | SO000004, SO000005 |",
    ),
    (
        (f"UPDATE music.fact_song SET duration = 'NaN' {song(5)}",),
        ("silver_songs", "values_in_range"),
        "| fact_song.duration > 0 and \\<= 86400 | 1 | SO000005 |",
    ),
    (
        (
            "ALTER TABLE music.fact_song DROP CONSTRAINT fact_song_pkey CASCADE",
            f"INSERT INTO music.fact_song SELECT * FROM music.fact_song {song(6)}",
        ),
        ("silver_songs", "keys_unique"),
        "| fact_song has one row per song_key | 2 | SO000006, SO000006 |",
    ),
    (
        (
            "ALTER TABLE music.fact_song DROP CONSTRAINT fact_song_artist_key_fkey",
            f"UPDATE music.fact_song SET artist_key = 'nobody' {song(7)}",
        ),
        ("silver_songs", "references_hold"),
        "| fact_song.artist_key is in dim_artist.artist_key | 1 | SO000007 |",
    ),
    (
        (f"UPDATE music.fact_song SET track_ids = '{{TRother}}' {SOUND}",),
        ("silver_songs", "one_song_per_track"),
        "| TRother | SOother, SOund |",
    ),
    (
        (
            "ALTER TABLE music.song_lyrics DROP CONSTRAINT song_lyrics_status_check",
            "ALTER TABLE music.song_lyrics DROP CONSTRAINT song_lyrics_check",
            f"UPDATE music.song_lyrics SET status = 'lost' {SOUND}",
        ),
        ("song_lyrics", "values_in_range"),
        "| song_lyrics.status is one of pending, found, missing, failed | 1 | SOund |",
    ),
    (
        ("INSERT INTO music.song_lyrics (song_key, status) VALUES ('SOgone', 'pending')",),
        ("song_lyrics", "references_hold"),
        "| song_lyrics.song_key is in fact_song.song_key | 1 | SOgone |",
    ),
    (
        (f"UPDATE music.song_details SET tempo = 501 {SOUND}",),
        ("song_details", "values_in_range"),
        "| song_details.tempo > 0 and \\<= 500 | 1 | SOund |",
    ),
    (
        (f"UPDATE music.song_details SET album_key = 'none' {SOUND}",),
        ("song_details", "references_hold"),
        "| song_details.album_key is in dim_album.album_key | 1 | SOund |",
    ),
    (
        (NO_ARTIST_KEY, ARTIST_TWICE),
        ("artist_performance", "keys_unique"),
        "| artist_performance has one row per artist_key | 2 | AR1, AR1 |",
    ),
    (
        (
            "ALTER TABLE music.album_performance ALTER artists DROP NOT NULL",
            "UPDATE music.album_performance SET artists = NULL WHERE album_key = 'r-1'",
        ),
        ("album_performance", "nothing_missing"),
        "| album_performance.artists is set | 1 | r-1 |",
    ),
]

REMEDY = "dagster job backfill --job music --all"


def test_what_breaks_a_rule_is_found_and_named(star):
    for statements, _, _ in BROKEN:
        execute(star, *statements)
    evaluations = audit(star.url)
    for _, check, line in BROKEN:
        found = evaluations[check]
        assert not found.passed
        assert found.severity is dg.AssetCheckSeverity.ERROR
        assert REMEDY in found.description
        assert line in text(found).splitlines()
    ranges = evaluations["silver_songs", "values_in_range"].metadata
    assert (ranges["rules_broken"].value, ranges["rows_breaking_rules"].value) == (4, 5)
    for untouched in ("values_in_range", "references_hold"):
        assert evaluations["album_performance", untouched].passed


def test_gold_that_differs_from_silver_is_found_and_named(star):
    broken = {
        "song_details": (f"DELETE FROM music.song_details {SOUND}", "SOund"),
        "artist_performance": (
            "UPDATE music.artist_performance SET songs = 99 WHERE artist_key = 'AR1'", "AR1",
        ),
        "album_performance": (
            "INSERT INTO music.album_performance VALUES ('r-none', 'x', '{}', 1, 2.0)",
            "r-none",
        ),
        "genre_by_year": (
            "UPDATE music.genre_by_year SET songs = 99 WHERE (genre, year) = ('Rock', 2000)",
            "Rock 2000",
        ),
        "tempo_key_profile": (
            "DELETE FROM music.tempo_key_profile WHERE (key, mode, tempo_from) = (3, 1, 120)",
            "3 1 120",
        ),
    }  # fmt: skip
    for statement, _ in broken.values():
        execute(star, statement)
    evaluations = audit(star.url)
    for name, (_, key) in broken.items():
        found = evaluations[name, "equals_silver"]
        assert not found.passed
        assert REMEDY in found.description
        assert text(found).splitlines()[2:] == [f"| {key} |"]
    counted = evaluations["album_performance", "equals_silver"].metadata
    assert [counted[n].value for n in ("missing", "differing", "unexpected")] == [0, 0, 1]


def test_a_gold_row_that_differs_fails_one_check(star):
    execute(star, f"UPDATE music.song_details SET title = 'Other' {SOUND}")
    assert failed(star.url) == {("song_details", "equals_silver")}


def test_objects_of_which_no_record_leads_to_a_song(star):
    """A file of words of which one track has a song is waited for; one of none is a warning."""
    rows = [
        ("lastfm:TRsound", "SOund", "lastfm", "minio://raw/known.json#1"),
        *((f"musixmatch:TR{n}", None, "musixmatch", "minio://raw/some.txt#1") for n in range(7)),
        ("musixmatch:TRother", "SOother", "musixmatch", "minio://raw/some.txt#1"),
    ]

    def add(*rows: tuple[str, str | None, str, str]) -> None:
        with psycopg.connect(star.url) as conn:
            conn.cursor().executemany(
                "INSERT INTO music.song_source (record_key, song_key, own_key, format, source,"
                " rank, seq, row_hash, line) VALUES (%s, %s, %s, %s, %s, 1, 1, 'h', 1)",
                [(key, song, song, *rest) for key, song, *rest in rows],
            )

    add(*rows)
    found = audit(star.url)["silver_songs", "records_lead_to_songs"]
    assert found.passed
    names = ("records", "records_without_song", "objects_without_song")
    assert [found.metadata[name].value for name in names] == [9, 7, 0]
    assert str(found.metadata["by_format"].value).splitlines()[2:] == [
        "| lastfm | 1 | 0 |", "| musixmatch | 8 | 7 |",
    ]  # fmt: skip
    add(*((f"lastfm:TR{n}", None, "lastfm", "minio://raw/log.json#2") for n in (5, 3)))
    evaluations = audit(star.url)
    assert {key for key, one in evaluations.items() if not one.passed} == {
        ("silver_songs", "records_lead_to_songs")
    }
    found = evaluations["silver_songs", "records_lead_to_songs"]
    assert found.severity is dg.AssetCheckSeverity.WARN
    assert "upload the files of their songs" in found.description
    assert [found.metadata[name].value for name in names] == [11, 9, 1]
    assert text(found).splitlines()[2:] == ["| minio://raw/log.json#2 | lastfm | 2 | lastfm:TR3 |"]


def ledger(star: Star, *, state: str = "running", gold: str = "pending") -> None:
    with psycopg.connect(star.url) as conn:
        conn.execute(
            "INSERT INTO landing.batch (batch_id, source, pipeline, state, objects, bytes,"
            " created_at, validated_at)"
            " VALUES (%s, 'music_minio', 'music', %s, 1, 1, now(), now())",
            (BATCH, state),
        )
        for sink, value in {"silver_songs": "done", **dict.fromkeys(GOLD, gold)}.items():
            conn.execute(
                "INSERT INTO landing.batch_sink (batch_id, sink, state) VALUES (%s, %s, %s)",
                (BATCH, sink, value),
            )


def test_a_batch_under_way_is_left_aside(star):
    """Silver is ahead with one song of the batch: that is no fault of gold, any other would be."""
    execute(star, "DELETE FROM music.touched")
    star.change("SOund", title="Newer", tempo=200.0)
    star.commit(BATCH)
    execute(star, "DELETE FROM landing.batch")
    assert failed(star.url) == {
        (name, "equals_silver") for name in GOLD if name != "album_performance"
    }
    ledger(star)
    found = audit(star.url)
    assert [key for key, e in found.items() if not e.passed] == []
    assert found["song_details", "equals_silver"].metadata["batches_under_way"].value == 1
    assert "Not compared" in found["genre_by_year", "equals_silver"].description
    execute(star, "UPDATE music.song_details SET title = 'x' WHERE song_key = 'SOother'")
    assert failed(star.url) == {("song_details", "equals_silver")}


def test_a_song_changed_outside_any_batch_is_left_aside(star):
    execute(star, f"UPDATE music.song_lyrics SET text = NULL, status = 'missing' {SOUND}")
    assert failed(star.url) == {("song_details", "equals_silver")}
    execute(star, "INSERT INTO music.lyrics_changed (song_key) VALUES ('SOund')")
    found = audit(star.url)
    assert [key for key, e in found.items() if not e.passed] == []
    assert found["song_details", "equals_silver"].metadata["songs_under_way"].value == 1


def test_raw_objects_left_waiting(star):
    with psycopg.connect(star.url) as conn:
        for key, source, minutes, outcome in (
            ("old|er.h5", "music_minio", 95, None),
            ("old.h5", "music_minio", 31, None),
            ("new.h5", "music_minio", 29, None),
            ("done.h5", "music_minio", 99, "loaded"),
            ("other.csv", "campaigns_gcs", 99, None),
        ):
            conn.execute(
                "INSERT INTO landing.object_version (source, store, bucket, key, version, size,"
                " modified_at, seen_at, outcome) VALUES (%s, 'minio', 'raw', %s, 'v1', 1, now(),"
                " now() - make_interval(mins => %s), %s)",
                (source, key, minutes, outcome),
            )
    found = audit(star.url)["bronze_records", "no_object_left_waiting"]
    assert not found.passed
    assert "music_minio_sensor" in found.description
    assert found.metadata["objects_waiting"].value == 2
    assert found.metadata["oldest_minutes"].value == 95
    lines = text(found).splitlines()[2:]
    assert lines == [
        "| raw/old\\|er.h5 | 95 | no batch | seen |",
        "| raw/old.h5 | 31 | no batch | seen |",
    ]


def test_a_batch_that_waits_for_others_is_left_a_day(star):
    ledger(star, state="waiting", gold="pending")
    execute(
        star,
        "INSERT INTO landing.object_version (source, store, bucket, key, version, size,"
        " modified_at, seen_at, batch_id, outcome) SELECT source, 'minio', 'raw', 'a.h5', 'v1', 1,"
        " now(), now() - interval '90 days', batch_id, 'loaded' FROM landing.batch",
    )
    for hours, passed in ((23, True), (25, False)):
        execute(
            star,
            "UPDATE landing.batch SET source = 'music_minio',"
            f" waiting_since = now() - interval '{hours} hours'",
        )
        execute(star, "UPDATE landing.object_version SET source = 'music_minio'")
        found = audit(star.url)["bronze_records", "no_object_left_waiting"]
        assert found.passed is passed
    assert found.metadata["oldest_minutes"].value == 25 * 60
    assert f"| raw/a.h5 | 1500 | {BATCH} |" in text(found)


def test_batch_failed_for_good(star):
    ledger(star, state="failed_permanent", gold="done")
    execute(star, "UPDATE landing.batch SET error = 'no such bucket'")
    found = audit(star.url)["bronze_records", "no_batch_failed_for_good"]
    assert not found.passed
    assert "make replay" in found.description
    assert BATCH in text(found)
    assert "no such bucket" in text(found)
    execute(star, "UPDATE landing.batch SET pipeline = 'campaigns', source = 'campaigns_gcs'")
    assert audit(star.url)["bronze_records", "no_batch_failed_for_good"].passed


def test_share_of_failed_lyrics(env):
    star = Star(env["POSTGRES_URL"])
    star.put(*(Song(f"S{n:02}", status="failed" if n < 1 else "missing") for n in range(20)))
    star.commit(BATCH)
    follow(star)
    found = audit(star.url)["song_lyrics", "lyrics_failed_share"]
    assert found.passed
    assert found.metadata["failed_share"].value == 0.05
    star.change("S05", status="failed")
    star.commit("b2")
    execute(star, "UPDATE music.song_lyrics SET error = 'HTTP 503' WHERE status = 'failed'")
    found = audit(star.url)["song_lyrics", "lyrics_failed_share"]
    assert not found.passed
    assert found.severity is dg.AssetCheckSeverity.WARN
    assert "MUSIC_LYRICS_URL" in found.description
    assert (found.metadata["failed"].value, found.metadata["missing"].value) == (2, 18)
    assert "| HTTP 503 | 2 |" in text(found)


def decorated(check: Any) -> Any:
    """The function that the check was made of."""
    return check.node_def.compute_fn.decorated_fn


class Indexes:
    """Stand-ins for the two indexes that hold as many songs as a test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, star: Star) -> None:
        self._postgres = PostgresResource(url=star.url)
        self._patch = monkeypatch
        self._settings: Any = SimpleNamespace(typesense_collection="songs", milvus_lyrics="lyrics")

    def search(self, count: int) -> dg.AssetCheckResult:
        self._patch.setattr(DocumentStore, "count", lambda _store: count)

        @contextmanager
        def client() -> Iterator[None]:
            yield None

        return decorated(checks.search_holds_all_songs)(
            self._postgres, SimpleNamespace(client=client), self._settings
        )

    def vectors(self, count: int) -> dg.AssetCheckResult:
        self._patch.setattr(lyrics_vectors, "songs", lambda _client, _name: count)
        client = SimpleNamespace(close=lambda: None)
        return decorated(checks.vectors_hold_all_lyrics)(
            self._postgres, SimpleNamespace(client=lambda: client), self._settings
        )


def test_counts_of_the_indexes(star, monkeypatch):
    indexes = Indexes(monkeypatch, star)
    songs = len(star.songs)
    with_lyrics = sum(1 for song in star.songs.values() if song.text or song.words)
    assert 0 < with_lyrics < songs
    for check, right in ((indexes.search, songs), (indexes.vectors, with_lyrics)):
        assert check(right).passed
        for wrong in (right - 1, right + 1):
            found = check(wrong)
            assert not found.passed
            assert f"It holds {wrong}, gold has {right}." in found.description
            assert found.metadata["songs_in_index"].value == wrong


def test_indexes_are_not_compared_while_a_batch_is_under_way(star, monkeypatch):
    ledger(star, gold="done")
    execute(star, f"INSERT INTO landing.batch_sink VALUES ('{BATCH}', 'song_search', 'pending')")
    indexes = Indexes(monkeypatch, star)
    found = indexes.search(1)
    assert found.passed
    assert "Not compared" in found.description
    assert not indexes.vectors(1).passed


def test_records_and_the_crosswalk_agree(star):
    def put(*statements: str) -> None:
        with psycopg.connect(star.url) as conn:
            for statement in statements:
                conn.execute(statement)

    put(
        "INSERT INTO music.song_source (record_key, song_key, own_key, match_key, format, source,"
        " rank, seq, row_hash, line) VALUES"
        " ('a', 'SOund', 'SOund', 'x / y', 'hdf5', 's', 1, 1, 'h', 1),"
        " ('b', 'SOund', 'fp-b', 'x / y', 'lyrics', 's', 1, 1, 'h', 1),"
        " ('c', 'SOother', 'SOother', 'x / y', 'hdf5', 's', 1, 1, 'h', 1)",
        "INSERT INTO music.song_match (own_key, song_key, reason, confidence, evidence)"
        " VALUES ('fp-b', 'SOund', 'name', 0.6, '{}')",
    )
    found = audit(star.url)["silver_songs", "crosswalk_holds"]
    assert found.passed
    assert "| song | x / y | SOother SOund |" in str(found.metadata["likely_doubles"].value)
    put("UPDATE music.song_source SET song_key = 'fp-b' WHERE record_key = 'b'")
    found = audit(star.url)["silver_songs", "crosswalk_holds"]
    assert not found.passed
    assert found.metadata["keys_that_disagree"].value == 1
    put(
        "UPDATE music.song_source SET song_key = 'SOund' WHERE record_key = 'b'",
        "INSERT INTO music.song_redirect (old_key, song_key) VALUES ('SOund', 'SOother')",
    )
    assert not audit(star.url)["silver_songs", "crosswalk_holds"].passed, "a song that lives"


def test_unknown_members_are_there_and_lose_no_song(star):
    """Counted from the songs that were put; then each harm is found."""
    found = audit(star.url)["silver_songs", "unknown_members_hold"]
    songs = star.songs.values()
    assert {name: value.value for name, value in found.metadata.items()} == {
        "members_changed": 0,
        "songs_lost_by_joins": 0,
        "songs_of_unknown_artist": sum(not one.artists for one in songs),
        "songs_of_unknown_album": sum(one.album is None for one in songs),
        "songs_of_unknown_genre": sum(one.genre is None for one in songs),
        "songs_of_unknown_date": sum(not one.year for one in songs),
    }
    execute(star, "UPDATE music.dim_album SET release_id = 1 WHERE title = 'Unknown'")
    found = audit(star.url)["silver_songs", "unknown_members_hold"]
    assert not found.passed
    assert found.description.startswith("dim_album without its unknown member, 0 songs lost")
    execute(
        star,
        "ALTER TABLE music.fact_song ALTER album_key DROP NOT NULL",
        f"UPDATE music.fact_song SET album_key = NULL {SOUND}",
        "UPDATE music.dim_album SET release_id = NULL",
    )
    evaluations = audit(star.url)
    found = evaluations["silver_songs", "unknown_members_hold"]
    assert found.metadata["songs_lost_by_joins"].value == 1
    assert not evaluations["silver_songs", "nothing_missing"].passed
