"""A little of everything that pages show, with names in it that would run where nobody escapes.

Belongs here: filling stores, and a service in this process that a browser can reach. Does not: any
code of the pages.
"""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg
import uvicorn
from fastapi import FastAPI
from PIL import Image
from psycopg.types.json import Jsonb

from api.app import create_app
from assets.domains.prompts import summary_prompt
from assets.domains.tables import PUBLISHED
from assets.music.search import song_documents
from assets.music.search.song_rows import TouchedPages
from assets.sinks.postgres import ensure
from landing.stores.minio import MinioStore
from resources.minio import MinioResource
from resources.postgres import PostgresResource
from resources.typesense import TypesenseResource
from tests.integration.api.played import played
from tests.integration.campaigns.answered import opened as campaigns_opened
from tests.integration.campaigns.world import Event, at, small
from tests.integration.music.lyrics_index import opened as lyrics_opened
from tests.integration.music.search_world import Song, generated
from tests.integration.reading.affinity_world import fill, world_of
from tests.rabbitmq import free_port

#: What runs, or breaks out of an attribute, where it is not escaped.
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'-alert(1)-'",
    "</title><svg/onload=alert(1)>",
    "javascript:alert(1)",
    "{{ 7 * 7 }}{% raw %}",
)
USER = HOSTILE[1]
LISTENER = "0000000000000000000000000000000000000001"
DOMAIN = "shoes.example"
_SELLS = "sells shoes of all kinds to people who like to walk, most of them at home."


def campaigns(env: dict[str, str]) -> None:
    """The small world, and a user, a campaign and messages with hostile names."""
    hostile = [
        Event(f"h{number}", name, "show me offers", HOSTILE[0], at(10 + number))
        for number, name in enumerate(HOSTILE)
    ]
    with campaigns_opened(env) as world:
        world.load("b1", [*small(), *hostile])


def music(env: dict[str, str]) -> list[Song]:
    """Songs in every index, with a hostile one among them."""
    songs, _ = generated()
    bad = Song(
        HOSTILE[1], HOSTILE[0], (HOSTILE[3],), HOSTILE[4], HOSTILE[2], 1999, f"la {HOSTILE[0]} la",
        tempo=120.0, loudness=-7.5, duration=215.0, pitch=1, mode=1, time_signature=4,
    )  # fmt: skip
    near = Song(
        "SONEAR", "Near", ("Ann Ray",), tempo=121.0, loudness=-7.0, duration=210.0, pitch=1,
        mode=1, time_signature=4,
    )  # fmt: skip
    songs += [bad, near]
    with lyrics_opened(env) as index:
        index.world.put("b2", songs)
        index.write("b2")
    pg = PostgresResource(url=env["POSTGRES_URL"])
    typesense = TypesenseResource(url=env["TYPESENSE_URL"], api_key=env["TYPESENSE_API_KEY"])
    with typesense.client() as client:
        documents = song_documents.store(client, env["MUSIC_TYPESENSE_COLLECTION"])
        song_documents.write(TouchedPages(pg, "b2", 1_000), documents, pg)
    played(env["POSTGRES_URL"], LISTENER, {"SOTHEME0": 3, bad.key: 41_000})
    return songs


def reading(env: dict[str, str]) -> None:
    """Six weeks of events."""
    with world_of(env) as world:
        fill(world)


def feature(month: str, domain: str, category: str, **values: Any) -> dict[str, Any]:
    """A row of features; the exact figures are such that none is the edge of a bin."""
    return {
        "month": f"{month}-01", "domain": domain, "category": category, "revenue": 1_234_567.0,
        "transactions": 23_457, "sessions": 876_543, "aov": 52.63, "conv_rate": 2.68,
        "cat_median_revenue": 345_678.0, "cat_high_revenue": 23_456_789.0,
        "cat_median_sessions": 123_457.0, "cat_high_sessions": 3_456_789.0,
        "cat_percentile_10_conv_rate": 0.87, "cat_percentile_90_conv_rate": 4.13,
        "cat_percentile_10_aov": 31.47, "cat_percentile_90_aov": 1_713.57,
        "revenue_direction": "up", "sessions_direction": "down", "conv_rate_direction": None,
        "binned_revenue": "1M–2M", "binned_transactions": "20K–50K",
        "binned_sessions": "500K–1M", "binned_conv_rate": "2.50-3.00", "binned_aov": "50-75",
        "main_category": True, **values,
    }  # fmt: skip


def domains(env: dict[str, str]) -> None:
    """Two months of a domain, one that is hostile, and one without a category."""
    alone = {name: None for name in feature("2025-03", "", "") if name.startswith("cat_")}
    rows = [
        feature("2025-02", DOMAIN, "Shoes"),
        feature("2025-03", DOMAIN, "Shoes"),
        feature("2025-03", HOSTILE[3], HOSTILE[0]),
        feature("2025-03", "alone.example", "", **alone),
    ]
    with psycopg.connect(env["POSTGRES_URL"]) as connection:
        ensure(connection, PUBLISHED)
        for row in rows:
            prompt = summary_prompt(row, "gpt-test")
            connection.execute(
                "INSERT INTO domains.openai_answer (prompt_hash, request, facts, prompt_bound,"
                " completion_bound) VALUES (%s, '{}', %s, 1, 1) ON CONFLICT DO NOTHING",
                (prompt.prompt_hash, Jsonb(prompt.facts)),
            )
            connection.execute(
                "INSERT INTO domains.published_description"
                " (month, domain, category, description, prompt_hash) VALUES (%s, %s, %s, %s, %s)",
                (
                    row["month"], row["domain"], row["category"] or None,
                    f"As of {row['month'][:7]}, {row['domain']} {_SELLS}", prompt.prompt_hash,
                ),
            )  # fmt: skip


def picture(shade: int) -> bytes:
    """A JPEG with a shape in it."""
    image = Image.linear_gradient("L").resize((256, 256)).rotate(shade * 31)
    tinted = Image.merge("RGB", (image, image.point(lambda v: 255 - v), image.rotate(90)))
    written = io.BytesIO()
    tinted.save(written, "JPEG")
    return written.getvalue()


def images(env: dict[str, str], task: str, made: int, state: str = "running") -> None:
    """A task whose first items are made, one of which is lost, and whose others are not."""
    client = MinioResource(
        endpoint=env["MINIO_ENDPOINT"], access_key=env["MINIO_ACCESS_KEY"],
        secret_key=env["MINIO_SECRET_KEY"],
    ).client()  # fmt: skip
    store = MinioStore(client, env["IMAGES_RESULTS_BUCKET"])
    failed = ("missing", "corrupt", None)
    with psycopg.connect(env["POSTGRES_URL"]) as connection:
        connection.execute(
            "INSERT INTO images.image_task (task_id, request, request_hash, source, requested_at,"
            " state, items, settled) VALUES (%s, %s, 'h', 's3://requests/1.json', %s, %s, %s, %s)",
            (task, Jsonb({}), datetime(2026, 11, 28, tzinfo=UTC), state, made + 3, made + 2),
        )
        for number in range(1, made + 1):
            data = picture(number)
            if number > 1:
                store.put(f"{task}/{1000 + number}.jpg", data)
            connection.execute(
                "INSERT INTO images.image_task_item (task_id, number, product_id, extension,"
                " status, width, height, bytes, digest) VALUES (%s, %s, %s, 'jpg', 'ok', 256, 256,"
                " %s, %s)",
                (task, number, 1000 + number, len(data), f"{number:032x}"),
            )
        for number, status in enumerate(failed, made + 1):
            connection.execute(
                "INSERT INTO images.image_task_item (task_id, number, product_id, extension,"
                " status, detail) VALUES (%s, %s, %s, 'jpg', %s, %s)",
                (task, number, 1000 + number, status, HOSTILE[0] if status else ""),
            )


def ledger(env: dict[str, str]) -> None:
    """A batch of campaigns that is loaded, one that waits, rejected rows, and two sessions."""
    with psycopg.connect(env["POSTGRES_URL"]) as connection:
        connection.execute(
            "INSERT INTO landing.batch (batch_id, source, pipeline, state, objects, bytes,"
            " created_at, run_id, error) VALUES"
            " ('b1', 'campaigns_gcs', 'campaigns', 'loaded', 1, 1, now(), 'run-1', NULL),"
            " ('b2', 'campaigns_gcs', 'campaigns', 'failed_permanent', 2, 1, now(), 'run-2', %s)",
            (HOSTILE[0],),
        )
        connection.execute(
            "INSERT INTO landing.object_version (source, store, bucket, key, version, size,"
            " modified_at, seen_at, batch_id) VALUES ('campaigns_gcs', 'gcs', 'b', %s, '1', 1,"
            " now(), now() - interval '2 hours', 'b2')",
            (HOSTILE[1],),
        )
        connection.execute(
            "INSERT INTO landing.quarantine (batch_id, bucket, key, rows, reasons, written_at)"
            " VALUES ('b1', 'q', 'k', 7, %s, now())",
            (Jsonb({"bad_time": 7}),),
        )
        for session in ("old", "new"):
            connection.execute(
                "INSERT INTO reading.session (session_id, state, started_at, updated_at, error)"
                " VALUES (%s, 'serving', now() + %s * interval '1 hour', now(), %s)",
                (session, int(session == "new"), HOSTILE[0] if session == "new" else None),
            )
            connection.execute(
                "INSERT INTO reading.session_stream (session_id, subscription, received, written,"
                " lag) VALUES (%s, 'interactions', %s, 17, 2.46)",
                (session, 4_321 if session == "new" else 99),
            )
        connection.execute(
            "INSERT INTO landing.batch_sink (batch_id, sink, state, run_id, done_at)"
            " VALUES ('b1', 'engagement_graph', 'done', 'run-1', now())"
        )


@contextmanager
def served() -> Iterator[tuple[str, FastAPI]]:
    """The application over HTTP in a thread of this process, and its address."""
    port, app = free_port(), create_app()
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning"))
    with ExitStack() as stack:
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        stack.callback(thread.join, 30)
        stack.callback(setattr, server, "should_exit", True)
        late = time.monotonic() + 60
        while not server.started:
            assert thread.is_alive(), "it ended at once"
            assert time.monotonic() < late, "it does not listen"
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}", app
