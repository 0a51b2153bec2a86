"""The asset of a task's predictions, on real servers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg
import pytest

from assets.images.classifier import stored
from assets.images.classifier.assets import task_predictions
from assets.images.pipeline import REQUESTS
from resources.classifier import ClassifierResource
from tests.integration.images.test_classifier import World, filled, world
from tests.unit.assets.images.classifier.drawn import picture

__all__ = ["filled", "world"]

pytestmark = pytest.mark.servers("postgres", "s3")


def _run(world: World, task_id: str, *, url: str = "", raises: bool = True) -> Mapping[str, Any]:
    """What the asset shows of a task; empty where it fails."""
    with dg.instance_for_test() as instance:
        instance.add_dynamic_partitions(REQUESTS.partition_set or "", [task_id])
        result = dg.materialize(
            [task_predictions],
            resources={**world.resources(), "classifier": ClassifierResource(url=url)},
            partition_key=task_id,
            instance=instance,
            raise_on_error=raises,
        )
        events = result.asset_materializations_for_node("images__task_predictions")
        return {name: value.value for event in events for name, value in event.metadata.items()}


def test_a_task_shows_what_the_model_sees(filled: World) -> None:
    filled.retrain()
    task_id = filled.task({number: picture(number) for number in range(100, 110)})
    shown = _run(filled, task_id)
    assert (shown["rows_written"], shown["rows_already_there"], shown["unreadable"]) == (10, 0, 0)
    assert shown["labels"].startswith("![What the model sees")
    rows = filled.rows(task_id)
    again = _run(filled, task_id)
    assert (again["rows_written"], again["rows_already_there"]) == (10, 10)
    assert filled.rows(task_id) == rows


def test_nothing_is_asked_of_a_task_that_did_not_ask(filled: World) -> None:
    task_id = filled.task({100: picture(100)}, predict=False)
    assert _run(filled, task_id)["predictions"] == "not asked for"


def test_without_a_model_a_task_goes_on_and_its_next_run_adds_them(filled: World) -> None:
    task_id = filled.task({100: picture(100)})
    assert "no model was trained yet" in _run(filled, task_id)["predictions"]
    filled.retrain()
    assert _run(filled, task_id)["rows_written"] == 1


def test_a_model_that_does_not_fit_fails_the_task_and_says_why(filled: World) -> None:
    filled.store("models").put("other.onnx", b"no model")
    task_id = filled.task({100: picture(100)})
    url = f"s3://{filled.buckets['models']}/other.onnx"
    assert _run(filled, task_id, url=url, raises=False) == {}
    row = filled.connection.execute(
        "SELECT state, problems FROM images.image_task WHERE task_id = %s", (task_id,)
    ).fetchone()
    assert row is not None
    assert row[0] == "failed"
    assert "UnusableModelError: onnxruntime can't load it" in row[1][0]
    assert stored.latest(filled.store("models")) is None
