"""Killed with -9 anywhere in an image task: the next run leaves what an undisturbed one leaves."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from assets.images.pipeline import REQUESTS
from tests.faults.images_end_state import left, undo
from tests.faults.images_kills import POINTS, SOME, run_up_to
from tests.forks import exit_code_of
from tests.integration.images.task_world import Tasks, photo, product

pytestmark = pytest.mark.servers("postgres", "s3")

ITEMS = 40
#: Of the last items one is cut off, one a page, one has no image.
GOOD = ITEMS - 3
ASKED = {"task": "mine", "gender": "Men", "parameters": {"seed": 5, "flip": "random"}}
_UNDISTURBED: dict[str, Any] = {}


@pytest.fixture
def tasks(env, monkeypatch):
    monkeypatch.setenv("IMAGES_WORKERS", "2")
    found = Tasks(env)
    images = {f"{n}.jpg": photo(n) for n in range(1, GOOD + 1)}
    images[f"{GOOD + 1}.jpg"] = photo(GOOD + 1)[:-100]
    images[f"{GOOD + 2}.jpg"] = b"<!doctype html><p>not found"
    found.stock([product(n) for n in range(1, ITEMS + 1)], images)
    return found


@pytest.fixture
def undisturbed(tasks) -> dict[str, Any]:
    """What the same request leaves when nobody kills anything; it is made once."""
    if not _UNDISTURBED:
        tasks.ask(ASKED)
        _UNDISTURBED.update(left(tasks))
        undo(tasks)
    return _UNDISTURBED


def put_by(point: str) -> int:
    """Images that are in the bucket at least when the run dies."""
    if point == "images: some put, none told":
        return SOME
    return 0 if point.startswith(("request", "items")) else SOME


@pytest.mark.parametrize("point", POINTS)
def test_killed_and_run_again(tasks, undisturbed, point):
    (request,) = tasks.request("ask.json", ASKED)

    code = exit_code_of(run_up_to, point, request.partition_key, request.batch_id)

    assert code == -signal.SIGKILL
    made = tasks.made("mine")
    assert len(made) >= put_by(point)
    assert made.items() <= undisturbed["objects"].items()
    assert ("result.json" in tasks.listed("mine")) == (point == "result: written")
    before = tasks.listed("mine")

    assert tasks.run(REQUESTS, request).success

    found = left(tasks)
    assert set(found["objects"]) == set(undisturbed["objects"])
    for what, expected in undisturbed.items():
        assert found[what] == expected, what
    assert found["task"][0]["settled"] == ITEMS
    after = tasks.listed("mine")
    if point.startswith(("images: all told", "metadata", "result")):
        # What Postgres knows of is not written again.
        assert {name: after[name] for name in made} == {name: before[name] for name in made}

    tasks.again("mine")
    assert tasks.listed("mine") == after
    assert left(tasks) == found
