"""`make land`: a file is put where the sensor's scan finds it, or refused with the reason."""

from __future__ import annotations

import os
import re
from contextlib import closing
from pathlib import Path

import pytest

from assets.pipelines import apply_defaults
from landing.stores.base import ObjectStore
from landing.stores.gcs import GcsStore
from landing.stores.minio import MinioStore
from ops import land
from resources.gcs import GcsResource
from resources.minio import MinioResource


@pytest.fixture
def gcs(env):
    apply_defaults()
    with closing(GcsResource(project=env["GOOGLE_CLOUD_PROJECT"]).client()) as client:
        yield lambda variable: GcsStore(client, env[variable])


def only_object(store: ObjectStore, prefix: str, data: bytes) -> str:
    (found,) = store.list_page(prefix, None, 10).objects
    with store.open(found) as stream:
        assert stream.read() == data
    return found.key


@pytest.mark.servers("postgres", "gcs")
@pytest.mark.parametrize(("pipeline", "name"), [("campaigns", "a b.CSV"), ("reading", "h.csv.gz")])
def test_a_file_for_gcs_is_where_the_sensor_looks(gcs, tmp_path, capsys, pipeline, name) -> None:
    (tmp_path / name).write_bytes(b"x" * 1_234)
    assert land.run(str(tmp_path / name), pipeline) == 0
    prefix = os.environ[f"{pipeline.upper()}_PREFIX"]
    store = gcs(f"{pipeline.upper()}_BUCKET")
    key = only_object(store, prefix, b"x" * 1_234)
    assert key == prefix + name
    files, found = land.place_of(tmp_path / name, pipeline)
    assert found == key
    assert land.source_of(files).pattern.fullmatch(key)
    said = capsys.readouterr().out
    assert re.search(rf"landed gs://{store.bucket}/{re.escape(key)}#\d+ \(1,234 bytes\)", said)
    assert f"the sensor of {pipeline} finds it" in said


@pytest.mark.servers("postgres", "s3")
def test_a_file_of_music_is_in_the_raw_bucket(env, tmp_path: Path, capsys) -> None:
    apply_defaults()
    (tmp_path / "songs.json").write_bytes(b"{}\n")
    assert land.run(str(tmp_path / "songs.json"), "music") == 0
    client = MinioResource(
        endpoint=env["MINIO_ENDPOINT"],
        access_key=env["MINIO_ACCESS_KEY"],
        secret_key=env["MINIO_SECRET_KEY"],
    ).client()
    store = MinioStore(client, env["MUSIC_RAW_BUCKET"])
    assert only_object(store, "", b"{}\n").endswith("songs.json")
    assert f"landed s3://{store.bucket}/" in capsys.readouterr().out


@pytest.mark.servers("postgres", "gcs")
@pytest.mark.parametrize(
    ("pipeline", "name", "data", "reason"),
    [
        ("campaigns", "a.txt", b"x", r"would pass over a\.txt"),
        ("campaigns", "a.csv", b"", "is empty"),
        ("campaigns", "none.csv", None, "is no file"),
        ("music", "song.h5.part", b"x", r"would pass over song\.h5\.part"),
        ("sounds", "a.csv", b"x", "no pipeline 'sounds'.*campaigns or music or reading"),
    ],
)
def test_what_no_sensor_would_find_is_refused(
    gcs, tmp_path: Path, capsys, *, pipeline, name, data, reason
) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    assert land.run(str(tmp_path / name), pipeline) == 1
    assert re.search(reason, capsys.readouterr().err)
    assert gcs("CAMPAIGNS_BUCKET").list_page("", None, 10).objects == []
