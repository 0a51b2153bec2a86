"""Ctrl-C once and twice, `down` from another terminal, and one command per state directory."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from local.process import alive
from tests import processes

#: A command over one server. A "stubborn" one does not end when it is asked to.
PROGRAM = """
import sys, time
from pathlib import Path
from local.foreground import Foreground
from local.progress import Progress
from local.service import Command, Service
from local.stack import Stack

root, kind, ends = Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "ends"
code = "import signal, time\\n"
code += "signal.signal(signal.SIGTERM, signal.SIG_IGN)\\n" if kind == "stubborn" else ""
code += "print('up', flush=True)\\ntime.sleep(120)"
service = Service(
    "one", ("one",), lambda place: Command([sys.executable, "-c", code]),
    lambda place: kind != "slow" and b"up" in place.log("one").read_bytes(), (), grace=60,
)
stack = Stack(root, {"one": service})

def body(foreground):
    for started in stack.up():
        if started.error:
            print("ERROR", started.error)
            return 1
    print("READY", flush=True)
    while True:
        time.sleep(0.1)

sys.exit(Foreground(stack, "trial", Progress().say, ends_servers=ends).run(body))
"""


@dataclass
class Terminal:
    """The command as a shell would run it, and what it has printed."""

    process: processes.Process[bytes]
    printed: Path

    def text(self) -> str:
        return self.printed.read_text()

    def wait_for(self, text: str, seconds: float = 30) -> None:
        self.until(lambda: text in self.text(), seconds)

    def until(self, condition: Callable[[], bool], seconds: float = 30) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, self.text()
            time.sleep(0.05)

    def press(self) -> None:
        """Ctrl-C reaches the whole group."""
        os.killpg(self.process.pid, signal.SIGINT)


Start = Callable[..., Terminal]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def start(tmp_path: Path, root: Path) -> Iterator[Start]:
    started: list[processes.Process[bytes]] = []

    def run(kind: str, ends: str) -> Terminal:
        printed = tmp_path / f"printed-{len(started)}"
        with printed.open("wb") as output:
            process = processes.start(
                [sys.executable, "-c", PROGRAM, str(root), kind, ends],
                stdout=output,
                stderr=processes.STDOUT,
                start_new_session=True,
            )
        started.append(process)
        return Terminal(process, printed)

    yield run
    for process in started:
        process.kill()
        process.wait()
    for member in of_root(root):
        member.kill()


def of_root(root: Path) -> list[psutil.Process]:
    """The server, found by its recorded pid while it lives."""
    file = root / "pids" / "one.json"
    if not file.exists():
        return []
    pid = int(file.read_text().split(":")[1].split(",")[0])
    return [psutil.Process(pid)] if psutil.pid_exists(pid) else []


def test_ctrl_c_once_says_what_it_does_and_leaves_the_servers(start: Start, root: Path) -> None:
    terminal = start("good", "stays")
    terminal.wait_for("READY")
    terminal.press()
    assert terminal.process.wait(20) == 130
    assert "Ctrl-C: stopping Dagster (the servers stay up)" in terminal.text()
    assert "Traceback" not in terminal.text()
    assert [alive(one) for one in of_root(root)] == [True]
    assert not (root / "pids" / "terminal.json").exists()


def test_ctrl_c_once_ends_the_servers_that_are_its_own(start: Start, root: Path) -> None:
    terminal = start("good", "ends")
    terminal.wait_for("READY")
    (server,) = of_root(root)
    terminal.press()
    assert terminal.process.wait(20) == 130
    assert "one            stopped after" in terminal.text()
    assert not alive(server)


def test_ctrl_c_twice_ends_at_once_and_leaves_nothing(start: Start, root: Path) -> None:
    terminal = start("stubborn", "ends")
    terminal.wait_for("READY")
    (server,) = of_root(root)
    terminal.press()
    terminal.wait_for("stopping the servers")
    time.sleep(0.5)
    assert terminal.process.poll() is None, "the server has 60 s"
    terminal.press()
    assert terminal.process.wait(10) == 130
    assert "Traceback" not in terminal.text()
    assert not alive(server)
    assert list((root / "pids").iterdir()) == []


def test_ctrl_c_while_a_server_starts_is_not_waited_out(start: Start, root: Path) -> None:
    terminal = start("slow", "stays")
    terminal.until(lambda: bool(of_root(root)))
    (server,) = of_root(root)
    terminal.press()
    assert terminal.process.wait(20) == 130, "it would have had 90 s"
    assert "Traceback" not in terminal.text()
    assert not alive(server), "one that never got ready does not stay"


def test_a_second_command_is_refused_and_down_ends_the_first(start: Start, root: Path) -> None:
    first = start("good", "stays")
    first.wait_for("READY")
    (server,) = of_root(root)
    second = start("good", "ends")
    assert second.process.wait(20) == 1
    assert f"runs already (pid {first.process.pid})" in second.text()
    assert alive(server), "it is not the second one's to end"
    code = "import sys; from local.cli import main; sys.exit(main(sys.argv[1:]))"
    ended = processes.run(
        [sys.executable, "-c", code, "down", "--root", str(root)],
        timeout=60,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert f"ending what runs in another terminal (pid {first.process.pid})" in ended.stdout
    assert first.process.wait(20) == 130
    assert "SIGTERM: stopping" in first.text()
