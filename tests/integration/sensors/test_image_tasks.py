"""Image tasks whose run has ended without a word: their clients are told, others are left alone."""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg
import psycopg
import pytest
from dagster._core.errors import DagsterExecutionInterruptedError

from assets.images import answers, assets
from assets.images.pipeline import REQUESTS
from assets.images.settings import ImagesSettings
from landing.stores.minio import MinioStore
from resources.minio import MinioResource
from resources.postgres import PostgresResource
from sensors.image_tasks import image_task_endings
from tests.integration.images.task_world import Tasks, photo, product

pytestmark = pytest.mark.servers("postgres", "s3")

STATUS = dg.DagsterRunStatus


@pytest.fixture
def instance(env) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.get() as opened:
        yield opened


@pytest.fixture
def tasks(env, monkeypatch) -> Tasks:
    """A task as a run leaves it that ends once its items are decided."""
    monkeypatch.setenv("IMAGES_WORKERS", "1")
    found = Tasks(env)
    found.stock([product(1), product(2)], {"1.jpg": photo(1)})
    found.ask({"task": "mine", "gender": "Men"})
    for name in found.listed("mine"):
        found.results.delete(f"mine/{name}")
    found.execute(
        "UPDATE images.image_task SET state = 'running', finished_at = NULL, files = NULL,"
        " settled = 1; UPDATE images.image_task_item SET status = NULL WHERE status = 'ok'"
    )
    return found


def batch(tasks: Tasks, state: str) -> None:
    tasks.execute(
        f"UPDATE landing.batch SET state = '{state}', error = 'ask an operator' WHERE unit = 'mine'"
    )


def run(instance: dg.DagsterInstance, status: dg.DagsterRunStatus) -> None:
    """Another run of the task, in this state."""
    tags = {"dagster/partition": "mine"}
    instance.add_run(dg.DagsterRun(REQUESTS.job, status=status, tags=tags))


def tick(tasks: Tasks, instance: dg.DagsterInstance) -> str | None:
    env = tasks.env
    resources = {
        "postgres": PostgresResource(url=env["POSTGRES_URL"]),
        "minio": MinioResource(
            endpoint=env["MINIO_ENDPOINT"],
            access_key=env["MINIO_ACCESS_KEY"],
            secret_key=env["MINIO_SECRET_KEY"],
        ),
        "images": ImagesSettings.current(),
    }
    with dg.build_sensor_context(instance=instance, resources=resources) as context:
        return image_task_endings(context).skip_message


def state(tasks: Tasks) -> str:
    found: str = tasks.value("SELECT state FROM images.image_task")
    return found


def test_what_goes_on_or_will_by_itself_is_left_alone(tasks, instance):
    for going_on in ("pending", "requested", "running", "failed_transient", "waiting"):
        batch(tasks, going_on)
        assert tick(tasks, instance) == "No task is left alone."
    batch(tasks, "failed_permanent")
    for status in (STATUS.NOT_STARTED, STATUS.STARTING, STATUS.STARTED, STATUS.CANCELING):
        run(instance, status)  # a person's
        run(instance, STATUS.FAILURE)
        assert tick(tasks, instance) == "No task is left alone."
        instance.wipe()
    assert (state(tasks), "result.json" in tasks.listed("mine")) == ("running", False)


@pytest.mark.parametrize(
    ("left", "ended", "problems"),
    [
        (("failed_permanent", STATUS.CANCELED), "cancelled", None),
        (("failed_permanent", STATUS.FAILURE), "failed", ["ask an operator"]),
        (
            # A person's run of a task that was done before.
            ("loaded", STATUS.FAILURE),
            "failed",
            ["its run ended in the middle: run its partition again, which goes on"],
        ),
    ],
)
def test_the_client_is_told_and_the_next_run_goes_on(tasks, instance, left, ended, problems):
    batch(tasks, left[0])
    run(instance, left[1])

    assert tick(tasks, instance) == "ended: mine"

    result = tasks.result("mine")
    assert (result["state"], result.get("problems")) == (ended, problems)
    assert (result["requested"], result["counts"]) == (2, {"missing": 1})
    assert state(tasks) == ended
    before = tasks.listed("mine")
    assert tick(tasks, instance) == "No task is left alone."
    assert tasks.listed("mine") == before

    tasks.again("mine")
    assert tasks.result("mine")["counts"] == {"ok": 1, "missing": 1}
    assert tick(tasks, instance) == "No task is left alone."
    assert tasks.result("mine")["state"] == "done_with_skips"


def test_one_that_an_operator_cancelled_is_cancelled_and_left_alone_when_resumed(tasks, instance):
    batch(tasks, "failed_permanent")
    with psycopg.connect(tasks.env["POSTGRES_URL"], autocommit=True) as connection:
        assert answers.cancel(connection, "mine")
        assert tick(tasks, instance) == "ended: mine"
        assert tasks.result("mine")["state"] == "cancelled"
        assert answers.resume(connection, "mine")
    assert tick(tasks, instance) == "No task is left alone."
    assert state(tasks) == "pending"


def test_a_client_that_could_not_be_told_is_told_later(tasks, instance, monkeypatch):
    batch(tasks, "failed_permanent")

    def refuse(*_, **__):
        raise ConnectionError("the store is away")

    with monkeypatch.context() as patch:
        patch.setattr(MinioStore, "put", refuse)
        with pytest.raises(ConnectionError):
            tick(tasks, instance)
    assert state(tasks) == "running"
    assert tick(tasks, instance) == "ended: mine"
    assert tasks.result("mine")["state"] == "failed"


def test_a_run_that_is_interrupted_tells_the_client_at_once(tasks):
    postgres = PostgresResource(url=tasks.env["POSTGRES_URL"])
    with (
        pytest.raises(DagsterExecutionInterruptedError),
        assets._task(postgres, tasks.results, "mine"),
    ):
        raise DagsterExecutionInterruptedError
    assert (state(tasks), tasks.result("mine")["state"]) == ("cancelled", "cancelled")

    tasks.again("mine")
    assert tasks.result("mine")["state"] == "done_with_skips"
