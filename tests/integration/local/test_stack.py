"""The life of a stack: up, down, kill -9, what is kept, what is said when a server fails."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import stat
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from dotenv import dotenv_values

from local.cli import main
from local.process import alive
from local.service import REPOSITORY, Command, Service, answers_http
from local.services import SERVICES
from local.stack import Stack
from tests import processes
from tests.integration.local.keepers import KEEPERS


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Every server, below a directory that only its owner may enter."""
    root = tmp_path_factory.mktemp("stack")
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    stack = Stack(root / "state")
    try:
        assert [result.error for result in stack.up()] == [None] * len(SERVICES)
        yield stack
    finally:
        stack.reset()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Stack]:
    """A stack of which the test starts what it needs."""
    stack = Stack(tmp_path / "state")
    yield stack
    stack.reset()


def pids_of(stack: Stack) -> dict[str, int]:
    running = {name: stack.running(name) for name in stack.services}
    return {name: process.pid for name, process in running.items() if process}


def write_all(stack: Stack, word: str) -> None:
    env = stack.env()
    for keeper in KEEPERS.values():
        keeper.write(env, word)


def read_all(stack: Stack, word: str) -> dict[str, bool]:
    env = stack.env()
    return {name: keeper.read(env, word) for name, keeper in KEEPERS.items()}


ALL_THERE = dict.fromkeys(KEEPERS, True)


def test_every_server_with_state_has_a_keeper() -> None:
    assert set(KEEPERS) == set(SERVICES) - {"openai", "music_services"}


def test_up_again_leaves_everything_alone(whole: Stack) -> None:
    before = {row.service: row.pid for row in whole.status()}
    environment = (whole.root / "env").read_text()
    results = whole.up()
    assert all(result.already for result in results)
    assert {row.service: row.pid for row in whole.status()} == before
    assert (whole.root / "env").read_text() == environment


def test_environment_file_and_dagster_home(whole: Stack) -> None:
    path = whole.root / "env"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert dotenv_values(path) == whole.env()
    home = Path(whole.env()["DAGSTER_HOME"])
    assert home.is_absolute()
    assert (home / "dagster.yaml").resolve() == REPOSITORY / "dagster.yaml"


def test_every_server_listens_on_this_machine_only(whole: Stack) -> None:
    for row in whole.status():
        assert row.state == "running"
        assert row.pid
        process = psutil.Process(row.pid)
        listening = {
            (connection.laddr.ip, connection.laddr.port)
            for member in [process, *process.children(recursive=True)]
            for connection in member.net_connections("inet")
            if connection.status == psutil.CONN_LISTEN
        }
        assert {ip.removeprefix("::ffff:") for ip, _ in listening} == {"127.0.0.1"}, row.service
        assert {port for _, port in listening} >= set(row.ports)


def test_acknowledged_writes_survive_kill_9_of_every_server(whole: Stack) -> None:
    write_all(whole, "before-kill")
    pids = pids_of(whole)
    assert set(pids) == set(SERVICES)
    for pid in pids.values():
        os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while any(whole.running(name) for name in SERVICES):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert {row.state for row in whole.status()} == {"failed"}

    results = whole.up()
    assert [result.error for result in results if result.error] == []
    assert not any(result.already for result in results)
    assert read_all(whole, "before-kill") == ALL_THERE
    assert set(pids_of(whole).items()).isdisjoint(pids.items())


def test_state_survives_down_and_up(whole: Stack) -> None:
    write_all(whole, "before-down")
    ports = {row.service: row.ports for row in whole.status()}
    heads = [psutil.Process(row.pid) for row in whole.status()]
    family = [member for head in heads for member in (head, *head.children(recursive=True))]
    assert len(family) >= len(SERVICES)
    assert set(whole.down()) == set(SERVICES)
    # Not by their ports: another program may have taken one meanwhile.
    assert [member for member in family if alive(member)] == []
    assert {(row.state, row.pid) for row in whole.status()} == {("stopped", None)}
    assert whole.down() == []
    assert [result.error for result in whole.up() if result.error] == []
    assert {row.service: row.ports for row in whole.status()} == ports
    assert read_all(whole, "before-down") == ALL_THERE


def test_a_port_taken_meanwhile_is_chosen_again(small: Stack) -> None:
    small.up(["gcs"])
    port = small.place().ports["gcs"]
    small.down()
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # A server of another test may have been quicker: it takes the port as well.
        with contextlib.suppress(OSError):
            squatter.bind(("127.0.0.1", port))
            squatter.listen()
        assert [result.error for result in small.up(["gcs"])] == [None]
        chosen = small.place().ports["gcs"]
        assert chosen != port
        assert small.env()["STORAGE_EMULATOR_HOST"] == f"http://127.0.0.1:{chosen}"
        assert f"STORAGE_EMULATOR_HOST=http://127.0.0.1:{chosen}\n" in (
            (small.root / "env").read_text()
        )


def test_two_at_once_start_one_server(small: Stack) -> None:
    line = [sys.executable, "-m", "local", "up", "--services", "gcs", "--root", str(small.root)]
    both = [processes.start(line, stdout=processes.PIPE, text=True) for _ in "ab"]
    printed = [process.communicate(timeout=60)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sorted("already running" in text for text in printed) == [False, True]


def test_many_at_once_make_one_state_directory(tmp_path: Path) -> None:
    for number in range(20):
        stack = Stack(tmp_path / f"{number}" / "state", {})
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(lambda _, made=stack: made.up([]), range(8))) == [[]] * 8


def test_reset_removes_state_and_the_next_up_starts_empty(small: Stack) -> None:
    small.up(["gcs"])
    KEEPERS["gcs"].write(small.env(), "x")
    one = small.running("gcs")
    assert one
    small.reset()
    assert one.process() is None
    assert {path.name for path in small.root.iterdir()} <= {"lock"}
    small.up(["gcs"])
    assert not any((small.root / "data" / "gcs").rglob("*kept*"))


GOOD = (
    "import http.server, sys\n"
    "http.server.test(http.server.SimpleHTTPRequestHandler, port=int(sys.argv[1]), "
    "bind='127.0.0.1')"
)
BROKEN = (
    "import sys\nfor n in range(100): print('line', n)\nprint('the reason: no disk')\nsys.exit(3)"
)


def declare(name: str, code: str, patience: float = 20) -> Service:
    return Service(
        name=name,
        systems=(name,),
        ports=(name,),
        command=lambda place: Command([sys.executable, "-c", code, str(place.ports[name])]),
        ready=lambda place: answers_http(f"http://127.0.0.1:{place.ports[name]}/"),
        patience=patience,
        hint="do this about it",
    )


@pytest.fixture
def declared(tmp_path: Path) -> Iterator[Stack]:
    services = [
        declare("good", GOOD),
        declare("broken", BROKEN),
        declare("silent", "import time; time.sleep(60)", patience=0.5),
    ]
    stack = Stack(tmp_path / "state", {service.name: service for service in services})
    yield stack
    stack.reset()


def test_a_server_that_fails_shows_its_log_and_what_to_do_and_others_stay(declared: Stack) -> None:
    results = {result.service: result for result in declared.up()}
    assert results["good"].error is None
    error = results["broken"].error or ""
    assert "broken did not start: its process ended" in error
    assert "the reason: no disk" in error
    assert "do this about it" in error
    assert "line 99\n" in error
    assert "line 50\n" not in error
    assert str(declared.root / "logs" / "broken.log") in error
    states = {row.service: row.state for row in declared.status()}
    assert states == {"good": "running", "broken": "failed", "silent": "failed"}


def test_a_server_that_never_gets_ready_is_stopped(declared: Stack) -> None:
    [result] = declared.up(["silent"])
    assert "not ready within" in (result.error or "")
    assert declared.running("silent") is None


def test_the_command_line_fails_when_a_server_does(
    declared: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("local.cli.Stack", lambda _root: declared)
    assert main(["up", "--services", "good,broken"]) == 1
    printed = capsys.readouterr()
    assert "good           ready after" in printed.out
    assert "the reason: no disk" in printed.err
    assert "failed: broken; the others are up" in printed.err
    assert main(["up", "--services", "good"]) == 0
    assert main(["up", "--services", "nothing"]) == 1
    assert main(["status"]) == 0
    assert "broken         failed" in capsys.readouterr().out
