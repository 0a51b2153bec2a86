"""Killed with -9 while a task's results are predicted: the next run leaves what an undisturbed one
leaves, also of a task that was done before there was any model."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from assets.images.pipeline import REQUESTS
from tests.faults.images_end_state import left, undo
from tests.faults.images_kills import SOME, run_up_to
from tests.forks import exit_code_of
from tests.integration.images.task_world import Tasks
from tests.unit.assets.images.classifier import drawn

pytestmark = pytest.mark.servers("postgres", "s3")

#: Enough to learn from; the last one has no image.
ITEMS = 61
ASKED = {"task": "mine", "gender": "Men", "predict": True, "parameters": {"crop": 1}}
#: Predictions that are there when a run has died.
THERE = {
    "predictions: none committed": 0,
    "predictions: some told": SOME,
    "predictions: all told": ITEMS - 1,
}

#: The model's objects, trained once, and what an undisturbed task leaves.
_MODEL: dict[str, bytes] = {}
_UNDISTURBED: dict[str, Any] = {}


def line(number: int) -> str:
    article, colour = drawn.product(number)
    return f"{number},Men,{drawn.SHAPES[article]},Some,{article},{colour},Fall,2010,Casual,It"


@pytest.fixture
def tasks(env, monkeypatch) -> Tasks:
    monkeypatch.setenv("IMAGES_WORKERS", "2")
    found = Tasks(env)
    found.stock(
        [line(n) for n in range(1, ITEMS + 1)],
        {f"{n}.jpg": drawn.picture(n) for n in range(1, ITEMS)},
    )
    return found


def trained(tasks: Tasks) -> None:
    """Publish the model of the pictures."""
    models = tasks.store("IMAGES_MODELS_BUCKET")
    if not _MODEL:
        tasks.train()
        listed = models.list_page("", None, 100).objects
        _MODEL.update({one.key: models.get(one.key) for one in listed})
    for key, data in _MODEL.items():
        models.put(key, data)


@pytest.fixture
def undisturbed(tasks) -> dict[str, Any]:
    """What the same request leaves when nobody kills anything; it is made once."""
    if not _UNDISTURBED:
        trained(tasks)
        tasks.ask(ASKED)
        _UNDISTURBED.update(left(tasks))
        models = tasks.store("IMAGES_MODELS_BUCKET")
        for key in _MODEL:
            models.delete(key)
        undo(tasks)
    return _UNDISTURBED


def written(tasks: Tasks) -> dict[int, str]:
    """Predictions by their items, and which transaction wrote each."""
    rows = tasks.rows("SELECT number, xmin::text AS by FROM images.image_task_prediction")
    return {row["number"]: row["by"] for row in rows}


@pytest.mark.parametrize(
    ("point", "late"),
    [
        ("predictions: some told", False),
        # Of a task that is done, with files that do not tell of predictions.
        ("predictions: none committed", True),
        ("predictions: all told", True),
    ],
)
def test_killed_and_run_again(tasks, undisturbed, point, late):
    (request,) = tasks.request("ask.json", ASKED)
    if late:
        assert tasks.run(REQUESTS, request).success
        assert {row["predicted_by"] for row in tasks.metadata_rows("mine")} == {""}
        before = tasks.listed("mine")
    trained(tasks)

    code = exit_code_of(run_up_to, point, request.partition_key, None if late else request.batch_id)

    assert code == -signal.SIGKILL
    made = written(tasks)
    assert sorted(made) == list(range(1, THERE[point] + 1))
    assert ("metadata.csv" in tasks.listed("mine")) == late
    if late:
        assert tasks.listed("mine") == before, "the client's files are those that were told"

    if late:
        assert tasks.again("mine").success
    else:
        assert tasks.run(REQUESTS, request).success

    found = left(tasks)
    assert set(found["objects"]) == set(undisturbed["objects"])
    for what, expected in undisturbed.items():
        assert found[what] == expected, what
    assert len(found["predictions"]) == ITEMS - 1
    seen = [row["predicted_by"] != "" for row in tasks.metadata_rows("mine")]
    assert seen == [True] * (ITEMS - 1) + [False]
    after, told = tasks.listed("mine"), written(tasks)
    assert made.items() <= told.items(), "what was told is not told again"

    tasks.again("mine")
    assert (tasks.listed("mine"), written(tasks)) == (after, told)
    assert left(tasks) == found
