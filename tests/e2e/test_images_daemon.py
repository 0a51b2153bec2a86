"""Images under a real daemon: twenty requests at once, and a backfill that changes nothing."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from local.service import REPOSITORY
from tests import processes
from tests.e2e.campaign_daemon import CampaignDaemon, campaign_daemon
from tests.integration.images.task_world import HEADER, Tasks, photo, product

pytestmark = [pytest.mark.servers("postgres", "s3"), pytest.mark.xdist_group("daemon")]

PRODUCTS, SMALL_TASKS, SMALL = 800, 19, 5
LARGE = "large"


def requests() -> dict[str, dict[str, Any]]:
    """By task: one for all products with much work on each, others for five products."""
    heavy = {"size": 640, "rotate": 10, "blur": 2, "colour_jitter": 0.2}
    small = {
        f"small-{number:02}": {"ids": list(range(number * SMALL + 1, (number + 1) * SMALL + 1))}
        for number in range(SMALL_TASKS)
    }
    found: dict[str, dict[str, Any]] = {LARGE: {"gender": "Men", "parameters": heavy}, **small}
    return {name: {"task": name, **asked} for name, asked in found.items()}


def tasks_done(tasks: Tasks) -> dict[str, Any]:
    rows = tasks.rows("SELECT task_id, finished_at FROM images.image_task WHERE state = 'done'")
    return {row["task_id"]: row["finished_at"] for row in rows}


def everything(tasks: Tasks, names: list[str]) -> dict[str, tuple[int, object, str]]:
    """Every object of the tasks: size, time and digest."""
    return {
        f"{task}/{name}": (
            *version, hashlib.sha256(tasks.results.get(f"{task}/{name}")).hexdigest()
        )
        for task in names
        for name, version in tasks.listed(task).items()
    }  # fmt: skip


def succeeded(daemon: CampaignDaemon) -> Counter[str]:
    """Runs that ended well, by task."""
    with daemon.instance as instance:
        runs = instance.get_runs(
            dg.RunsFilter(job_name="images", statuses=[dg.DagsterRunStatus.SUCCESS])
        )
    return Counter(run.tags["dagster/partition"] for run in runs)


@pytest.mark.timeout(1_200)
def test_twenty_requests_at_once_and_a_backfill(env, tmp_path: Path, monkeypatch) -> None:
    # The large task takes as long as twice as many images would with two.
    monkeypatch.setenv("IMAGES_WORKERS", "1")
    tasks, asked = Tasks(env), requests()
    numbers = range(1, PRODUCTS + 1)
    tasks.put({f"images/{number}.jpg": photo(number) for number in numbers})
    catalogue = "\n".join((HEADER, *(product(number) for number in numbers), ""))
    tasks.put({"styles.csv": catalogue.encode()})
    with campaign_daemon(env, tmp_path / "logs", job="images") as daemon:
        stocked = "SELECT (SELECT count(*) FROM images.product) + count(*) FROM images.image"
        daemon.wait("catalogue and images", lambda: tasks.value(stocked) == 2 * PRODUCTS)

        store = tasks.store("IMAGES_REQUESTS_BUCKET")
        for name, request in asked.items():
            store.put(f"{name}.json", json.dumps(request).encode())
        daemon.wait("all tasks", lambda: len(tasks_done(tasks)) == len(asked), 600)
        ended = tasks_done(tasks)
        assert max(ended, key=lambda name: ended[name]) == LARGE
        for name in asked:
            expected = PRODUCTS if name == LARGE else SMALL
            assert tasks.result(name)["counts"] == {"ok": expected}
            assert len(tasks.metadata_rows(name)) == expected
        daemon.wait("all runs", lambda: succeeded(daemon) == dict.fromkeys(asked, 1))
        before = everything(tasks, list(asked))
        assert len(before) == PRODUCTS + SMALL_TASKS * SMALL + 3 * len(asked)

        # As docs/images.md has it.
        processes.output_of(
            [
                Path(sys.executable).with_name("dagster"), "job", "backfill",
                "-w", REPOSITORY / "workspace.yaml",
                "--job", "images", "--all", "all", "--noprompt",
            ],
            env={**os.environ, "QUINTET_PIPELINES": "images"},
            cwd=tmp_path,
            timeout=180,
        )  # fmt: skip
        daemon.wait("all again", lambda: succeeded(daemon) == dict.fromkeys(asked, 2), 600)
        assert everything(tasks, list(asked)) == before
