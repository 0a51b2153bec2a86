"""Every question of docs/api.md, asked by curl as it stands there, of a service that runs."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
import urllib.request
from datetime import UTC, datetime

import psycopg
import pytest
from psycopg.types.json import Jsonb

from assets.domains.tables import PUBLISHED
from assets.music.search import song_documents
from assets.music.search.song_rows import TouchedPages
from assets.sinks.postgres import ensure
from local.service import REPOSITORY
from migrations.upgrade import upgrade
from ops import api_key
from resources.postgres import PostgresResource
from resources.typesense import TypesenseResource
from tests import processes
from tests.integration.api.played import played
from tests.integration.campaigns.answered import opened as campaigns_opened
from tests.integration.campaigns.world import small
from tests.integration.music.lyrics_index import opened as lyrics_opened
from tests.integration.music.search_world import generated
from tests.integration.reading.affinity_world import fill, world_of
from tests.rabbitmq import free_port

pytestmark = pytest.mark.servers(
    "postgres", "milvus", "openai", "bolt", "bigquery", "typesense", "gcs", "s3"
)  # fmt: skip


def questions() -> list[str]:
    text = (REPOSITORY / "docs" / "api.md").read_text("utf-8")
    blocks = re.findall(r"^```curl\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def load(env) -> None:
    """A little of everything, under the names that the document asks for."""
    with campaigns_opened(env) as campaigns:
        campaigns.load("b1", small())
    with world_of(env) as reading:
        fill(reading)
    with lyrics_opened(env) as index:
        songs, _ = generated()
        index.world.put("b2", songs)
        index.write("b2")
    pg = PostgresResource(url=env["POSTGRES_URL"])
    typesense = TypesenseResource(url=env["TYPESENSE_URL"], api_key=env["TYPESENSE_API_KEY"])
    with typesense.client() as client:
        documents = song_documents.store(client, env["MUSIC_TYPESENSE_COLLECTION"])
        song_documents.write(TouchedPages(pg, "b2", 1_000), documents, pg)
    listener = "0000000000000000000000000000000000000001"
    played(env["POSTGRES_URL"], listener, {"SOTHEME0": 3})
    with psycopg.connect(env["POSTGRES_URL"]) as connection:
        ensure(connection, PUBLISHED)
        connection.execute(
            "INSERT INTO domains.published_description"
            " (month, domain, category, description, prompt_hash)"
            " VALUES ('2025-03-01', 'a.de', 'Shoes', 'Sells shoes.', 'h')"
        )
        connection.execute(
            "INSERT INTO images.image_task (task_id, request, request_hash, source, requested_at,"
            " state) VALUES ('shoes', %s, 'h', 's3://requests/one.json', %s, 'running')",
            (Jsonb({}), datetime.now(UTC)),
        )
        connection.execute(
            "INSERT INTO music.artist_performance (artist_key, artist, songs)"
            " VALUES ('ARD7TVE1187B99BFB1', 'Casual', 1)"
        )
        connection.execute(
            "INSERT INTO music.album_performance (album_key, album, artists, songs)"
            " VALUES ('300848', 'Fear Itself', '{Casual}', 1)"
        )
        connection.execute(
            "INSERT INTO landing.object_version (source, store, bucket, key, version, size,"
            " modified_at, seen_at) VALUES ('music_minio', 'minio', %s, 'songs/one.json', '1', 1,"
            " now(), now())",
            (env["MUSIC_RAW_BUCKET"],),
        )
        connection.execute(
            "INSERT INTO images.image_task_item (task_id, number, product_id, extension, status)"
            " VALUES ('shoes', 1, 7, 'png', 'corrupt')"
        )


def test_every_question_is_answered(env, tmp_path, capsys):
    upgrade(env["POSTGRES_URL"])
    load(env)
    assert api_key.run("me", ["read", "write"], per_minute=600, revoke=None) == 0
    key = capsys.readouterr().out.split()[0]
    for name in ("one.json", "two.json"):
        (tmp_path / name).write_text("[]")
    port = free_port()
    asking = {**os.environ, "API": f"http://127.0.0.1:{port}", "KEY": key}
    log = tmp_path / "api.log"
    with log.open("wb") as output:
        service = processes.start(
            [sys.executable, "-m", "api", "--port", str(port)],
            cwd=tmp_path, stdout=output, stderr=processes.STDOUT,
            env={**os.environ, "QUINTET_PIPELINES": ""},
        )  # fmt: skip
        try:
            wait_for(asking["API"], service, log)
            assert len(questions()) >= 17
            for question in questions():
                said = processes.output_of(["bash", "-c", question], env=asking, cwd=tmp_path)
                if "quintet_key" in question or question.endswith('/docs"'):
                    assert said.startswith("<!doctype html>"), question
                elif question.endswith('/content"'):
                    assert said == "[]", question
                elif "format=" in question:
                    assert "complete" in said.splitlines()[-1], question
                else:
                    assert "/metrics" in question or last_of(said) is not None, question
        finally:
            service.terminate()
            # Requests in progress end first, then it dies of the signal, as a shell expects.
            assert service.wait(60) in {0, -signal.SIGTERM}


def last_of(said: str):
    """The answer; before it is what curl was told while it was to ask again."""
    found, at = None, 0
    while at < len(said.rstrip()):
        found, at = json.JSONDecoder().raw_decode(said, at)
    return found


def wait_for(address: str, service, log) -> None:
    late = time.monotonic() + 120
    while True:
        try:
            urllib.request.urlopen(f"{address}/v1/health/live", timeout=5).close()
        except OSError:
            assert service.poll() is None, log.read_text()
            assert time.monotonic() < late, log.read_text()
            time.sleep(0.1)
        else:
            return
