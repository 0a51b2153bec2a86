"""A process is known by pid and start time; nothing else is ever signalled."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from local import process
from local.process import PidFile, Running
from local.service import Command, Workers
from tests import processes

SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "print('up', flush=True); time.sleep(60)"
    ),
]
WITH_CHILD = [
    sys.executable,
    "-c",
    (
        "import subprocess, sys, time;"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        "print('up', child.pid, flush=True); time.sleep(60)"
    ),
]
#: Its child ends a while after it is interrupted, and says so; or never does.
WITH_WORKER = """
import subprocess, sys, time
worker = '''
import signal, sys, time
def drain(*_):
    if sys.argv[1] == "drains":
        time.sleep(0.5)
        print("drained", flush=True)
        sys.exit()
signal.signal(signal.SIGINT, drain)
print("up", flush=True)
while True:
    time.sleep(0.05)
'''
subprocess.Popen([sys.executable, "-c", worker, sys.argv[1]])
time.sleep(60)
"""


def wait(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def test_started_process_has_its_own_session_and_prints_to_the_log(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "x.log"
    running = process.start(Command(SLEEP), log)
    try:
        wait(lambda: b"up" in log.read_bytes())
        assert os.getsid(running.pid) == running.pid != os.getsid(0)
        assert running.memory() > 1_000_000
    finally:
        process.stop(running, "SIGTERM", 5)
    assert running.process() is None
    assert not psutil.pid_exists(running.pid)


def test_a_recycled_pid_is_not_ours_and_survives_stop(tmp_path: Path) -> None:
    stranger = processes.start(SLEEP, stdout=processes.DEVNULL)
    try:
        path = tmp_path / "x.json"
        started = psutil.Process(stranger.pid).create_time()
        path.write_text(json.dumps({"pid": stranger.pid, "started": started - 100}))
        assert PidFile(path).read() is None
        process.stop(Running(stranger.pid, started - 100), "SIGKILL", 1)
        time.sleep(0.2)
        assert stranger.poll() is None
        # The same pid with the right start time is ours: the test can fail.
        path.write_text(json.dumps({"pid": stranger.pid, "started": started}))
        assert PidFile(path).read() == Running(stranger.pid, started)
    finally:
        stranger.kill()
        stranger.wait()


def test_a_process_that_ignores_the_signal_is_killed_after_the_grace(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    running = process.start(Command(STUBBORN), log)
    wait(lambda: b"up" in log.read_bytes())
    began = time.monotonic()
    process.stop(running, "SIGTERM", 0.5)
    assert running.process() is None
    assert 0.5 <= time.monotonic() - began < 5


def test_children_do_not_outlive_a_stopped_server(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    running = process.start(Command(WITH_CHILD), log)
    wait(lambda: b"up" in log.read_bytes())
    child = psutil.Process(int(log.read_text().split()[1]))
    assert process.alive(child)
    process.stop(running, "SIGTERM", 5)
    wait(lambda: not process.alive(child))


@pytest.mark.parametrize(("kind", "drained"), [("drains", True), ("never", False)])
def test_workers_are_let_end_after_their_server_in_bounded_time(
    tmp_path: Path, kind: str, drained: bool
) -> None:
    log = tmp_path / "x.log"
    running = process.start(Command([sys.executable, "-c", WITH_WORKER, kind]), log)
    wait(lambda: b"up" in log.read_bytes())
    (worker,) = psutil.Process(running.pid).children()
    found: list[int] = []

    def among(family: list[psutil.Process]) -> list[psutil.Process]:
        found.append(len(family))
        return [one for one in family if one.pid == worker.pid]

    began = time.monotonic()
    process.stop(running, "SIGTERM", 5, Workers(among, grace=2.0))
    assert (b"drained" in log.read_bytes()) == drained
    assert time.monotonic() - began < 60, "neither waits for the other without end"
    assert found == [2, 2], "the second time as an orphan"
    assert not process.alive(worker)
    assert running.process() is None


def test_an_ended_process_that_nobody_collects_is_not_alive() -> None:
    with processes.start(["sleep", "60"]) as child:
        seen = psutil.Process(child.pid)
        assert process.alive(seen)
        child.kill()
        wait(lambda: seen.status() == psutil.STATUS_ZOMBIE)
        assert seen.is_running()
        assert not process.alive(seen)
    assert not process.alive(seen)


def test_a_dead_child_is_not_running_although_nobody_waited(tmp_path: Path) -> None:
    running = process.start(Command(SLEEP), tmp_path / "x.log")
    os.kill(running.pid, signal.SIGKILL)
    wait(lambda: running.process() is None)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}', '{"pid": "x", "started": 1}'])
def test_a_damaged_pid_file_means_not_running(tmp_path: Path, content: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(content)
    assert PidFile(path).read() is None
