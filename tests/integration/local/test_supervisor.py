"""Whose port it is, what is tried again, and what a dead leader leaves behind."""

from __future__ import annotations

import dataclasses
import os
import signal
import socket
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from local.process import Running, alive
from local.service import Command, Place, Service, StackError, answers_http
from local.supervisor import Supervisor
from tests import processes

#: Serves on its port; 98 is what a bind that fails ends with.
SERVER = (
    "import http.server, sys\n"
    "try:\n"
    "    http.server.test(http.server.SimpleHTTPRequestHandler, port=int(sys.argv[1]),"
    " bind='127.0.0.1')\n"
    "except OSError:\n"
    "    sys.exit(98)\n"
)
SILENT = "import time; time.sleep(60)"
WITH_CHILD = (
    "import subprocess, sys, time\n"
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
    "time.sleep(60)\n"
)


def declare(code: str, patience: float = 20) -> Service:
    return Service(
        name="one",
        systems=("one",),
        ports=("one",),
        command=lambda place: Command([sys.executable, "-c", code, str(place.ports["one"])]),
        ready=lambda place: answers_http(f"http://127.0.0.1:{place.ports['one']}/"),
        patience=patience,
    )


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def supervisor(tmp_path: Path, lines: list[str]) -> Iterator[Supervisor]:
    made = Supervisor(tmp_path, lambda: Path(sys.executable), lines.append)
    yield made
    made.kill([declare(SERVER)])


@pytest.fixture
def stranger() -> Iterator[socket.socket]:
    """A port on which somebody else listens."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken


def test_a_port_bound_by_somebody_quicker_is_chosen_again(
    supervisor: Supervisor, stranger: socket.socket, lines: list[str]
) -> None:
    service, port = declare(SERVER), stranger.getsockname()[1]
    # As it was free a moment ago, when it was chosen.
    (supervisor.root / "ports.json").write_text(f'{{"one": {port}}}')
    supervisor.settle(service, supervisor.spawn(service))
    chosen = supervisor.place().ports["one"]
    assert chosen != port
    assert any(f"port {port} of one is taken" in line for line in lines)
    assert urllib.request.urlopen(f"http://127.0.0.1:{chosen}/", timeout=5).status == 200
    assert supervisor.status(service).state == "running"


def test_a_port_that_was_asked_for_is_never_exchanged(
    supervisor: Supervisor, stranger: socket.socket
) -> None:
    service, port = declare(SERVER), stranger.getsockname()[1]
    with pytest.raises(StackError, match=rf"port {port} is taken.*PORT=…"):
        supervisor.ports().fix("one", port)
    asked = dataclasses.replace(supervisor, fixed=("one",))
    (supervisor.root / "ports.json").write_text(f'{{"one": {port}}}')
    with pytest.raises(StackError, match=f"port {port} of one is taken by another program"):
        asked.settle(service, asked.spawn(service))
    assert supervisor.place().ports["one"] == port
    assert supervisor.running(service) is None


def test_an_answer_of_somebody_else_does_not_count(supervisor: Supervisor) -> None:
    other = declare(SERVER)
    supervisor.assign([other])
    [ready] = supervisor.up([other])
    assert ready.error is None
    mine = dataclasses.replace(declare(SILENT, patience=1), name="mine")
    port = supervisor.place().ports["one"]
    assert mine.ready(Place(supervisor.root, Path(sys.executable), {"one": port})), "it answers"
    spawned = supervisor.spawn(mine)
    with pytest.raises(StackError, match="not ready within 1 s"):
        supervisor.settle(mine, spawned)
    assert supervisor.status(other).state == "running"


def test_what_a_killed_leader_left_running_is_ended(supervisor: Supervisor) -> None:
    service = declare(WITH_CHILD)
    supervisor.assign([service])
    leader = supervisor.spawn(service).running
    end = time.monotonic() + 10
    while not (children := psutil.Process(leader.pid).children()):
        assert time.monotonic() < end
        time.sleep(0.02)
    os.kill(leader.pid, signal.SIGKILL)
    while supervisor.running(service):
        time.sleep(0.02)
    assert all(map(alive, children))
    supervisor.stop([service])
    assert not any(map(alive, children))


def test_a_session_that_is_not_of_the_recorded_leader_is_left_alone() -> None:
    # Its leader lives, and was started at another time than what was recorded.
    with processes.start(["sleep", "60"], start_new_session=True) as leader:
        assert Running(leader.pid, psutil.Process(leader.pid).create_time()).family()
        assert Running(leader.pid, 1.0).family() == []
        leader.kill()


def test_processes_whose_session_began_outside_of_the_container_are_left_alone() -> None:
    # Seen from inside, all of them are of session 0.
    assert Running(0, 1.0).family() == []
