"""The supervisor of one state directory: starts, probes, lists and stops its processes.

Belongs here: pid files, ports, readiness, and what is tried again. Does not: which processes there
are (`local.services`, `local.dagster_processes`), how one is handled (`local.process`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from local import process
from local.ports import Ports, is_free
from local.process import PidFile, Running
from local.service import Place, Service, StackError

#: Takes a line for whoever waits.
Say = Callable[[str], None]

_LOG_LINES = 25
_LOG_WIDTH = 300
_POLL = 0.1
#: Seconds after which a wait is spoken of again.
_STILL = 10.0
#: Other ports that are tried when somebody else binds the chosen one first.
_TRIES = 5


@dataclass(frozen=True)
class Status:
    """One process's state. ``state`` is running, starting, stopped or failed; ``memory`` bytes."""

    service: str
    systems: tuple[str, ...]
    state: str
    pid: int | None
    ports: tuple[int, ...]
    memory: int
    log: Path


@dataclass(frozen=True)
class Started:
    """What became of one start: seconds until it was ready, error if it was not."""

    service: str
    seconds: float
    already: bool = False
    error: str | None = None


@dataclass(frozen=True)
class Spawned:
    """A process that may not be ready yet, and the place with the ports that it was given."""

    running: Running
    place: Place


class _PortTakenError(Exception):
    """Somebody else listens where the process should."""


def silent(_line: str) -> None:
    """A `Say` for callers that print nothing."""


@dataclass
class Supervisor:
    """The processes below ``root``; ``python`` finds the interpreter of the servers' environment.

    ``fixed`` names the ports that were asked for: they are never chosen again. ``interrupted``
    ends all waiting.
    """

    root: Path
    python: Callable[[], Path]
    say: Say = silent
    fixed: Collection[str] = ()
    interrupted: threading.Event = field(default_factory=threading.Event)
    _ports_lock: threading.Lock = field(default_factory=threading.Lock)

    def place(self) -> Place:
        """Where the processes live, with the ports assigned so far."""
        return Place(self.root, self.python(), self.ports().numbers)

    def ports(self) -> Ports:
        """The ports of the state directory."""
        return Ports(self.root / "ports.json")

    def running(self, service: Service) -> Running | None:
        """The process when it lives."""
        process.reap()
        return self._pids(service).read()

    def answers(self, service: Service) -> bool:
        """Whether the process lives, is ready, and is the one that listens on its ports."""
        running, place = self.running(service), self.place()
        if running is None or any(port not in place.ports for port in service.ports):
            return False
        return _is_ready(service, place, running)

    def status(self, service: Service) -> Status:
        """The state of the process."""
        numbers = self.ports().numbers
        running = self.running(service)
        state = "stopped"
        if running:
            state = "running" if self.answers(service) else "starting"
        elif self._pid_file(service).exists():
            state = "failed"
        return Status(
            service.name,
            service.systems,
            state,
            running.pid if running else None,
            tuple(numbers[port] for port in service.ports if port in numbers),
            running.memory() if running else 0,
            self.log(service),
        )

    def log(self, service: Service) -> Path:
        """What the process prints."""
        return self.root / "logs" / f"{service.name}.log"

    def log_size(self, service: Service) -> int:
        """Bytes that were printed so far."""
        log = self.log(service)
        return log.stat().st_size if log.exists() else 0

    def assign(self, services: Iterable[Service]) -> None:
        """Give processes that do not run the ports that they need."""
        names = [port for service in services for port in service.ports]
        usual = {port: s.usual_port for s in services for port in s.ports if s.usual_port}
        with self._ports_lock:
            self.ports().assign(names, usual)

    def up(self, services: Collection[Service]) -> list[Started]:
        """Start what is not healthy, side by side; populate all, which brings new migrations."""
        dead = [service for service in services if not self.answers(service)]
        self.stop(dead)
        self.assign(dead)
        with ThreadPoolExecutor(len(services) or 1) as pool:
            return list(pool.map(lambda service: self._up(service, service in dead), services))

    def spawn(self, service: Service) -> Spawned:
        """Start the process on its assigned ports and record it."""
        place = self.place()
        service.prepare(place)
        running = process.start(service.command(place), self.log(service))
        self._pids(service).write(running)
        return Spawned(running, place)

    def settle(self, service: Service, spawned: Spawned) -> Spawned:
        """Wait until the process is ready, on other ports when somebody was quicker to bind them.

        Returns the one that is ready. Raises:
            StackError: it is not; what is left of it is stopped.
        """
        for tries_left in range(_TRIES, -1, -1):
            try:
                self._await(service, spawned)
            except _PortTakenError as taken:
                self.stop([service])
                if not tries_left or set(service.ports) & set(self.fixed):
                    raise StackError(f"{taken}: choose another, or leave the choice out") from taken
                self.say(f"{taken}; trying another one")
                self.assign([service])
                spawned = self.spawn(service)
            except StackError:
                process.stop(spawned.running, service.stop_signal, service.grace)
                raise
            else:
                break
        return spawned

    def explained(self, service: Service, offset: int, error: Exception) -> str:
        """Why the process did not start: the error, its log's end, and what to do."""
        end = log_end(self.log(service), offset)
        return f"{service.name} did not start: {error}\n{end}{service.hint}"

    def stop(self, services: Collection[Service]) -> list[str]:
        """Stop the processes side by side and forget them; returns those that ran."""
        running = [service for service in services if self.running(service)]
        with ThreadPoolExecutor(max(1, len(services))) as pool:
            list(pool.map(self._stop, services))
        return [service.name for service in running]

    def kill(self, services: Iterable[Service]) -> None:
        """Kill -9 of the processes and all that they started, at once."""
        for service in services:
            recorded = self._pids(service).recorded()
            self._pids(service).remove()
            if recorded:
                process.kill(recorded)

    def _up(self, service: Service, fresh: bool) -> Started:
        began = time.monotonic()
        offset = self.log_size(service)
        try:
            if fresh:
                self.settle(service, self.spawn(service))
            service.populate(self.place())
        except Exception as error:  # noqa: BLE001 - one server's failure must not stop the others
            left = self.running(service)
            if left and fresh:
                process.stop(left, service.stop_signal, service.grace)
            text = self.explained(service, offset, error)
            return Started(service.name, time.monotonic() - began, error=text)
        started = Started(service.name, time.monotonic() - began, already=not fresh)
        self.say(
            f"{service.name:14} already running"
            if started.already
            else f"{service.name:14} ready after {started.seconds:.1f} s"
        )
        return started

    def _await(self, service: Service, spawned: Spawned) -> None:
        began = spoken = time.monotonic()
        while not _is_ready(service, spawned.place, spawned.running):
            process.reap()
            now = time.monotonic()
            if spawned.running.process() is None:
                self._ended(service, spawned)
            if self.interrupted.is_set():
                raise StackError("interrupted")
            if now - began > service.patience:
                raise StackError(
                    f"not ready within {service.patience:.0f} s (pid {spawned.running.pid})"
                )
            if now - spoken > _STILL:
                self.say(f"{service.name:14} still starting after {now - began:.0f} s")
                spoken = now
            time.sleep(_POLL)

    def _ended(self, service: Service, spawned: Spawned) -> None:
        taken = [spawned.place.ports[port] for port in service.ports]
        taken = [number for number in taken if not is_free(number)]
        if taken:
            raise _PortTakenError(f"port {taken[0]} of {service.name} is taken by another program")
        raise StackError("its process ended")

    def _stop(self, service: Service) -> None:
        recorded = self._pids(service).recorded()
        if recorded:
            began = time.monotonic()
            alive = recorded.process() is not None
            process.stop(recorded, service.stop_signal, service.grace, service.workers)
            if alive:
                self.say(f"{service.name:14} stopped after {time.monotonic() - began:.1f} s")
        self._pids(service).remove()

    def _pids(self, service: Service) -> PidFile:
        return PidFile(self._pid_file(service))

    def _pid_file(self, service: Service) -> Path:
        return self.root / "pids" / f"{service.name}.json"


def _is_ready(service: Service, place: Place, running: Running) -> bool:
    """Ready, and by itself: any answer counted once, and another checkout's UI was announced."""
    return service.ready(place) and running.listens({place.ports[port] for port in service.ports})


def log_end(log: Path, offset: int = 0, lines: int = _LOG_LINES) -> str:
    """The end of what was printed to ``log`` after its first ``offset`` bytes."""
    if not log.exists():
        return ""
    with log.open("rb") as stream:
        stream.seek(offset)
        last = stream.read().decode("utf-8", "replace").splitlines()[-lines:]
    return f"--- end of {log}\n" + "".join(f"{line[:_LOG_WIDTH]}\n" for line in last) + "---\n"
