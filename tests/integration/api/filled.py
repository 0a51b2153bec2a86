"""A little of everything that the service answers from, and how much of it there is.

Belongs here: what tests of all routes share. Does not: any code under test, what one route's
tests load.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from assets.domains.tables import PUBLISHED
from assets.music.search import song_documents
from assets.music.search.song_rows import TouchedPages
from assets.sinks.postgres import ensure
from resources.bigquery import BigQueryResource
from resources.milvus import MilvusResource
from resources.neo4j import Neo4jResource
from resources.postgres import PostgresResource
from resources.typesense import TypesenseResource
from tests.integration.api.played import played
from tests.integration.campaigns.answered import opened as campaigns_opened
from tests.integration.campaigns.world import small
from tests.integration.images.task_world import Tasks, photo
from tests.integration.music.lyrics_index import opened as lyrics_opened
from tests.integration.music.search_world import generated
from tests.integration.reading.affinity_world import fill, world_of

#: The servers that hold it.
SERVERS = ("postgres", "milvus", "openai", "bolt", "bigquery", "typesense", "gcs", "s3", "pubsub")
LISTENER = "0000000000000000000000000000000000000001"


def load(env: dict[str, str]) -> None:
    """A little of everything, under the names that docs/api.md asks for."""
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
    played(env["POSTGRES_URL"], LISTENER, {"SOTHEME0": 3})
    with psycopg.connect(env["POSTGRES_URL"]) as connection:
        ensure(connection, PUBLISHED)
        connection.execute(
            "INSERT INTO domains.published_description"
            " (month, domain, category, description, prompt_hash)"
            " VALUES ('2025-03-01', 'a.de', 'Shoes', 'Sells shoes.', 'h')"
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
            "INSERT INTO landing.batch (batch_id, source, pipeline, state, objects, bytes,"
            " created_at)"
            " VALUES ('20261128T120000Z-0001', 'music_minio', 'music', 'loaded', 1, 1, now())"
        )
        connection.execute(
            "INSERT INTO landing.object_version (source, store, bucket, key, version, size,"
            " modified_at, seen_at) VALUES ('music_minio', 'minio', %s, 'songs/one.json', '1', 1,"
            " now(), now())",
            (env["MUSIC_RAW_BUCKET"],),
        )
        done(env, connection)
    raw = Tasks(env).store("MUSIC_RAW_BUCKET")
    for name in ("songs/one.json", "songs/two.json"):
        raw.put(name, b"[]")
    tasks(env)


def done(env: dict[str, str], connection: psycopg.Connection[Any]) -> None:
    """A task that is done, but for a product of which another image has landed since."""
    store = Tasks(env).results
    files = {"metadata.csv": {"sha256": store.put("boots/metadata.csv", b"id\n7\n8\n").version}}
    made = store.put("boots/8.jpg", photo(8))
    connection.execute(
        "INSERT INTO images.image_task (task_id, request, request_hash, source, requested_at,"
        " state, items, settled, files) VALUES ('boots', %s, 'h', 's3://requests/two.json', now(),"
        " 'done_with_skips', 2, 2, %s)",
        (Jsonb({"gender": "Men"}), Jsonb(files)),
    )
    connection.execute(
        "INSERT INTO images.image_task_item (task_id, number, product_id, extension, status, bytes,"
        " digest) VALUES ('boots', 1, 7, 'jpg', 'missing', NULL, NULL),"
        " ('boots', 2, 8, 'jpg', 'ok', %s, 'd')",
        (made.size,),
    )
    connection.execute(
        "INSERT INTO images.product (id, gender, repaired, row_hash, ingested_at)"
        " VALUES (7, 'Men', false, 'h', now()), (8, 'Men', false, 'h', now())"
    )
    connection.execute(
        "INSERT INTO images.image (product_id, key, version, modified_at, size, status, row_hash,"
        " ingested_at) VALUES (7, 'images/7.jpg', '2', now(), 1, 'ok', 'h', now())"
    )


def tasks(env: dict[str, str]) -> None:
    """A task that runs and a cancelled one, whatever was said to them before."""
    with psycopg.connect(env["POSTGRES_URL"]) as connection:
        connection.execute("DELETE FROM images.image_task WHERE task_id IN ('shoes', 'sandals')")
        for task, state in (("shoes", "running"), ("sandals", "cancelled")):
            connection.execute(
                "INSERT INTO images.image_task (task_id, request, request_hash, source,"
                " requested_at, state) VALUES (%s, %s, 'h', 's3://requests/one.json', %s, %s)",
                (task, Jsonb({}), datetime.now(UTC), state),
            )
            connection.execute(
                "INSERT INTO images.image_task_item (task_id, number, product_id, extension,"
                " status) VALUES (%s, 1, 7, 'png', 'corrupt')",
                (task,),
            )


def counted(env: Mapping[str, str]) -> dict[str, int]:
    """How many rows, nodes, edges and documents there are, by where."""
    found: dict[str, int] = {}
    with psycopg.connect(env["POSTGRES_URL"]) as connection:
        tables = connection.execute(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
            " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        for (table,) in tables:
            ((found[table],),) = connection.execute(f"SELECT count(*) FROM {table}").fetchall()
    neo4j = Neo4jResource(
        uri=env["NEO4J_URI"], user=env["NEO4J_USER"], password=env["NEO4J_PASSWORD"],
        database=env["NEO4J_DATABASE"],
    )  # fmt: skip
    with neo4j.driver() as driver:
        for name, pattern in (("nodes", "(one)"), ("edges", "()-[one]->()")):
            rows = driver.execute_query(
                f"MATCH {pattern} RETURN count(one) AS rows", database_=env["NEO4J_DATABASE"]
            ).records
            found[name] = rows[0]["rows"]
    with contextlib.closing(
        MilvusResource(uri=env["MILVUS_URI"], token=env.get("MILVUS_TOKEN", "")).client()
    ) as milvus:
        for variable in ("CAMPAIGNS_MILVUS_PROFILES", "MUSIC_MILVUS_LYRICS"):
            (row,) = milvus.query(
                env[variable], filter="", output_fields=["count(*)"], consistency_level="Strong"
            )
            found[variable] = row["count(*)"]
    warehouse = BigQueryResource(
        project=env["GOOGLE_CLOUD_PROJECT"], api_endpoint=env["BIGQUERY_API_ENDPOINT"]
    )
    with warehouse.client() as bigquery:
        for dataset in (env["CAMPAIGNS_DATASET"], env["READING_DATASET"]):
            for table in bigquery.list_tables(dataset):
                name = f"{dataset}.{table.table_id}"
                (row,) = bigquery.query_and_wait(f"SELECT count(*) FROM `{name}`")
                found[name] = row[0]
    typesense = TypesenseResource(url=env["TYPESENSE_URL"], api_key=env["TYPESENSE_API_KEY"])
    with typesense.client() as client:
        songs = client.collections[env["MUSIC_TYPESENSE_COLLECTION"]].retrieve()
        found["songs"] = songs["num_documents"]
    return found


@contextlib.contextmanager
def variables_set(variables: Mapping[str, str]) -> Iterator[None]:
    """The variables in this process's environment, for as long as it lasts."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
