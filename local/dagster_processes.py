"""Dagster's webserver and daemon as child processes of the demo, `make dev` and the tests.

Belongs here: starting, watching and stopping them. Does not: the servers they talk to (``stack``).
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from local.ports import is_free
from local.service import HOST, REPOSITORY

USUAL_PORT = 3000

#: Seconds that a process gets to end by itself before it is killed.
GRACE = 20.0


class DagsterDied(RuntimeError):
    """A Dagster process ended while it was needed."""


def ui_port() -> int:
    """Dagster's usual port when nobody listens on it, else one that is free now."""
    if is_free(USUAL_PORT):
        return USUAL_PORT
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class DagsterProcesses:
    """A webserver and a daemon on ``workspace``, with ``env`` as their whole environment.

    They run in ``cwd``: a ``.env`` file there is read by Dagster and wins over ``env``.
    """

    env: Mapping[str, str]
    logs: Path
    workspace: Path = REPOSITORY / "workspace.yaml"
    cwd: Path = REPOSITORY
    port: int = field(default_factory=ui_port)
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Where the UI answers."""
        return f"http://{HOST}:{self.port}"

    def start(self, *, webserver: bool = True, daemon: bool = True) -> None:
        """Start what is asked for and not running yet."""
        self.prepare_instance()
        bin_dir = Path(sys.executable).parent
        workspace = ["-w", str(self.workspace)]
        if daemon:
            self._spawn("daemon", [str(bin_dir / "dagster-daemon"), "run", *workspace])
        if webserver:
            address = ["-h", HOST, "-p", str(self.port)]
            self._spawn("webserver", [str(bin_dir / "dagster-webserver"), *address, *workspace])

    def prepare_instance(self) -> None:
        """Create Dagster's tables once, before two processes would race to."""
        code = "import dagster as dg\nwith dg.DagsterInstance.get() as i: i.get_runs_count()"
        subprocess.run(
            [sys.executable, "-c", code],
            env=dict(self.env),
            cwd=self.cwd,
            check=True,
            timeout=120,
        )

    def wait_ready(self, timeout: float = 120.0) -> None:
        """Return when the webserver answers.

        Raises:
            DagsterDied: a process ended; the message has the end of its log.
            TimeoutError: no answer in ``timeout`` seconds.
        """
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            self.check_alive()
            try:
                with urllib.request.urlopen(f"{self.url}/server_info", timeout=2):
                    return
            except OSError:
                time.sleep(0.3)
        raise TimeoutError(f"{self.url} did not answer in {timeout:.0f} s: see {self.logs}")

    def check_alive(self) -> None:
        """Raise DagsterDied when a started process has ended."""
        for name, process in self._running.items():
            if process.poll() is not None:
                raise DagsterDied(f"{name} ended with {process.returncode}:\n{self.log_end(name)}")

    def log_end(self, name: str, lines: int = 30) -> str:
        """The last lines of a process's log."""
        path = self.logs / f"{name}.log"
        text = path.read_text(errors="replace") if path.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def pids(self) -> dict[str, int]:
        """The pid of every process that runs."""
        return {name: p.pid for name, p in self._running.items() if p.poll() is None}

    def stop(self) -> None:
        """End both processes and all that they started: politely, then by force."""
        for process in self._running.values():
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        end = time.monotonic() + GRACE
        for process in self._running.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, end - time.monotonic()))
            # Code servers and run workers stay in their parent's group.
            _kill_group(process.pid)
            process.wait()
        self._running.clear()

    def kill(self) -> None:
        """Kill -9 of everything at once: daemon, webserver, code servers and run workers."""
        for process in self._running.values():
            _kill_group(process.pid)
            process.wait()
        self._running.clear()

    def _spawn(self, name: str, command: list[str]) -> None:
        if name in self.pids():
            return
        self.logs.mkdir(parents=True, exist_ok=True)
        with (self.logs / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                command,
                env=dict(self.env),
                cwd=self.cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
