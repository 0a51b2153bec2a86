"""Workers killed at random moments, and a parent killed with its workers at work."""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time

import psutil
import pytest

from assets.images.processing.messages import Setup
from assets.images.processing.operation import Item, Limits, Operation
from assets.images.processing.pool import Pool
from local.service import REPOSITORY
from tests import processes
from tests.integration.images.processing.conftest import LIMITS, OBEY, Buckets, statuses

pytestmark = pytest.mark.servers("s3")


def pool_of(buckets: Buckets, limits: Limits = LIMITS, workers: int = 2) -> Pool:
    access = buckets.access
    return Pool(
        Setup(
            operation=Operation(), limits=limits, source=buckets.source, target=buckets.target,
            endpoint=access.endpoint, access_key=access.access_key, secret_key=access.secret_key,
            threads=3, niceness=0, patience=10, function=OBEY,
        ),
        workers,
    )  # fmt: skip


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_item_has_one_outcome_whatever_is_killed_when(buckets, seed: int) -> None:
    rng = random.Random(seed)
    objects = {f"ok-{n}": b"slow 0.01" for n in range(900)}
    objects |= {f"{kind}-{n}": kind.encode() for kind in ("exit", "hang") for n in range(3)}
    names = sorted(objects, key=lambda _: rng.random())
    items = buckets.put({name: objects[name] for name in names})
    pool = pool_of(buckets, Limits(1_000_000, 1 << 20, 1.0))
    over = threading.Event()
    kills = 0

    def kill() -> None:
        nonlocal kills
        while not over.wait(rng.uniform(0.05, 0.8)):
            if pids := pool.pids:
                try:
                    os.kill(rng.choice(pids), signal.SIGKILL)
                except ProcessLookupError:
                    continue
                kills += 1

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        got = statuses(items, pool.outcomes(items))
    finally:
        over.set()
        killer.join()
    assert kills >= 3
    expected = {"ok": {"ok"}, "exit": {"crashed"}, "hang": {"timeout", "crashed"}}
    wrong = {n: s for n, s in got.items() if s not in expected[n.partition("-")[0]]}
    # Killed twice from outside in the middle of its work, the second time alone: as if by itself.
    assert len(wrong) <= 2
    assert set(wrong.values()) <= {"crashed"}


_PARENT = """
import sys
from assets.images.processing.engine import process
from assets.images.processing.operation import Item, Limits, Operation
from resources.minio_client import Access

endpoint, access_key, secret_key, source, target, key, function = sys.argv[1:]
items = (Item(n, n, key, f"out/{n}") for n in range(1000))
limits, access = Limits(10**6, 10**6, 600.0), Access(endpoint, access_key, secret_key)
for outcome in process(items, Operation(), limits, source=source, target=target, access=access,
                       workers=2, function=function):
    print(outcome.number, flush=True)
"""


@pytest.mark.parametrize("text", [b"slow 0.02", b"hang", b"hang-holding-python"])
def test_workers_end_with_their_parent(buckets, text: bytes) -> None:
    [item] = buckets.put({"x": text})
    access = buckets.access
    parent = processes.start(
        [sys.executable, "-c", _PARENT, access.endpoint, access.access_key, access.secret_key,
         buckets.source, buckets.target, item.source, OBEY],
        stdout=processes.DEVNULL, env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 30
        while len(workers := psutil.Process(parent.pid).children()) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(1.5)  # they are at work
    finally:
        parent.kill()
        parent.wait()
    gone, alive = psutil.wait_procs(workers, timeout=5)
    assert len(gone) == 2
    assert not alive


def test_workers_do_not_see_dagster(buckets) -> None:
    [item] = buckets.put({"x": b"slow 0.5"})
    pool = pool_of(buckets, workers=1)
    outcomes = pool.outcomes([item, Item(1, 1, item.source, "out/1")])
    next(outcomes)
    maps = psutil.Process(pool.pids[0]).memory_maps() if pool.pids else []
    outcomes.close()
    assert maps
    assert not [one.path for one in maps if "grpc" in one.path or "pydantic" in one.path]


def test_keys_are_no_arguments_of_a_worker(buckets) -> None:
    [item] = buckets.put({"x": b"=x"})
    pool = pool_of(buckets, workers=1)
    items = (Item(n, n, item.source, "out/x") for n in range(100))
    outcomes = pool.outcomes(items)
    next(outcomes)
    process = psutil.Process(pool.pids[0])
    assert buckets.access.secret_key not in " ".join(process.cmdline())
    assert process.environ().get("AWS_SECRET_ACCESS_KEY") is None
    outcomes.close()
