"""Files of every format dropped into the raw bucket, loaded by the sensor, then backfilled.

One comes over HTTP, and is followed there.
"""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import minio
import psycopg
import pytest
from starlette.testclient import TestClient

from api import keys
from api.app import create_app
from landing.stores.minio import MinioStore
from local.service import REPOSITORY
from resources.milvus import MilvusResource
from resources.typesense import TypesenseResource
from samples.music import write
from tests import processes
from tests.e2e.campaign_daemon import CampaignDaemon, campaign_daemon
from tests.e2e.music_files import expected_of, real_files, real_folder

pytestmark = [
    pytest.mark.servers("postgres", "s3", "milvus", "openai", "typesense", "music_services"),
    pytest.mark.xdist_group("daemon"),
]

#: Tables whose whole content a backfill must leave as it was.
TABLES = (
    "fact_song", "dim_artist", "dim_album", "dim_genre", "dim_date", "bridge_song_artist",
    "bridge_album_artist", "bridge_artist_term", "song_details", "artist_performance",
    "album_performance", "genre_by_year", "tempo_key_profile", "fact_play", "song_plays",
    "artist_plays",
)  # fmt: skip


#: A file of its own, with lyrics.
TWO = [
    {"title": title, "artist": "Nobody", "album": "None", "duration": 100.0, "tempo": 100.0,
     "artist_location": "", "key": 1, "loudness": -5.0, "mode": 1, "time_signature": 4,
     "lyrics": f"the words of {title}"}
    for title in ("Alpha", "Omega")
]  # fmt: skip


def store(env: Mapping[str, str]) -> MinioStore:
    client = minio.Minio(
        env["MINIO_ENDPOINT"].removeprefix("http://"),
        access_key=env["MINIO_ACCESS_KEY"],
        secret_key=env["MINIO_SECRET_KEY"],
        secure=False,
    )
    return MinioStore(client, env["MUSIC_RAW_BUCKET"])


def query(env: Mapping[str, str], statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(env["POSTGRES_URL"]) as connection:
        return connection.execute(statement).fetchall()


def checksums(env: Mapping[str, str], *, stamps: bool = True) -> dict[str, str]:
    """Of every table; with when its rows came and changed, or without."""
    row = "t::text" if stamps else "(to_jsonb(t) - 'loaded_at' - 'updated_at')::text"
    statement = f"SELECT md5(coalesce(string_agg({row}, E'\\n' ORDER BY {row}), '')) FROM music."
    return {table: query(env, f"{statement}{table} AS t")[0][0] for table in TABLES}


def keys_in(bucket: MinioStore) -> set[str]:
    return {version.key for version in bucket.list_page("", None, 1_000).objects}


def wait_settled(daemon: CampaignDaemon, env: Mapping[str, str], objects: int) -> None:
    """Every object is decided, every batch loaded, every run ended and raw is cleared."""

    def settled() -> bool:
        (decided,) = query(env, "SELECT count(outcome) FROM landing.object_version")[0]
        (left,) = query(env, "SELECT count(*) FROM music.archived_object WHERE removal IS NULL")[0]
        batches = daemon.batches()
        loaded = all(b.state in {"loaded", "loaded_with_rejects"} for b in batches)
        return (
            decided == objects
            and not left
            and loaded
            and all(run.is_finished for run in daemon.runs())
        )

    daemon.wait(f"{objects} objects loaded", settled, 420)


def backfill(daemon: CampaignDaemon, env: Mapping[str, str], cwd: Path) -> None:
    """`dagster job backfill` of every music batch, until its runs have ended."""
    before = len(daemon.runs())
    batches = len(daemon.batches())
    command: list[str | Path] = [
        processes.BIN / "dagster", "job", "backfill", "--job", "music",
        "--all", "all", "--noprompt", "-w", str(REPOSITORY / "workspace.yaml"),
    ]  # fmt: skip
    processes.output_of(command, env=processes.environment(env), cwd=cwd)

    def ended() -> bool:
        runs = daemon.runs()
        return len(runs) == before + batches and all(run.is_finished for run in runs)

    daemon.wait("the backfill's runs", ended, 420)
    assert all(run.is_success for run in daemon.runs()[before:])


@pytest.mark.timeout(1500)
def test_files_of_every_format_then_a_backfill_of_all_batches(
    env: dict[str, str], tmp_path: Path
) -> None:
    folder = real_folder()
    bucket = store(env)
    with campaign_daemon(env, tmp_path / "logs", job="music") as daemon:
        if folder is not None:
            files = dict(real_files(folder))
            refused = {key for key in files if key.startswith("h5_bad/")}
        else:
            manifest = write(tmp_path / "music", seed=3)
            files = {name: tmp_path / "music" / name for name in manifest.files}
            refused = {name for name, one in manifest.files.items() if one.reason}
        for key, file in files.items():
            bucket.put(key, io.BytesIO(file.read_bytes()))
        wait_settled(daemon, env, len(files))

        # Only what was refused is still in raw, and is in quarantine with its reason.
        assert keys_in(bucket) == refused
        rejected = query(
            env, "SELECT key, reason FROM landing.object_version WHERE outcome = 'rejected'"
        )
        assert {key for key, _ in rejected} == refused
        assert all(reason for _, reason in rejected)
        if folder is not None:
            assert_real(env, folder)
            assert "not_a_song_file" in rejected[0][1]
        else:
            figures = manifest.as_json()
            assert query(env, "SELECT count(*) FROM music.fact_song") == [(figures["songs"],)]
            assert query(env, "SELECT count(*) FROM music.record") == [(figures["records"],)]
        before = checksums(env)
        assert len(set(before.values())) > 10

        backfill(daemon, env, tmp_path)

        assert checksums(env) == before
        assert keys_in(bucket) == refused

        # A file that is emptied takes its songs out of every store; the others stay as they were.
        indexed, rows = in_indexes(env), checksums(env, stamps=False)
        with query_service(env) as service:
            upload(service, TWO)
            wait_settled(daemon, env, len(files) + 1)
            assert in_indexes(env) == (indexed[0] + 2, indexed[1] + 2)
            shown = query(env, "SELECT count(*) FROM music.song_details WHERE artist = 'Nobody'")
            assert shown == [(2,)]
            song = f"/v1/music/songs/{found_with_lyrics(service)}"

            upload(service, [], replace=True)
            wait_settled(daemon, env, len(files) + 2)
            assert in_indexes(env) == indexed
            assert checksums(env, stamps=False) == rows
            assert service.get(song).json()["code"] == "unknown_song"


@contextlib.contextmanager
def query_service(env: Mapping[str, str]) -> Iterator[TestClient]:
    with psycopg.connect(env["POSTGRES_URL"], autocommit=True) as connection:
        key = keys.make(connection, "tests", ["read", "write"])
    with TestClient(create_app(), headers={"Authorization": f"Bearer {key}"}) as service:
        yield service


def upload(service: TestClient, songs: list[dict[str, Any]], **asked: bool) -> None:
    file = {"file": ("two.json", json.dumps(songs))}
    said = service.post("/v1/music/files", files=file, params=asked)
    assert said.status_code == 202, said.text


def found_with_lyrics(service: TestClient) -> str:
    """The key of one of the two songs, by its words; its file and its lyrics are as they landed."""
    assert service.get("/v1/music/files/two.json").json()["answer"]["state"] == "loaded"
    best = service.get("/v1/music/songs", params={"q": "Omega Nobody"}).json()["answer"]["songs"][0]
    assert (best["title"], best["artist"]) == ("Omega", "Nobody")
    said = service.get(f"/v1/music/songs/{best['song_key']}").json()["answer"]
    assert said["lyrics"]["status"] == "found"
    (source,) = said["sources"]
    assert source["source"].partition("#")[0].endswith("/two.json")
    return str(best["song_key"])


def in_indexes(env: Mapping[str, str]) -> tuple[int, int]:
    """Songs in Typesense, songs with passages in Milvus."""
    typesense = TypesenseResource(url=env["TYPESENSE_URL"], api_key=env["TYPESENSE_API_KEY"])
    with typesense.client() as client:
        songs = client.collections[env["MUSIC_TYPESENSE_COLLECTION"]].retrieve()["num_documents"]
    name = env["MUSIC_MILVUS_LYRICS"]
    milvus = MilvusResource(uri=env["MILVUS_URI"], token="").client()
    with contextlib.closing(milvus):
        milvus.load_collection(name)
        rows = milvus.query(name, filter="", output_fields=["song_key"], limit=10_000)
    return songs, len({row["song_key"] for row in rows})


def assert_real(env: Mapping[str, str], folder: Path) -> None:
    """Song by song against the recount."""
    expected = expected_of(folder)
    counted = query(
        env,
        "SELECT sum(rows_read), sum(rows_written), sum(rows_rejected) FROM landing.object_version",
    )
    accepted = expected.rows - expected.rejected
    assert counted == [(expected.rows, accepted, expected.rejected)]
    songs = {
        row[0]: row[1:]
        for row in query(
            env,
            "SELECT f.song_key, f.title, f.tempo, d.year, f.track_ids, l.status, l.text, l.words,"
            " l.source_record FROM music.fact_song f JOIN music.dim_date d USING (year_key)"
            " JOIN music.song_lyrics l USING (song_key)",
        )
    }
    assert set(songs) == set(expected.tracks)
    million = {key for key in songs if key.startswith("SO")}
    assert (len(songs), len(million)) == (1_539, 72)
    for key, (title, tempo, year, tracks, _, text, words, source) in songs.items():
        assert " ".join((title or "").split()) == expected.titles.get(key, ""), key
        assert (tempo or 0.0) == pytest.approx(expected.tempos.get(key, 0.0)), key
        if key not in expected.verses:
            assert year == expected.years.get(key), key
        assert set(tracks) == expected.tracks[key], key
        assert (bool(words) and ":musixmatch:" in (source or "")) == (key in expected.words), key
        for line in expected.verses.get(key, ()):
            assert " ".join(line.split()) in " ".join(text.split()), key
    gold = query(env, "SELECT count(*), count(DISTINCT song_key) FROM music.song_details")
    assert gold == [(1_539, 1_539)]
