"""Songs, artists, albums and files as lists and one by one, against rows put there by SQL."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from urllib.parse import quote

import polars as pl
import psycopg
import pytest
from psycopg.types.json import Jsonb

from landing.arrival.identity import ObjectVersion
from landing.batch.chunks import REJECT_SCHEMA
from landing.batch.quarantine import QuarantineWriter
from landing.stores.minio import MinioStore
from resources.minio import MinioResource
from tests.integration.api.listed import everywhere, of_csv, paged

pytestmark = pytest.mark.servers("postgres", "s3")
AT = datetime(2026, 11, 28, tzinfo=UTC)
SONGS = "/v1/music/catalogue/songs"
GENRES = ["Rock", "R&B", None]
ARTISTS = ["AC/DC", 'Say "so", & co', "=cmd"]
TITLES = ["Love", "love", "", None, "Ärger\nzwei", "Love"]


@pytest.fixture
def postgres(service, env):
    with psycopg.connect(env["POSTGRES_URL"], autocommit=True) as connection:
        yield connection


def world(postgres, count=17):
    """Songs of few titles, years, genres and artists, in random order; what each says, by key."""
    for n, name in enumerate(ARTISTS):
        postgres.execute(
            "INSERT INTO music.dim_artist (artist_key, name) VALUES (%s, %s)", (f"ar{n}", name)
        )
        postgres.execute(
            "INSERT INTO music.bridge_artist_term (artist_key, kind, term, weight)"
            " VALUES (%s, 'term', 'blues', 0.5), (%s, 'term', 'loud', 0.75)",
            (f"ar{n}", f"ar{n}"),
        )
    for genre in filter(None, GENRES):
        postgres.execute(
            "INSERT INTO music.dim_genre (genre_key, name) VALUES (%s, %s)", (genre.lower(), genre)
        )
    songs = {}
    numbers = list(range(count))
    random.Random(7).shuffle(numbers)
    for n in numbers:
        song = {
            "song_key": f"SO{n:02}/x" if n % 5 == 0 else f"SO{n:02}",
            "title": TITLES[n % 6],
            "artist": ARTISTS[n % 3],
            "genre": GENRES[n % 3],
            "year": [2001, 1999, None, 2001][n % 4],
            "tempo": [120.5, None, 99.25][n % 3],
            "plays": n % 4,
            "lyrics_status": ["found", "missing", "failed"][n % 3],
        }
        songs[song["song_key"]] = song
        postgres.execute(
            "INSERT INTO music.fact_song (song_key, title, year_key, track_ids, sources,"
            " base_source, provenance, row_hash) VALUES (%s, %s, 0, '{}', 1, 'base', '{}', 'h')",
            (song["song_key"], song["title"]),
        )
        postgres.execute(
            "INSERT INTO music.bridge_song_artist (song_key, artist_key, position)"
            " VALUES (%s, %s, 0)",
            (song["song_key"], f"ar{n % 3}"),
        )
        postgres.execute(
            "INSERT INTO music.song_details (song_key, title, artist, artists, artist_key, genre,"
            " year, tempo, track_ids, lyrics_status, has_lyrics, row_hash)"
            " VALUES (%(song_key)s, %(title)s, %(artist)s, ARRAY[%(artist)s], %(artist_key)s,"
            " %(genre)s, %(year)s, %(tempo)s, '{TR1}', %(lyrics_status)s, false, 'h')",
            {**song, "artist_key": f"ar{n % 3}"},
        )
        if song["plays"]:
            postgres.execute(
                "INSERT INTO music.song_plays (song_key, plays, listeners) VALUES (%s, %s, 1)",
                (song["song_key"], song["plays"]),
            )
    return songs


def ordered(songs, column, descending):
    """Known values first, both ways by bytes; ties by key, the same way."""
    keyed = sorted(songs.values(), key=lambda one: one["song_key"], reverse=descending)
    known = [one for one in keyed if one[column] is not None]

    def value(one):
        return one[column].encode() if isinstance(one[column], str) else one[column]

    known.sort(key=value, reverse=descending)
    return [one["song_key"] for one in (*known, *(o for o in keyed if o[column] is None))]


@pytest.mark.parametrize("column", ["song_key", "title", "artist", "year", "tempo", "plays"])
def test_songs_come_once_in_any_order(service, postgres, column):
    songs = world(postgres)
    for descending in (False, True):
        sort = f"-{column}" if descending else column
        rows = everywhere(service, SONGS, limit=3, sort=sort)
        assert [one["song_key"] for one in rows] == ordered(songs, column, descending), sort
        for one in rows:
            assert {name: one[name] for name in songs[one["song_key"]]} == songs[one["song_key"]]


def test_songs_are_those_that_are_asked_for(service, postgres):
    songs = world(postgres)

    def keys(**asked):
        return [one["song_key"] for one in paged(service, SONGS, limit=4, **asked)]

    def of(holds):
        return sorted(key for key, one in songs.items() if holds(one))

    assert keys(genre="  r&b ") == of(lambda one: one["genre"] == "R&B")
    assert keys(genre="rB") == []
    assert keys(artist=ARTISTS[1]) == of(lambda one: one["artist"] == ARTISTS[1])
    assert keys(artist_key="ar2") == of(lambda one: one["artist"] == ARTISTS[2])
    assert keys(year=2001) == of(lambda one: one["year"] == 2001)
    assert keys(year_from=1999, year_to=2000) == of(lambda one: one["year"] == 1999)
    assert keys(lyrics="failed", year=2001, genre="ROCK") == []
    assert keys(lyrics="found", year=2001) == of(
        lambda one: one["lyrics_status"] == "found" and one["year"] == 2001
    )
    for evil in ("' OR 1=1 --", "{}", "%s", "%(filter_0)s"):
        assert keys(artist=evil) == keys(genre=evil) == keys(album_key=evil) == []
    assert service.get(SONGS, params={"sort": "title; --"}).status_code == 422
    assert service.get(SONGS, params={"artist": "\x00"}).status_code == 422


def test_a_song_says_how_its_lyrics_stand_and_which_files_tell_of_it(service, postgres):
    world(postgres)
    postgres.execute(
        "INSERT INTO music.song_lyrics (song_key, status, attempts, error, next_attempt_at)"
        " VALUES ('SO05/x', 'failed', 3, 'refused', %s)",
        (AT,),
    )
    postgres.execute(
        "INSERT INTO music.bridge_song_tag VALUES ('SO05/x', 'b', 9), ('SO05/x', 'a', 99)"
    )
    postgres.execute(
        "INSERT INTO music.bridge_song_genre (song_key, genre_key, position, source_record)"
        " VALUES ('SO05/x', 'rock', 1, 'r'), ('SO05/x', 'r&b', 0, 'r')"
    )
    postgres.execute(
        "INSERT INTO music.song_source (record_key, song_key, format, rank, seq, row_hash, source,"
        " line) VALUES ('f:1', 'SO05/x', 'hdf5', 0, 1, 'h', 'minio://music-raw/a.h5#1', 4)"
    )
    postgres.execute("INSERT INTO music.song_redirect (old_key, song_key) VALUES ('OLD', 'SO05/x')")
    for key in ("SO05/x", "OLD"):
        said = service.get(f"/v1/music/songs/{quote(key, safe='')}")
        assert said.status_code == 200, said.text
        found = said.json()["answer"]
        assert (found["song"]["song_key"], found["song"]["plays"]) == ("SO05/x", 1)
        assert (found["lyrics"]["status"], found["lyrics"]["attempts"]) == ("failed", 3)
        assert (found["genres"], found["tags"]) == (["R&B", "Rock"], ["a", "b"])
        assert [(one["format"], one["line"]) for one in found["sources"]] == [("hdf5", 4)]
    assert service.get("/v1/music/songs/SO01").json()["answer"]["lyrics"] is None
    assert service.get("/v1/music/songs/none").json()["code"] == "unknown_song"


def test_artists_and_albums_are_what_gold_sums_up(service, postgres):
    world(postgres)
    for n, name in enumerate(ARTISTS):
        postgres.execute(
            "INSERT INTO music.artist_performance (artist_key, artist, songs, average_tempo)"
            " VALUES (%s, %s, %s, %s)",
            (f"ar{n}", name, 5 - n // 2, 120.5 if n else None),
        )
    postgres.execute(
        "INSERT INTO music.artist_plays (artist_key, artist, songs, plays, listeners)"
        " VALUES ('ar1', 'x', 2, 70, 3)"
    )
    path = "/v1/music/catalogue/artists"
    rows = everywhere(service, path, sort="-songs")
    assert [(one["artist_key"], one["songs"], one["plays"]) for one in rows] == [
        ("ar1", 5, 70), ("ar0", 5, 0), ("ar2", 4, 0),
    ]  # fmt: skip
    tempo = [one["artist_key"] for one in paged(service, path, limit=1, sort="average_tempo")]
    assert tempo == ["ar1", "ar2", "ar0"]
    assert [one["artist_key"] for one in paged(service, path, name="ac/dc")] == ["ar0"]
    one = service.get("/v1/music/artists/ar1").json()["answer"]
    assert one["artist"] == next(row for row in rows if row["artist_key"] == "ar1")
    assert [term["term"] for term in one["terms"]] == ["loud", "blues"]
    assert service.get("/v1/music/artists/none").json()["code"] == "unknown_artist"

    for n in range(5):
        postgres.execute("INSERT INTO music.dim_album VALUES (%s, %s, %s)", (f"al{n}", "t", n))
        postgres.execute(
            "INSERT INTO music.album_performance (album_key, album, artists, songs)"
            " VALUES (%s, %s, %s, %s)",
            (f"al{n}", TITLES[n], [ARTISTS[n % 3]], n % 2 + 1),
        )
    postgres.execute("INSERT INTO music.album_redirect (old_key, album_key) VALUES ('old', 'al3')")
    path = "/v1/music/catalogue/albums"
    rows = everywhere(service, path, sort="songs")
    assert [one["album_key"] for one in rows] == ["al0", "al2", "al4", "al1", "al3"]
    assert [one["album_key"] for one in paged(service, path, title="LOVE")] == ["al0", "al1"]
    assert [one["album_key"] for one in paged(service, path, artist="AC/DC")] == ["al0", "al3"]
    assert service.get("/v1/music/albums/old").json()["answer"]["album_key"] == "al3"
    assert service.get("/v1/music/albums/none").json()["code"] == "unknown_album"


def test_every_version_of_a_file_has_a_state_and_its_rejects(service, postgres, env):
    bucket = env["MUSIC_RAW_BUCKET"]
    states = {
        "b1": "loaded",
        "b2": "running",
        "b3": "failed_permanent",
        "b4": "loaded_with_rejects",
    }
    for name, state in states.items():
        postgres.execute(
            "INSERT INTO landing.batch (batch_id, source, pipeline, state, objects, bytes,"
            " created_at) VALUES (%s, 'music_minio', 'music', %s, 1, 1, %s)",
            (name, state, AT),
        )
    seen = [
        # name, version, batch, outcome, reason, rejected rows, state
        ("a.json", "1", "b1", "superseded", None, None, "superseded"),
        ("a.json", "2", "b4", "loaded", None, 2, "loaded_with_rejects"),
        ("dir/b c.csv", "1", "b4", "rejected", "bad_header", None, "rejected"),
        ("c", "1", "b1", "loaded", None, 0, "loaded"),
        ("d", "1", "b2", "loaded", None, 0, "in_batch"),
        ("e", "1", "b2", None, None, None, "in_batch"),
        ("f", "1", "b3", None, None, None, "failed"),
        ("g", "1", None, None, None, None, "waiting"),
        ("h", "1", "b1", "gone", None, None, "gone"),
        ("i", "1", "b1", "loaded", None, 0, "taken_down"),
    ]
    for name, version, batch, outcome, reason, rejected, _ in seen:
        postgres.execute(
            "INSERT INTO landing.object_version (source, store, bucket, key, version, size,"
            " modified_at, seen_at, batch_id, outcome, reason, rows_rejected) VALUES"
            " ('music_minio', 'minio', %s, %s, %s, 1, %s, %s, %s, %s, %s, %s)",
            (bucket, name, version, AT, AT, batch, outcome, reason, rejected),
        )
    postgres.execute("INSERT INTO music.taken_down (key, why) VALUES ('i', 'asked for')")
    postgres.execute(
        "INSERT INTO music.archived_object (seq, processed_key, sha256, removal)"
        " SELECT seq, 'k', 's', CASE key WHEN 'c' THEN 'removed' END FROM landing.object_version"
        " WHERE key IN ('a.json', 'c')"
    )
    rows = everywhere(service, "/v1/music/files", limit=3)
    assert [(one["name"], one["version"], one["state"]) for one in rows] == [
        (one[0], one[1], one[6]) for one in reversed(seen)
    ]
    assert {one["name"] for one in rows if not one["newest"]} == {"a.json"}
    assert {one["name"]: one["in_raw"] for one in rows if one["in_raw"] is not None} == {
        "a.json": True, "c": False,
    }  # fmt: skip
    for state in {one[6] for one in seen}:
        found = [one["name"] for one in paged(service, "/v1/music/files", state=state)]
        assert found == [one[0] for one in reversed(seen) if one[6] == state]
    assert [one["name"] for one in paged(service, "/v1/music/files", prefix="dir/")] == [
        "dir/b c.csv"
    ]
    taken = service.get("/v1/music/files/i").json()["answer"]
    assert (taken["state"], taken["versions"][0]["reason"]) == ("taken_down", "asked for")
    both = service.get("/v1/music/files/a.json").json()["answer"]
    assert [one["version"] for one in both["versions"]] == ["2", "1"]
    assert service.get("/v1/music/files/none").json()["code"] == "unknown_file"

    client = MinioResource(
        endpoint=env["MINIO_ENDPOINT"],
        access_key=env["MINIO_ACCESS_KEY"],
        secret_key=env["MINIO_SECRET_KEY"],
    ).client()
    store = MinioStore(client, env["MUSIC_QUARANTINE_BUCKET"])
    with QuarantineWriter(("bad_number", "bad_header")) as writer:
        for line in (4, 9):
            row = (line, "bad_number", "tempo", f"text {line}", False)
            writer.add(
                ObjectVersion("minio", bucket, "a.json", "2", 1, AT),
                pl.DataFrame([row], schema=REJECT_SCHEMA, orient="row"),
            )
        whole = ObjectVersion("minio", bucket, "dir/b c.csv", "1", 1, AT)
        writer.add_object(whole, "bad_header", "twice: id", ("id,id", False))
        key = writer.put(store, "music", "b4")
        postgres.execute(
            "INSERT INTO landing.quarantine (batch_id, bucket, key, rows, reasons, written_at)"
            " VALUES ('b4', %s, %s, 3, %s, %s)",
            (store.bucket, key, Jsonb(dict(writer.reasons)), AT),
        )
    path = "/v1/music/rejects"
    rejects = everywhere(service, path, limit=1, file="a.json")
    assert [(one["line"], one["reason"], one["text"]) for one in rejects] == [
        (4, "bad_number", "text 4"), (9, "bad_number", "text 9"),
    ]  # fmt: skip
    assert paged(service, path, file="a.json", version="1") == []
    assert [one["text"] for one in of_csv(service, path, file="dir/b c.csv")] == ["id,id"]
    assert paged(service, path, file="c") == []
    assert service.get(path, params={"file": "none"}).json()["code"] == "unknown_file"
