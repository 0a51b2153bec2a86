"""Requests that come in over HTTP, followed through runs to the images that go out again."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from PIL import Image

from api import keys
from assets.images.pipeline import REQUESTS
from tests.integration.images.task_world import Tasks, photo, product

pytestmark = pytest.mark.servers("postgres", "s3")

TASKS = "/v1/images/tasks"


@pytest.fixture
def writer(service, env):
    with psycopg.connect(env["POSTGRES_URL"], autocommit=True) as connection:
        key = keys.make(connection, "w", ["write"], requests_per_minute=100_000)
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture
def tasks(service, env):
    made = Tasks(env)
    made.stock(
        [product(1), product(2), product(3, gender="Women"), product(4)],
        {"1.jpg": photo(1), "2.jpg": photo(2)[:400], "3.jpg": photo(3)},
    )
    return made


def inbox(tasks) -> dict[str, bytes]:
    store = tasks.store("IMAGES_REQUESTS_BUCKET")
    found = store.list_page("", None, 1_000).objects
    return {one.key: store.get(one.key) for one in found}


def taken(tasks) -> str:
    """The request that waits, run as its sensor asks for it; its task."""
    (request,) = tasks.tick(REQUESTS)
    assert tasks.run(REQUESTS, request).success
    return request.partition_key


def test_a_request_becomes_a_task_whose_images_and_metadata_go_out(service, writer, tasks):
    asked = {"task": "men", "gender": "Men", "parameters": {"size": [20, 30], "format": "png"}}
    sent = json.dumps(asked).encode()
    said = service.post(TASKS, content=sent, headers=writer)
    assert (said.status_code, said.json()) == (202, {"task_id": "men", "state": "submitted"})
    assert said.headers["location"] == f"{TASKS}/men"
    assert inbox(tasks) == {"api/men.json": sent}
    waiting = service.get(f"{TASKS}/men")
    assert (waiting.status_code, waiting.json()["state"]) == (200, "submitted")
    # Sent again, however it is written, it is the same one: nothing is put.
    spelled = json.dumps({**asked, "gender": ["Men", "Men"]}).encode()
    again = service.post(TASKS, content=spelled, headers=writer)
    assert (again.status_code, again.json()) == (202, {"task_id": "men", "state": "submitted"})
    assert inbox(tasks) == {"api/men.json": sent}
    other = service.post(TASKS, json={"task": "men", "gender": "Women"}, headers=writer)
    assert (other.status_code, other.json()["code"]) == (409, "name_taken")
    assert service.get(f"{TASKS}/men/manifest").status_code == 404

    assert taken(tasks) == "men"
    done = service.get(f"{TASKS}/men").json()
    # Of the four products one is no man's, one has a broken image, and one none.
    assert (done["state"], done["items"]) == ("done_with_skips", 3)
    assert done["counts"] == {"ok": 1, "corrupt": 1, "missing": 1}
    known = service.post(TASKS, content=sent, headers=writer)
    assert (known.status_code, known.json()["state"]) == (200, "done_with_skips")
    other = service.post(TASKS, json={"task": "men", "gender": "Women"}, headers=writer)
    assert (other.status_code, other.json()["code"]) == (409, "name_taken")

    stored = tasks.results.get("men/1.png")
    image = f"{TASKS}/men/items/1/image"
    there = service.get(image, follow_redirects=False)
    assert (there.status_code, there.headers["cache-control"]) == (307, "no-store")
    with urllib.request.urlopen(there.headers["location"], timeout=10) as opened:
        assert opened.read() == stored
    through = service.get(image, params={"proxied": True})
    assert through.content == stored
    assert through.headers["content-type"] == "image/png"
    assert through.headers["x-content-type-options"] == "nosniff"
    with Image.open(io.BytesIO(through.content)) as made:
        made.load()
        assert (made.size, made.format) == ((20, 30), "PNG")
    tag = {"If-None-Match": through.headers["etag"]}
    assert service.get(image, params={"proxied": True}, headers=tag).status_code == 304

    for product_id, status in ((2, "corrupt"), (4, "missing")):
        none = service.get(f"{TASKS}/men/items/{product_id}/image")
        assert (none.status_code, none.json()["code"]) == (404, "no_image")
        assert none.json()["item_status"] == status
    assert service.get(f"{TASKS}/men/items/3/image").json()["code"] == "unknown_item"
    tasks.results.delete("men/1.png")
    for asked_how in ({}, {"proxied": True}):
        lost = service.get(image, params=asked_how)
        assert (lost.status_code, lost.json()["code"]) == (404, "file_lost")

    metadata = service.get(f"{TASKS}/men/manifest")
    assert metadata.content == tasks.results.get("men/metadata.csv")
    rows = list(csv.DictReader(io.StringIO(metadata.text, newline="")))
    assert {row["id"]: row["status"] for row in rows} == {
        "1": "ok", "2": "corrupt", "4": "missing",
    }  # fmt: skip
    tag = {"If-None-Match": metadata.headers["etag"]}
    assert service.get(f"{TASKS}/men/manifest", headers=tag).status_code == 304
    columns = service.get(f"{TASKS}/men/manifest", params={"format": "parquet"})
    assert columns.content == tasks.results.get("men/metadata.parquet")
    assert columns.headers["etag"] == f'"{hashlib.sha256(columns.content).hexdigest()}"'


def test_a_retry_does_what_failed_and_can_be_done_now(service, writer, tasks):
    retry = f"{TASKS}/all/retry"
    assert service.post(retry, headers=writer).json()["code"] == "unknown_task"
    assert service.post(TASKS, json={"task": "all"}, headers=writer).status_code == 202
    assert taken(tasks) == "all"
    made = tasks.listed("all")
    none = service.post(retry, headers=writer)
    assert (none.status_code, none.json()["code"]) == (409, "wrong_state")
    assert "another image" in none.json()["detail"]
    assert tasks.tick(REQUESTS) == ()

    tasks.images({"2.jpg": photo(2), "9.jpg": photo(9)})
    again = service.post(retry, headers=writer)
    assert (again.status_code, again.json()) == (202, {"task_id": "all", "items": 1})
    assert taken(tasks) == "all"
    assert tasks.statuses("all") == {1: "ok", 2: "ok", 3: "ok", 4: "missing"}
    # What was made stays untouched, with its time.
    now = tasks.listed("all")
    assert {name: now[name] for name in ("1.jpg", "3.jpg")} == {
        name: made[name] for name in ("1.jpg", "3.jpg")
    }
    assert service.post(retry, headers=writer).status_code == 409


def test_a_task_that_failed_or_was_resumed_goes_on_when_it_is_retried(service, writer, tasks):
    # Without a name it has that of a hash, which the request that is put again keeps.
    name = service.post(TASKS, json={"ids": [1, 3]}, headers=writer).json()["task_id"]
    assert taken(tasks) == name
    assert service.post(f"{TASKS}/{name}/retry", headers=writer).status_code == 409
    for state in ("failed", "cancelled"):
        tasks.execute(
            "UPDATE images.image_task_item SET status = NULL, digest = NULL WHERE number = 2"
        )
        tasks.execute(f"UPDATE images.image_task SET state = '{state}', settled = 1, files = NULL")
        if state == "cancelled":
            assert service.post(f"{TASKS}/{name}/retry", headers=writer).status_code == 409
            assert service.post(f"{TASKS}/{name}/resume", headers=writer).status_code == 200
        assert service.get(f"{TASKS}/{name}/manifest").json()["code"] == "wrong_state"
        waiting = service.get(f"{TASKS}/{name}/items/3/image")
        assert (waiting.status_code, waiting.json()["code"]) == (409, "no_image")
        again = service.post(f"{TASKS}/{name}/retry", headers=writer)
        assert (again.status_code, again.json()) == (202, {"task_id": name, "items": 1})
        # Bytes that are the same make another version in another second only.
        tasks.execute("UPDATE landing.object_version SET version = version || '.'")
        assert taken(tasks) == name
        assert service.get(f"{TASKS}/{name}").json()["counts"] == {"ok": 2}


#: Bodies, the pipeline's reason, and some of what it says of them.
REFUSED = [
    (b'{"gender": "Man"}', "unknown_value", "did you mean Men"),
    (b'{"gendr": "Men"}', "unknown_field", "did you mean gender"),
    (b'{"parameters": {"crop": 2}}', "invalid_request", "parameters.crop"),
    (b'{"task": "../../etc"}', "invalid_request", "letters, digits"),
    (rb'{"task": "a\u0000b"}', "invalid_request", "letters, digits"),
    (rb'{"\ud800": 1, "\ud800": 2}', "not_json", "given twice"),
    (rb'{"gender": "Men\u0000"}', "unknown_value", "gender"),
    (b"{'; DROP TABLE images.product; --", "not_json", "not JSON"),
    (rb'{"gender": "\u0027; DROP TABLE images.product; --"}', "unknown_value", "DROP TABLE"),
    (b"[]", "not_json", "not a JSON object"),
    (b"", "not_json", "not JSON"),
    (b"\xff\xfe\xff", "not_json", "not JSON"),
]


def test_bad_requests_are_refused_in_the_pipeline_s_words(service, writer, tasks):
    for body, reason, says in REFUSED:
        said = service.post(TASKS, content=body, headers=writer)
        problem = said.json()
        assert (said.status_code, problem["code"]) == (422, "invalid_request"), problem
        assert problem["reason"] == reason
        assert any(says in one["says"] for one in problem["errors"]), problem
    assert inbox(tasks) == {}


def test_requests_need_a_key_the_scope_and_products(service, writer, env):
    tasks = Tasks(env)
    assert service.post(TASKS, json={}, headers={"Authorization": ""}).status_code == 401
    for path in (TASKS, f"{TASKS}/all/retry"):
        said = service.post(path, json={})
        assert (said.status_code, said.json()["code"]) == (403, "scope_missing")
    too_early = service.post(TASKS, json={}, headers=writer)
    assert (too_early.status_code, too_early.json()["code"]) == (409, "nothing_loaded")
    large = service.post(TASKS, content=b" " * (1024 * 1024 + 1), headers=writer)
    assert (large.status_code, large.json()["code"]) == (413, "body_too_large")
    assert inbox(tasks) == {}


def test_a_task_that_nobody_asked_for_is_unknown_whatever_it_is_called(service, monkeypatch):
    for name in ("none", "a b", "..%5C..", "%27%3B--", "%F0%9F%91%9F"):
        said = service.get(f"{TASKS}/{name}")
        assert (said.status_code, said.json()["code"]) == (404, "unknown_task"), name
    monkeypatch.setenv("IMAGES_REQUESTS_BUCKET", "no-such-bucket")
    assert service.get(f"{TASKS}/none").status_code == 404


def test_of_requests_at_once_under_one_name_one_is_taken(service, writer, tasks):
    ready = threading.Barrier(8)

    def post(number: int):
        ready.wait()
        asked = {"task": "one", "limit": 1 + number // 2}
        return service.post(TASKS, json=asked, headers=writer), asked

    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(post, range(8)))
    (held,) = inbox(tasks).values()
    won = json.loads(held)
    for response, asked in said:
        assert response.status_code == (202 if asked == won else 409), response.text


def test_a_refused_request_makes_way_for_a_right_one_and_that_for_no_other(service, writer, tasks):
    (request,) = tasks.request("theirs.json", {"task": "later", "gender": "Unisex"})
    tasks.run(REQUESTS, request, raises=False)
    refused = service.post(f"{TASKS}/later/retry", headers=writer)
    assert (refused.status_code, refused.json()["code"]) == (409, "wrong_state")
    # Refused in a second that is over.
    tasks.execute("UPDATE images.image_task SET requested_at = requested_at - interval '5 seconds'")
    right = {"task": "later", "gender": "Men"}
    assert service.post(TASKS, json=right, headers=writer).status_code == 202
    assert service.post(TASKS, json=right, headers=writer).status_code == 202
    other = service.post(TASKS, json={"task": "later", "gender": "Women"}, headers=writer)
    assert other.json()["code"] == "name_taken"
    assert taken(tasks) == "later"
    assert service.get(f"{TASKS}/later").json()["state"] == "done_with_skips"
