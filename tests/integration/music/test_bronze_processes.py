"""Bronze in several processes: the same rows, and no trouble outlives the one that it befell."""

from __future__ import annotations

import os
import signal
import sys
import time

import psutil
import pytest

from assets.frame.worker import Worker
from assets.music.bronze import parallel_reading
from landing.batch.failures import PermanentError, TransientError
from local.process import alive
from resources.minio_client import Access
from tests import processes
from tests.integration.music.bronze_world import BronzeWorld, minio_of
from tests.integration.music.test_bronze_files import as_list, song

pytestmark = pytest.mark.servers("postgres", "s3")

FILES = {f"{n:03d}.json": as_list(song(f"Song {n}"), song("Shared", year=1900 + n))
         for n in range(60)}  # fmt: skip


@pytest.fixture(autouse=True)
def at_any_size(monkeypatch):
    monkeypatch.setattr(parallel_reading, "FEWEST_OBJECTS", 1)


@pytest.fixture
def world(env) -> BronzeWorld:
    return BronzeWorld(env)


def children(pid: int | None = None) -> list[psutil.Process]:
    return [p for p in psutil.Process(pid).children(recursive=True)
            if alive(p) and "parallel_reading" in " ".join(p.cmdline())]  # fmt: skip


def check(world, batch):
    assert world.copies() == FILES
    staged = world.staged(batch)
    assert len(staged) == len(world.records()) == 120
    years = staged.filter(staged["title"] == "Shared")["year"].to_list()
    assert years == list(range(1900, 1960))
    order = staged["seq"].to_list()
    assert order == sorted(order), "as the batch has them"
    assert children() == []


def test_the_same_rows_in_the_same_order(world):
    batch = world.batch(FILES)
    world.validate(batch, access=minio_of(world.env).access)
    check(world, batch)
    world.loaded(batch)
    world.remove(batch)
    first = world.staged(batch)
    for key in world.contents(world.processed, "staging/"):
        world.processed.delete(key)
    world.validate(batch, access=minio_of(world.env).access)
    assert world.staged(batch).equals(first), "from the copies"


def test_a_reading_process_that_dies_is_a_transient_failure(world, monkeypatch):
    batch = world.batch(FILES)
    original, count = Worker.next, [0]

    def murdered(self):
        count[0] += 1
        if count[0] == 20:
            self._process.kill()
        return original(self)

    monkeypatch.setattr(Worker, "next", murdered)
    with pytest.raises(TransientError, match="ended with status -9"):
        world.validate(batch, access=minio_of(world.env).access)
    assert children() == []
    assert world.records() == {}
    monkeypatch.undo()
    monkeypatch.setattr(parallel_reading, "FEWEST_OBJECTS", 1)
    world.validate(batch, access=minio_of(world.env).access)
    check(world, batch)


def test_what_a_reading_process_cannot_do_is_said_with_its_class(world):
    batch = world.batch(FILES)
    access = minio_of(world.env).access
    wrong = Access(access.endpoint, access.access_key, "wrong")
    with pytest.raises(PermanentError, match="SignatureDoesNotMatch"):
        world.validate(batch, access=wrong)
    assert children() == []


def test_reading_processes_end_with_the_one_that_asked(world):
    batch = world.batch(FILES)
    program = (
        "import os\n"
        "from tests.integration.music.bronze_world import *\n"
        "from assets.music.bronze import parallel_reading\n"
        "from landing.batch import winners\n"
        "import time\n"
        "parallel_reading.FEWEST_OBJECTS = 1\n"
        "winners.add_candidates = lambda *_: None\n"
        "parallel_reading.ParallelReading.settle = lambda _: (print('now', flush=True), "
        "time.sleep(60))\n"
        "world = BronzeWorld(os.environ)\n"
        f"world.validate({batch!r}, access=minio_of(os.environ).access)\n"
    )
    run = processes.start([sys.executable, "-c", program], stdout=processes.PIPE, text=True)
    assert run.stdout is not None
    assert run.stdout.readline() == "now\n"
    workers = children(run.pid)
    assert len(workers) == 2
    os.kill(run.pid, signal.SIGKILL)
    run.wait(10)
    run.stdout.close()
    end = time.monotonic() + 10
    while any(alive(worker) for worker in workers):
        assert time.monotonic() < end, "they outlive it"
        time.sleep(0.1)
    world.validate(batch, access=minio_of(world.env).access)
    check(world, batch)
