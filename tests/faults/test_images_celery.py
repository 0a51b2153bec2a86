"""Tasks cut into shards, by two Celery workers on a real RabbitMQ, whatever is killed meanwhile."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import amqp
import psutil
import psycopg
import pytest

from assets.images import answers
from assets.images.pipeline import REQUESTS
from assets.images.scaleout import sending, shards
from assets.images.scaleout.celery_app import sender
from assets.images.scaleout.worker import take_turn
from assets.images.tasks import attempt, ledger
from landing.arrival.requests import Request
from landing.batch.failures import PermanentError, classify
from tests import rabbitmq
from tests.faults.celery_workers import Worker, run_beside, wait_until, workers
from tests.integration.images.task_world import Tasks, photo, product

pytestmark = [pytest.mark.servers("postgres", "s3"), pytest.mark.xdist_group("images-celery")]

ITEMS, SHARD, SMALL = 156, 13, 26
SHARDS = ITEMS // SHARD
#: Much work on small images: a task takes some seconds.
PARAMETERS = {"size": 512, "rotate": 10, "blur": 2, "colour_jitter": 0.2, "flip": "random"}
_LOCAL: dict[str, bytes] = {}


@pytest.fixture
def tasks(env, broker, monkeypatch):
    for name, value in {
        "ENGINE": "celery", "BROKER_URL": broker.url, "SHARD_FROM": "20", "WORKERS": "1",
        "SHARD_ITEMS": str(SHARD), "SHARD_WINDOW": "4",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"IMAGES_{name}", value)
    found = Tasks(env)
    # The first ones are of another season, so that a small task can be asked for.
    found.stock(
        [product(n, season="Fall" if n > SMALL else "Winter") for n in range(1, ITEMS + 1)],
        {f"{n}.jpg": photo(n) for n in range(1, ITEMS + 1)},
    )
    return found


@pytest.fixture
def local(tasks, monkeypatch) -> dict[str, bytes]:
    """What this machine alone makes of the large task: each image by its name."""
    if not _LOCAL:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("IMAGES_ENGINE", "local")
            patch.setenv("IMAGES_WORKERS", "2")
            tasks.ask({"task": "local", "gender": "Men", "parameters": PARAMETERS})
        _LOCAL.update(tasks.made("local"))
        assert len(_LOCAL) == ITEMS
    return _LOCAL


@contextmanager
def running(tasks: Tasks, request: Request) -> Iterator[Future[Any]]:
    """The task's run, beside the block."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(tasks.run, REQUESTS, request)


def large(tasks: Tasks) -> Request:
    """A request for all that there is."""
    asked = {"task": "large", "gender": "Men", "parameters": PARAMETERS}
    (request,) = tasks.request("large.json", asked)
    return request


def settled(tasks: Tasks, task: str = "large") -> int:
    found = tasks.rows("SELECT settled FROM images.image_task WHERE task_id = %s", task)
    return found[0]["settled"] if found else 0


def held(tasks: Tasks) -> set[int]:
    with psycopg.connect(tasks.env["POSTGRES_URL"], autocommit=True) as connection:
        return set(shards.being_worked_on(connection, "large"))


def in_the_middle(tasks: Tasks, run: Future[Any] | None = None) -> None:
    """Wait until some of the large task is done and some is not."""

    def there() -> bool:
        assert run is None or not run.done(), f"it is over: {run and run.exception()}"
        return settled(tasks) > 0

    wait_until(there, 90)
    assert settled(tasks) < ITEMS


def require_whole(tasks: Tasks, local: dict[str, bytes], task: str = "large") -> None:
    """Every item has one outcome, every image is as one machine makes it, all sums are equal."""
    assert tasks.made(task) == local
    assert tasks.rows(
        """
        SELECT t.state, t.items, t.settled, count(i.status) AS outcomes, count(*) AS rows,
            count(*) FILTER (WHERE i.status = 'ok') AS ok
        FROM images.image_task AS t JOIN images.image_task_item AS i USING (task_id)
        WHERE t.task_id = %s GROUP BY t.task_id
        """,
        task,
    ) == [{"state": "done", "items": ITEMS, "settled": ITEMS, "outcomes": ITEMS, "rows": ITEMS,
           "ok": ITEMS}]  # fmt: skip
    assert tasks.result(task)["counts"] == {"ok": ITEMS}
    assert list(tasks.statuses(task).values()) == ["ok"] * ITEMS


def turns(found: list[Worker], ended: str) -> list[int]:
    """How many turns of each worker ended so."""
    return [one.told().count(f": {ended}") for one in found]


def test_two_workers_make_what_one_machine_makes(tasks, local, tmp_path):
    with workers(tmp_path, by_command=True) as found, running(tasks, large(tasks)) as run:
        in_the_middle(tasks, run)
        asked = {"task": "small", "season": "Winter", "parameters": PARAMETERS}
        (request,) = tasks.request("small.json", asked)
        assert tasks.run(REQUESTS, request).success
        assert run.result().success
        both = [one.told() for one in found]
    require_whole(tasks, local)
    assert tasks.made("small") == {f"{n}.jpg": local[f"{n}.jpg"] for n in range(1, SMALL + 1)}
    assert all(" images, " in told for told in both), "each tells how it gets on"
    assert tasks.value("SELECT count(*) FROM images.image_task_shard WHERE task_id = 'large'"
                       " AND failures = 0 AND error IS NULL") == SHARDS  # fmt: skip
    assert tasks.value("SELECT count(*) FROM images.image_task_shard"
                       " WHERE task_id = 'small'") == 2  # fmt: skip
    assert all("guest:guest" not in told for told in both)
    assert all(tasks.env["MINIO_SECRET_KEY"] not in told for told in both)


def test_a_worker_s_child_and_another_s_parent_are_killed(tasks, local, tmp_path):
    with workers(tmp_path) as (first, second), running(tasks, large(tasks)) as run:
        in_the_middle(tasks, run)
        wait_until(lambda: first.working() and second.working(), 30)
        child, makers = first.child(), first.working()
        child.kill()
        psutil.wait_procs([child, *makers], 5)
        assert not any(one.is_running() for one in (child, *makers)), "nothing is left of its turn"
        wait_until(first.working, 60)  # its parent has another child, that works

        everything = second.tree()
        assert len(everything) > 2
        second.kill()
        _, left = psutil.wait_procs(everything, 5)
        assert left == []
        assert run.result().success
    require_whole(tasks, local)


def test_the_broker_is_killed_and_started_again_in_the_middle(tasks, local, broker, tmp_path):
    with workers(tmp_path), running(tasks, large(tasks)) as run:
        in_the_middle(tasks, run)
        broker.kill()
        time.sleep(6)
        assert not run.done()
        broker.start()
        assert run.result().success
    require_whole(tasks, local)


def test_a_small_task_is_done_before_a_large_one_that_came_first(tasks, tmp_path):
    # Each of its images takes so long that the small one's run can begin and end meanwhile.
    slow = {"size": 1_600, "format": "png", "blur": 20}
    (request,) = tasks.request("l.json", {"task": "large", "gender": "Men", "parameters": slow})
    with workers(tmp_path), running(tasks, request) as run:
        in_the_middle(tasks, run)
        (small,) = tasks.request("s.json", {"task": "small", "season": "Winter"})
        assert tasks.run(REQUESTS, small).success
        assert tasks.result("small")["counts"] == {"ok": SMALL}
        assert not run.done(), "the large one was first"
        with psycopg.connect(tasks.env["POSTGRES_URL"]) as connection:
            answers.cancel(connection, "large")
        assert run.result().success
    assert 0 < settled(tasks) < ITEMS


def test_a_worker_s_machine_is_suspended(tasks, local, tmp_path, monkeypatch):
    monkeypatch.setattr(sending, "LONGEST_TURN", 12.0)
    with workers(tmp_path) as (first, second), running(tasks, large(tasks)) as run:
        in_the_middle(tasks, run)
        wait_until(first.working, 30)
        suspended = []
        for one in first.tree():
            # Its parents do not move any more; who ended before has left nobody behind.
            with suppress(psutil.NoSuchProcess):
                one.suspend()
                suspended.append(one)
        assert run.result().success  # by the other alone
        before = tasks.listed("large")
        for one in suspended:
            with suppress(psutil.NoSuchProcess):
                one.resume()
        wait_until(lambda: "AdminShutdown" in first.told() or not first.working(), 30)
        assert second.process.poll() is None
    require_whole(tasks, local)
    assert tasks.listed("large").keys() == before.keys()


def test_the_run_is_killed_and_run_again_while_workers_work(tasks, local, tmp_path):
    request = large(tasks)
    with workers(tmp_path), run_beside(request.partition_key, request.batch_id) as first:
        in_the_middle(tasks)
        first.kill()
        assert held(tasks), "workers go on without it"
        made = settled(tasks)
        assert tasks.run(REQUESTS, request).success
        assert made < ITEMS
    require_whole(tasks, local)


def test_shards_are_delivered_twice_and_more(tasks, local, tmp_path):
    send = sender()
    with workers(tmp_path) as found, running(tasks, large(tasks)) as run:
        in_the_middle(tasks, run)
        for _ in range(2):
            for number in range(SHARDS):
                send("large", number, 9)
        assert run.result().success
        before = tasks.listed("large")
        for number in (0, 1, SHARDS, 10**6):
            send("large", number, 9)
            send("nobody's", number, 9)
        wait_until(lambda: sum(turns(found, "gone")) == 6, 30)
    require_whole(tasks, local)
    assert tasks.listed("large") == before


def test_one_shard_by_two_at_once_is_worked_on_by_one(tasks):
    request = large(tasks)
    with running(tasks, request) as run:
        wait_until(lambda: tasks.value("SELECT count(*) FROM images.image_task_shard"), 60)
        with ThreadPoolExecutor(2) as pool:
            both = list(pool.map(lambda _: take_turn("large", 3), range(2)))
        assert sorted(both) == ["held", "worked"]
        assert settled(tasks) == SHARD
        assert take_turn("large", 3) == "worked"  # there is nothing to do
        assert settled(tasks) == SHARD
        with psycopg.connect(tasks.env["POSTGRES_URL"]) as connection:
            assert answers.cancel(connection, "large")
        assert run.result().success
    assert tasks.result("large")["state"] == "cancelled"
    assert take_turn("large", 4) == "not wanted"
    assert len(tasks.made("large")) == SHARD


def test_a_cancelled_task_ends_and_goes_on_when_resumed(tasks, local, tmp_path):
    with workers(tmp_path), running(tasks, large(tasks)) as run:
        in_the_middle(tasks, run)
        with psycopg.connect(tasks.env["POSTGRES_URL"]) as connection:
            assert answers.cancel(connection, "large")
        assert run.result(30).success
        assert tasks.result("large")["state"] == "cancelled"
        assert held(tasks) == set()
        assert 0 < settled(tasks) < ITEMS
        with psycopg.connect(tasks.env["POSTGRES_URL"]) as connection:
            assert answers.resume(connection, "large")
        assert tasks.again("large").success
    require_whole(tasks, local)


def test_a_request_that_replaces_one_whose_shards_are_still_worked_on(tasks, tmp_path):
    request = large(tasks)
    with workers(tmp_path), run_beside(request.partition_key, request.batch_id) as first:
        in_the_middle(tasks)
        first.kill()
        tasks.execute("UPDATE landing.batch SET state = 'failed_permanent' WHERE unit = 'large'")
        # Other products under the same numbers, and other images.
        other = {"task": "large", "season": "Fall", "parameters": {"size": 32}}
        (again,) = tasks.request("other.json", other)
        assert held(tasks)
        assert tasks.run(REQUESTS, again).success
        made = tasks.made("large")
        time.sleep(3)  # nobody writes any more
        assert tasks.made("large") == made
    assert set(made) == {f"{n}.jpg" for n in range(SMALL + 1, ITEMS + 1)}
    assert all(row["width"] == "32" for row in tasks.metadata_rows("large"))
    assert settled(tasks) == ITEMS - SMALL


def test_a_shard_at_which_workers_fail_ends_the_attempt_and_says_why(tasks, monkeypatch):
    def refuse(*_: Any) -> None:
        raise PermanentError("not today")

    with monkeypatch.context() as patch:
        patch.setattr(attempt, "attempt", refuse)
        assert not tasks.run(REQUESTS, large(tasks), raises=False).success
    monkeypatch.setattr(sending, "RESEND", 0.1)
    with psycopg.connect(tasks.env["POSTGRES_URL"], autocommit=True) as connection:
        assert ledger.begin(connection, "large")
        task = ledger.task(connection, "large")
        sent = list[int]()

        def fail(task_id: str, number: int, _: int) -> None:
            sent.append(number)
            shards.begin(connection, task_id, number)
            shards.end(connection, task_id, number, "StoreFailed: no such bucket" * (number < 1))

        with pytest.raises(sending.ShardFailedError, match="3 workers failed at shard 0: StoreF"):
            sending.oversee(
                connection, task, fail, logging.getLogger(), shard_items=SHARD, window=2
            )
        assert sent == [0, 1] * sending.MOST_FAILURES
        # The next attempt finds the shards as they are, whatever their size is now, and no failure.
        shards.cut(connection, "large", ITEMS, 10)
        found = shards.waiting(connection, "large")
        assert [(one.number, one.failures) for one in found] == [(n, 0) for n in range(SHARDS)]


def test_what_the_broker_says_no_to_is_told_apart_from_its_absence(broker, monkeypatch):
    monkeypatch.setenv("IMAGES_BROKER_URL", broker.url.replace("guest@", "wrong@"))
    with pytest.raises(sending.BrokerRefusesError, match="ACCESS_REFUSED") as refused:
        sender()("t", 1, 9)
    assert classify(refused.value) == "permanent"
    assert "wrong" not in str(refused.value)

    nobody = rabbitmq.RabbitMq(Path())
    monkeypatch.setenv("IMAGES_BROKER_URL", nobody.url)
    started = time.monotonic()
    with pytest.raises(sending.BrokerAwayError) as away:
        sender()("t", 1, 9)
    assert classify(away.value) == "transient"
    assert time.monotonic() - started < 15

    monkeypatch.delenv("IMAGES_BROKER_URL")
    with pytest.raises(sending.NoBrokerError, match="IMAGES_BROKER_URL"):
        sender()


def test_a_queue_that_is_declared_otherwise_is_said(broker, monkeypatch):
    with amqp.Connection(f"127.0.0.1:{broker.port}") as connection:
        channel = connection.channel()
        channel.queue_delete("images")
        channel.queue_declare("images", durable=True, auto_delete=False)
        monkeypatch.setenv("IMAGES_BROKER_URL", broker.url)
        with pytest.raises(sending.BrokerRefusesError, match="x-max-priority"):
            sender()("t", 1, 9)
        channel.queue_delete("images")
    sender()("t", 1, 9)
