"""The stack: the declared servers of one state directory, started, stopped and looked at together.

Belongs here: order, state directory, environment file. Does not: how one process is handled
(`local.process`), what a server is (`local.service`).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from local import environment_file, process
from local.ports import Ports
from local.process import PidFile, Running
from local.service import REPOSITORY, Place, Service, StackError
from local.services import SERVICES
from resources.environment import DAGSTER_VARIABLES

DEFAULT_ROOT = REPOSITORY / ".local"
#: Written into every state directory; `reset` removes nothing from a directory without it.
_MARK = "quintet-stack"
#: What `reset` removes. The servers' environment beside it stays.
_STATE = ("data", "logs", "pids", "secrets", "dagster", "ports.json", "env")
_LOG_LINES = 25
_LOG_WIDTH = 300
_POLL = 0.1


@dataclass(frozen=True)
class Status:
    """One server's state. ``state`` is running, starting, stopped or failed; ``memory`` bytes."""

    service: str
    systems: tuple[str, ...]
    state: str
    pid: int | None
    ports: tuple[int, ...]
    memory: int
    log: Path


@dataclass(frozen=True)
class Started:
    """What `Stack.up` did with one server: seconds until it was ready, error if it was not."""

    service: str
    seconds: float
    already: bool = False
    error: str | None = None


def servers_python(root: Path = DEFAULT_ROOT) -> Path:
    """Interpreter of the servers' environment: QUINTET_SERVERS_VENV, else ``.local/servers``.

    A state directory elsewhere uses the repository's environment. Raises StackError when there
    is none.
    """
    named = os.environ.get("QUINTET_SERVERS_VENV")
    choices = [Path(named)] if named else [root / "servers", DEFAULT_ROOT / "servers"]
    for choice in choices:
        python = choice.absolute() / "bin" / "python"
        if python.exists():
            return python
    raise StackError(
        f"the servers' environment is not in {choices[-1]}: run `make install`, or set "
        "QUINTET_SERVERS_VENV to an environment made from local/servers"
    )


class Stack:
    """The servers of the state directory ``root``, which is made when it is not there."""

    def __init__(
        self, root: Path = DEFAULT_ROOT, services: dict[str, Service] | None = None
    ) -> None:
        self.root = root.absolute()
        self.services = SERVICES if services is None else services

    # -- what callers use -----------------------------------------------------------------

    def up(self, names: Iterable[str] | None = None) -> list[Started]:
        """Start the servers in ``names`` (all by default), in parallel; leave healthy ones alone.

        Returns one `Started` per server, in which ``error`` tells why one is not up; the others
        stay up. Raises StackError for an unknown name, or a ``.env`` that is not the stack's.
        """
        chosen = self._select(names)
        if self.root == DEFAULT_ROOT:
            environment_file.refuse_anothers(REPOSITORY / ".env", self.root / "env")
        self.root.mkdir(parents=True, exist_ok=True)
        with self._lock():
            self._make_root()
            dead = [service for service in chosen if not self._healthy(service)]
            for service in dead:
                self._stop(service)
            ports = Ports(self.root / "ports.json")
            ports.assign([port for service in dead for port in service.ports])
            place = self.place()
            with ThreadPoolExecutor(len(chosen) or 1) as pool:
                results = list(
                    pool.map(
                        lambda service: self._start(service, place, fresh=service in dead), chosen
                    )
                )
            self._write_environment()
        return results

    def down(self, names: Iterable[str] | None = None) -> list[str]:
        """Stop the servers in ``names`` (all by default), in parallel; returns those that ran."""
        chosen = self._select(names)
        if not self.root.exists():
            return []
        with self._lock():
            running = [service for service in chosen if self._running(service)]
            with ThreadPoolExecutor(max(1, len(running))) as pool:
                list(pool.map(self._stop, running))
        return [service.name for service in running]

    def reset(self) -> None:
        """Stop everything and remove the state: data, logs, ports, secrets, environment file.

        Raises StackError when ``root`` is no state directory of a stack.
        """
        if not self.root.exists():
            return
        if not (self.root / _MARK).exists():
            raise StackError(f"{self.root} is not a state directory of this stack: nothing removed")
        self.down()
        environment_file.unlink_from(REPOSITORY / ".env", self.root / "env")
        for name in _STATE:
            path = self.root / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        (self.root / _MARK).unlink()

    def status(self) -> list[Status]:
        """The state of every declared server."""
        numbers = Ports(self.root / "ports.json").numbers
        rows = []
        for service in self.services.values():
            running = self._running(service)
            state = "stopped"
            if running:
                state = "running" if self._answers(service) else "starting"
            elif self._pid_file(service).exists():
                state = "failed"
            rows.append(
                Status(
                    service.name,
                    service.systems,
                    state,
                    running.pid if running else None,
                    tuple(numbers[port] for port in service.ports if port in numbers),
                    running.memory() if running else 0,
                    self.root / "logs" / f"{service.name}.log",
                )
            )
        return rows

    def env(self) -> dict[str, str]:
        """The variables of the servers that were ever started in this state directory."""
        place = self.place()
        variables = {"DAGSTER_HOME": str(self.root / "dagster"), **DAGSTER_VARIABLES}
        for service in self.services.values():
            if all(port in place.ports for port in service.ports):
                variables.update(service.variables(place))
        return variables

    def place(self) -> Place:
        """Where the stack lives, with the ports assigned so far."""
        return Place(self.root, servers_python(self.root), Ports(self.root / "ports.json").numbers)

    def running(self, name: str) -> Running | None:
        """The process of server ``name`` when it lives."""
        return self._running(self._select([name])[0])

    # -- starting and stopping one ----------------------------------------------------------

    def _start(self, service: Service, place: Place, *, fresh: bool) -> Started:
        """Start the server if ``fresh``, and populate it.

        A running one is populated too, which brings new migrations to it.
        """
        began = time.monotonic()
        log = place.log(service.name)
        offset = log.stat().st_size if log.exists() else 0
        try:
            if fresh:
                service.prepare(place)
                running = process.start(service.command(place), log)
                self._pids(service).write(running)
                self._await(service, place, running)
            service.populate(place)
        except Exception as error:  # noqa: BLE001 - one server's failure must not stop the others
            left = self._running(service)
            if left and fresh:
                process.stop(left, service.stop_signal, service.grace)
            return Started(
                service.name,
                time.monotonic() - began,
                error=f"{service.name} did not start: {error}\n{_tail(log, offset)}{service.hint}",
            )
        return Started(service.name, time.monotonic() - began, already=not fresh)

    def _await(self, service: Service, place: Place, running: Running) -> None:
        began = time.monotonic()
        while not service.ready(place):
            process.reap()
            if running.process() is None:
                raise StackError("its process ended")
            if time.monotonic() - began > service.patience:
                raise StackError(f"not ready within {service.patience:.0f} s (pid {running.pid})")
            time.sleep(_POLL)

    def _stop(self, service: Service) -> None:
        running = self._running(service)
        if running:
            process.stop(running, service.stop_signal, service.grace)
        self._pids(service).remove()

    def _healthy(self, service: Service) -> bool:
        return self._running(service) is not None and self._answers(service)

    def _answers(self, service: Service) -> bool:
        place = self.place()
        if any(port not in place.ports for port in service.ports):
            return False
        return service.ready(place)

    def _running(self, service: Service) -> Running | None:
        process.reap()
        return self._pids(service).read()

    def _pids(self, service: Service) -> PidFile:
        return PidFile(self._pid_file(service))

    def _pid_file(self, service: Service) -> Path:
        return self.root / "pids" / f"{service.name}.json"

    # -- the state directory ----------------------------------------------------------------

    def _select(self, names: Iterable[str] | None) -> list[Service]:
        if names is None:
            return list(self.services.values())
        chosen = list(dict.fromkeys(names))
        unknown = [name for name in chosen if name not in self.services]
        if unknown:
            raise StackError(
                f"unknown server {', '.join(unknown)}; there are {', '.join(self.services)}"
            )
        return [self.services[name] for name in chosen]

    def _make_root(self) -> None:
        for name in ("data", "logs", "pids", "dagster"):
            (self.root / name).mkdir(exist_ok=True)
        (self.root / _MARK).touch()
        instance = self.root / "dagster" / "dagster.yaml"
        if not instance.is_symlink() and not instance.exists():
            instance.symlink_to(REPOSITORY / "dagster.yaml")

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        """One `up` or `down` at a time, across processes."""
        with (self.root / "lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def _write_environment(self) -> None:
        path = self.root / "env"
        environment_file.write(path, self.env())
        if self.root == DEFAULT_ROOT:
            environment_file.link_to(REPOSITORY / ".env", path)


def _tail(log: Path, offset: int) -> str:
    """The end of what a server printed since its start."""
    if not log.exists():
        return ""
    with log.open("rb") as stream:
        stream.seek(offset)
        lines = stream.read().decode("utf-8", "replace").splitlines()[-_LOG_LINES:]
    return f"--- end of {log}\n" + "".join(f"{line[:_LOG_WIDTH]}\n" for line in lines) + "---\n"
