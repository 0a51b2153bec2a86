"""A page costs a page: Postgres enters by an index where it begins, however long the list is."""

from __future__ import annotations

import json

import psycopg
import pytest
from psycopg.types.json import Jsonb

from assets.images import answers as images
from assets.music import answers as music
from landing.arrival import listed
from migrations.upgrade import upgrade

pytestmark = pytest.mark.servers("postgres")
ROWS = 6_000
PAGE = 20


@pytest.fixture
def postgres(env):
    upgrade(env["POSTGRES_URL"])
    with psycopg.connect(env["POSTGRES_URL"], autocommit=True) as connection:
        yield connection


def batches(postgres):
    postgres.execute(
        "INSERT INTO landing.batch (batch_id, source, pipeline, state, objects, bytes, created_at)"
        " SELECT 'b' || n, 'music_minio', 'music', 'loaded', 1, 1, now()"
        " FROM generate_series(1, %s) n",
        (ROWS,),
    )
    return listed.batches()


def files(postgres):
    batches(postgres)
    for source in ("music_minio", "another"):
        postgres.execute(
            "INSERT INTO landing.object_version (source, store, bucket, key, version, size,"
            " modified_at, seen_at, batch_id)"
            " SELECT %s, 'minio', %s, 'k' || n, '1', 1, now(), now(), 'b' || n"
            " FROM generate_series(1, %s) n",
            (source, source, ROWS),
        )
    return music.files()


def tasks(postgres):
    postgres.execute(
        "INSERT INTO images.image_task (task_id, request, request_hash, source, requested_at)"
        " SELECT 't' || n, %s, 'h', 's', now() - make_interval(secs => n / 100)"
        " FROM generate_series(1, %s) n",
        (Jsonb({}), ROWS),
    )
    return images.listed_tasks()


def items(postgres):
    postgres.execute(
        "INSERT INTO images.image_task (task_id, request, request_hash, source, requested_at)"
        " VALUES ('t1', %s, 'h', 's', now()), ('t2', %s, 'h', 's', now())",
        (Jsonb({}), Jsonb({})),
    )
    postgres.execute(
        "INSERT INTO images.image_task_item (task_id, number, product_id, extension)"
        " SELECT 't' || t, n, n, 'png' FROM generate_series(1, %s) n, generate_series(1, 2) t",
        (ROWS,),
    )
    return images.task_items("t1")


def songs(postgres):
    postgres.execute(
        "INSERT INTO music.song_details (song_key, artists, track_ids, lyrics_status, has_lyrics,"
        " row_hash) SELECT 'SO' || n, '{}', '{}', 'missing', false, 'h'"
        " FROM generate_series(1, %s) n",
        (ROWS,),
    )
    return music.songs()


def nodes(plan):
    yield plan
    for one in plan.get("Plans", ()):
        yield from nodes(one)


@pytest.mark.parametrize("of", [batches, files, tasks, items, songs], ids=lambda of: of.__name__)
def test_a_page_in_the_middle_reads_few_rows(postgres, of):
    listing = of(postgres)
    postgres.execute("ANALYZE")
    middle = listing.page(postgres, ROWS // 2 - 500)
    statement, bound = listing._statement(middle.next)
    explained = postgres.execute(
        f"EXPLAIN (ANALYZE, FORMAT JSON) {statement} LIMIT {PAGE}", bound
    ).fetchone()[0]
    plan = json.loads(explained) if isinstance(explained, str) else explained
    read = sum(
        (one["Actual Rows"] + one.get("Rows Removed by Filter", 0)) * one["Actual Loops"]
        for one in nodes(plan[0]["Plan"])
        if "Scan" in one["Node Type"]
    )
    assert 0 < read < ROWS / 10, json.dumps(plan, indent=1)
