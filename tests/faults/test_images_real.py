"""The 2,000 real images through a task, by any number of processes here and by Celery's workers."""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from PIL import Image

from assets.images.pipeline import REQUESTS
from tests.faults.celery_workers import Worker, workers
from tests.integration.images.task_world import Tasks

pytestmark = [
    pytest.mark.servers("postgres", "s3"),
    pytest.mark.xdist_group("images-celery"),
    pytest.mark.skipif("QUINTET_DATA_DIR" not in os.environ, reason="QUINTET_DATA_DIR is not set"),
]

IMAGES, WITHOUT_IMAGE, NO_PRODUCT = 2_000, 60, 10**9
SHARD = 520
PARAMETERS = {"seed": 7, "flip": "random"}
#: What differs from task to task of the same request.
OF_A_TASK = (
    "task", "request", "request_file", "requested_at", "started_at", "finished_at",
    "seconds_of_work",
)  # fmt: skip


def blake2b(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


@pytest.fixture
def folder() -> Path:
    return Path(os.environ["QUINTET_DATA_DIR"], "products")


@pytest.fixture
def files(folder) -> dict[int, bytes]:
    """The real images by their products' ids."""
    found = {int(path.stem): path.read_bytes() for path in (folder / "images").glob("*.jpg")}
    assert len(found) == IMAGES
    return found


@pytest.fixture
def lines(folder, files) -> dict[int, str]:
    """The catalogue's lines, by id, of products with an image and of some without."""
    text = (folder / "styles.csv").read_text(encoding="utf-8").splitlines()
    known = {int(line.split(",")[0]): line for line in text[1:]}
    without = [number for number in known if number not in files][:WITHOUT_IMAGE]
    return {number: known[number] for number in (*files, *without)}


@pytest.fixture
def tasks(env, files, lines) -> Tasks:
    found = Tasks(env)
    found.stock([*lines.values()], {f"{number}.jpg": data for number, data in files.items()})
    return found


@pytest.fixture
def celery(broker, tmp_path, monkeypatch) -> Callable[[], AbstractContextManager[list[Worker]]]:
    """Has tasks done by two workers of Celery's while its block lasts."""

    @contextmanager
    def by_celery() -> Iterator[list[Worker]]:
        for name, value in {
            "ENGINE": "celery", "BROKER_URL": broker.url, "WORKERS": "1", "SHARD_FROM": "1000",
            "SHARD_ITEMS": str(SHARD),
        }.items():  # fmt: skip
            monkeypatch.setenv(f"IMAGES_{name}", value)
        with workers(tmp_path) as found:
            yield found

    return by_celery


def left(tasks: Tasks, name: str) -> dict[str, Any]:
    """All objects of the task, by name; its result file without what is of that task alone."""
    names = list(tasks.listed(name))
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(tasks.results.get, [f"{name}/{one}" for one in names])
        objects: dict[str, Any] = dict(zip(names, found, strict=True))
    del objects["result.json"]
    told = tasks.result(name)
    objects["result.json"] = {one: told[one] for one in told if one not in OF_A_TASK}
    return objects


def require_recounted(objects: dict[str, Any], ids: list[int], files: dict[int, bytes]) -> None:
    """One row per product that was asked for, one image per good row, as it says."""
    images = {one: objects[one] for one in objects if one.endswith(".jpg")}
    assert set(images) == {f"{number}.jpg" for number in files}
    for data in images.values():
        with Image.open(io.BytesIO(data)) as opened:
            assert (opened.format, opened.size) == ("JPEG", (256, 256))
            opened.load()
    rows = list(csv.DictReader(io.StringIO(objects["metadata.csv"].decode(), newline="")))
    assert [int(row["id"]) for row in rows] == sorted(ids)
    counts = {"ok": IMAGES, "missing": WITHOUT_IMAGE + 1}
    assert Counter(row["status"] for row in rows) == counts
    frame = pl.read_parquet(io.BytesIO(objects["metadata.parquet"]))
    assert frame["id"].to_list() == sorted(ids)
    assert Counter(frame["status"]) == counts
    for row in rows:
        if row["status"] == "ok":
            made = images[row["path"]]
            assert row["path"] == f"{row['id']}.jpg"
            assert (row["bytes"], row["digest"]) == (str(len(made)), blake2b(made))
            assert row["source_digest"] == blake2b(files[int(row["id"])])
    told = objects["result.json"]
    assert (told["state"], told["requested"]) == ("done_with_skips", len(ids))
    assert told["counts"] == counts
    assert {name: one["sha256"] for name, one in told["files"].items()} == {
        name: hashlib.sha256(objects[name]).hexdigest()
        for name in ("metadata.csv", "metadata.parquet")
    }


def test_any_number_of_workers_here_and_celery_make_the_same(
    tasks, files, lines, celery, monkeypatch
):
    ids = [*lines, NO_PRODUCT]

    def ask(name: str) -> dict[str, Any]:
        tasks.ask({"task": name, "ids": ids, "parameters": PARAMETERS}, f"{name}.json")
        return left(tasks, name)

    made = dict[str, dict[str, Any]]()
    for count in (1, 2):
        monkeypatch.setenv("IMAGES_WORKERS", str(count))
        made[f"by-{count}"] = ask(f"by-{count}")
    with celery() as found:
        made["by-celery"] = ask("by-celery")
        turns = [one.told().count(": worked") for one in found]

    assert min(turns) > 0, "both workers had shards"
    assert sum(turns) == -(-len(ids) // SHARD)
    assert tasks.value("SELECT count(*) FROM images.image_task_shard") == sum(turns)
    require_recounted(made["by-1"], ids, files)
    for name, objects in made.items():
        assert objects.keys() == made["by-1"].keys()
        assert [one for one in objects if objects[one] != made["by-1"][one]] == [], name
    settled = tasks.rows("SELECT DISTINCT state, items, settled FROM images.image_task")
    total = len(ids)
    assert settled == [{"state": "done_with_skips", "items": total, "settled": total}]
    assert tasks.counts(REQUESTS)["written"] == len(made)
