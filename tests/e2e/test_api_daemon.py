"""An image request through the service under a real daemon, up to the image that comes back."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import psycopg
import pytest
from PIL import Image, ImageStat
from starlette.testclient import TestClient

from api import keys
from api.app import create_app
from tests.e2e.campaign_daemon import campaign_daemon
from tests.integration.images.task_world import HEADER, Tasks, photo, product

pytestmark = [pytest.mark.servers("postgres", "s3"), pytest.mark.xdist_group("daemon")]

TASKS = "/v1/images/tasks"
ASKED: dict[str, Any] = {
    "gender": "Men",
    "operation": "transform",
    "parameters": {"size": [48, 32], "crop": 0.9},
}
GENDERS = {1: "Men", 2: "Women", 3: "Men", 4: "Men", 5: "Men", 6: "Women"}
BROKEN = 4
#: Of the product 5 there is none.
IMAGES = {number: photo(number) for number in (1, 2, 3, 6)} | {BROKEN: photo(4)[:400]}
OUTCOMES = {1: "ok", 3: "ok", 4: "corrupt", 5: "missing"}


@pytest.mark.timeout(600)
def test_a_request_is_followed_from_the_service_to_its_images(env, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("IMAGES_WORKERS", "1")
    monkeypatch.setenv("QUINTET_PIPELINES", "images")
    tasks = Tasks(env)
    with psycopg.connect(env["POSTGRES_URL"], autocommit=True) as connection:
        key = keys.make(connection, "tests", ["read", "write"], requests_per_minute=100_000)
    tasks.put({f"images/{number}.jpg": data for number, data in IMAGES.items()})
    lines = (product(number, gender) for number, gender in GENDERS.items())
    tasks.put({"styles.csv": "\n".join((HEADER, *lines, "")).encode()})
    with (
        campaign_daemon(env, tmp_path / "logs", job="images") as daemon,
        TestClient(create_app(), headers={"Authorization": f"Bearer {key}"}) as service,
    ):
        stocked = "SELECT (SELECT count(*) FROM images.product) + count(*) FROM images.image"
        daemon.wait("stock", lambda: tasks.value(stocked) == len(GENDERS) + len(IMAGES))

        said = service.post(TASKS, json=ASKED)
        assert said.status_code == 202, said.text
        at = said.headers["location"]
        assert service.get(at).json()["state"] in {"submitted", "pending", "running"}
        done = daemon.wait("the task", lambda: ended(service.get(at).json()))
        assert (done["state"], done["items"]) == ("done_with_skips", len(OUTCOMES))
        assert done["counts"] == {"ok": 2, "corrupt": 1, "missing": 1}

        for number, outcome in OUTCOMES.items():
            image = service.get(f"{at}/items/{number}/image", params={"proxied": True})
            if outcome != "ok":
                assert (image.status_code, image.json()["item_status"]) == (404, outcome)
                continue
            with Image.open(io.BytesIO(image.content)) as made:
                made.load()
                assert (made.size, made.format) == ((48, 32), "JPEG")
            # Of this product's picture, and no other's: the mean colour tells.
            assert nearest(image.content) == number

        rows = list(csv.DictReader(io.StringIO(service.get(f"{at}/manifest").text, newline="")))
        assert {int(row["id"]): row["status"] for row in rows} == OUTCOMES

        again = service.post(TASKS, json=ASKED)
        assert (again.status_code, again.json()["task_id"]) == (200, done["task_id"])


def ended(task: dict[str, Any]) -> dict[str, Any] | None:
    """The task, once it is done."""
    return task if task["state"].startswith("done") else None


def colour(data: bytes) -> list[float]:
    """The mean one."""
    with Image.open(io.BytesIO(data)) as image:
        return list(ImageStat.Stat(image.convert("RGB")).mean)


def nearest(data: bytes) -> int:
    """The product whose picture has the colour that is most like this one's."""
    mine = colour(data)
    whole = {number: colour(one) for number, one in IMAGES.items() if number != BROKEN}
    return min(whole, key=lambda n: sum((a - b) ** 2 for a, b in zip(mine, whole[n], strict=True)))
