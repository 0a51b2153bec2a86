"""Processes of the stack: started detached, known by pid and start time, stopped by that pid.

Belongs here: starting, recognising and stopping one process. Does not: which processes there
are, and in which order.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from local.service import Command

#: Seconds by which two readings of one process's start time may differ.
_SAME_START = 0.05
_KILL_GRACE = 5.0


@dataclass(frozen=True)
class Running:
    """A process of ours. ``started`` is its start time (seconds since the epoch)."""

    pid: int
    started: float

    def process(self) -> psutil.Process | None:
        """The live process, or None when it ended or its pid now belongs to another."""
        try:
            process = psutil.Process(self.pid)
            if abs(process.create_time() - self.started) > _SAME_START:
                return None
            return None if process.status() == psutil.STATUS_ZOMBIE else process
        except psutil.NoSuchProcess:
            return None

    def memory(self) -> int:
        """Resident bytes of the process and its descendants; 0 when it ended."""
        total = 0
        process = self.process()
        for member in [process, *process.children(recursive=True)] if process else []:
            try:
                total += member.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        return total


class PidFile:
    """Who runs, kept in a file with the start time, so that a recycled pid is never touched."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Running | None:
        """The process of the file if it is alive and still the one that was recorded."""
        try:
            content = json.loads(self._path.read_text("utf-8"))
            running = Running(int(content["pid"]), float(content["started"]))
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None
        return running if running.process() else None

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


def stop(running: Running, stop_signal: str, grace: float) -> None:
    """Ask the process to stop, wait ``grace`` seconds, then kill what is left of its tree."""
    process = running.process()
    if process is None:
        return
    family = process.children(recursive=True)
    _signal(process, getattr(signal, stop_signal))
    if not _gone([process], grace):
        _signal(process, signal.SIGKILL)
    left = [member for member in family if alive(member)]
    if left and not _gone(left, 1.0):
        for member in left:
            _signal(member, signal.SIGKILL)
    _gone([process, *left], _KILL_GRACE)


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
