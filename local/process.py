"""Processes of the stack: started detached, known by pid and start time, stopped by that pid.

Belongs here: starting, recognising and stopping one process. Does not: which processes there
are, and in which order.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from local.service import Command, Workers

#: Seconds by which two readings of one process's start time may differ.
_SAME_START = 0.05
_KILL_GRACE = 5.0


@dataclass(frozen=True)
class Running:
    """A process of ours. ``started`` is its start time (seconds since the epoch)."""

    pid: int
    started: float

    @classmethod
    def this(cls) -> Running:
        """The process that asks."""
        return cls(os.getpid(), psutil.Process().create_time())

    def process(self) -> psutil.Process | None:
        """The live process, or None when it ended or its pid now belongs to another."""
        try:
            process = psutil.Process(self.pid)
            if abs(process.create_time() - self.started) > _SAME_START:
                return None
            return None if process.status() == psutil.STATUS_ZOMBIE else process
        except psutil.NoSuchProcess:
            return None

    def family(self) -> list[psutil.Process]:
        """The live process, its descendants, and what else is left of the session that it leads.

        Without the leader its session may still have members: their number is not given to
        anybody else before the last of them is gone.
        """
        process = self.process()
        found = [process, *_descendants(process)] if process else []
        known = {member.pid for member in found}
        # Session 0 is everybody's whose leader is outside of this container.
        if process or (self.pid and not psutil.pid_exists(self.pid)):
            found += [one for one in _session(self.pid, self.started) if one.pid not in known]
        return found

    def memory(self) -> int:
        """Resident bytes of the process and its descendants; 0 when it ended."""
        total = 0
        for member in self.family() if self.process() else []:
            with contextlib.suppress(psutil.NoSuchProcess):
                total += member.memory_info().rss
        return total

    def listens(self, ports: set[int]) -> bool:
        """Whether the process, or one that it started, listens on all ``ports``.

        True as well where the system does not let us look: root without CAP_SYS_PTRACE may not
        look at a server that runs as another user.
        """
        found = set()
        for member in self.family() if ports else []:
            try:
                found |= {
                    connection.laddr.port
                    for connection in member.net_connections("tcp")
                    if connection.status == psutil.CONN_LISTEN
                }
            except psutil.AccessDenied:
                return True
            except psutil.NoSuchProcess:
                continue
        return ports <= found


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _session(leader: int, started: float) -> list[psutil.Process]:
    """What belongs to a session and was started after it."""
    found = []
    for pid in psutil.pids():
        with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getsid(pid) == leader:
                process = psutil.Process(pid)
                if process.create_time() >= started - _SAME_START:
                    found.append(process)
    return found


class PidFile:
    """Who runs, kept in a file with the start time, so that a recycled pid is never touched."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Running | None:
        """The process of the file if it is alive and still the one that was recorded."""
        running = self.recorded()
        return running if running and running.process() else None

    def recorded(self) -> Running | None:
        """The process of the file, alive or not; None without a file that can be read."""
        try:
            content = json.loads(self._path.read_text("utf-8"))
            return Running(int(content["pid"]), float(content["started"]))
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def write(self, running: Running) -> None:
        """Record ``running``; the file is complete or absent, never half."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        scratch = self._path.with_suffix(".new")
        scratch.write_text(json.dumps({"pid": running.pid, "started": running.started}), "utf-8")
        scratch.replace(self._path)

    def remove(self) -> None:
        """Forget the process."""
        self._path.unlink(missing_ok=True)


#: Children of this interpreter, polled so that those that end leave no zombie.
_children: list[subprocess.Popen[bytes]] = []


def reap() -> None:
    """Collect the children that ended."""
    _children[:] = [child for child in _children if child.poll() is None]


def start(command: Command, log: Path) -> Running:
    """Start ``command`` in a session of its own, printing to the end of ``log``.

    A session of its own, so that Ctrl-C in the terminal does not reach it. Raises OSError when
    it cannot be executed.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        child = subprocess.Popen(
            command.argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=command.directory,
            env={**os.environ, **command.environment},
            start_new_session=True,
        )
    _children.append(child)
    return Running(child.pid, psutil.Process(child.pid).create_time())


def run(command: Command, log: Path, timeout: float) -> int:
    """Run ``command`` to its end, as `start` does; its exit code, or -9 after ``timeout`` seconds.

    However it ends, an interruption included, nothing of it is left.
    """
    running = start(command, log)
    (child,) = (child for child in _children if child.pid == running.pid)
    try:
        return child.wait(timeout)
    except subprocess.TimeoutExpired:
        return -signal.SIGKILL
    finally:
        kill(running)


def stop(running: Running, stop_signal: str, grace: float, workers: Workers | None = None) -> None:
    """Ask the process to stop, wait ``grace`` seconds, then kill what is left of its family.

    In between ``workers`` of the family are let end: once nobody is left who would start others.
    """
    process = running.process()
    family = running.family()
    asked = workers.among(family) if workers else []
    if process and not ask(running, stop_signal, grace):
        _signal(process, signal.SIGKILL)
    family = list({*family, *running.family()})
    if workers:
        asked = list({*asked, *workers.among(family)})
        for worker in asked:
            _signal(worker, signal.SIGINT)
        _gone(asked, workers.grace)
        family = list({*family, *running.family()})
    if not _gone(family, 1.0):
        for member in family:
            _signal(member, signal.SIGKILL)
    _gone(family, _KILL_GRACE)


def ask(running: Running, stop_signal: str, grace: float) -> bool:
    """Ask this one process to stop; whether it did within ``grace`` seconds."""
    process = running.process()
    if process is None:
        return True
    _signal(process, getattr(signal, stop_signal))
    return _gone([process], grace)


def kill(running: Running) -> None:
    """Kill -9 of the process and its family."""
    family = running.family()
    for member in family:
        _signal(member, signal.SIGKILL)
    _gone(family, _KILL_GRACE)


def _signal(process: psutil.Process, number: int) -> None:
    # psutil compares the start time first, so a recycled pid is not signalled.
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


def _gone(processes: list[psutil.Process], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while True:
        reap()
        if not any(alive(process) for process in processes):
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)


def alive(process: psutil.Process) -> bool:
    """False for a zombie too: an orphan's stays where the machine's init collects none."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
