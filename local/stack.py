"""The stack: the declared servers of one state directory, started, stopped and looked at together.

Belongs here: order, state directory, environment file. Does not: how one process is handled
(`local.process`), what a server is (`local.service`).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from local import dagster_processes, environment_file, process
from local.process import PidFile, Running
from local.service import REPOSITORY, Place, Service, StackError
from local.services import SERVICES
from local.supervisor import Started, Status, Supervisor
from resources.environment import DAGSTER_VARIABLES

DEFAULT_ROOT = REPOSITORY / ".local"
#: Written into every state directory; `reset` removes nothing from a directory without it.
_MARK = "quintet-stack"
#: What `reset` removes. The servers' environment beside it stays.
_STATE = ("data", "logs", "pids", "secrets", "dagster", "ports.json", "pipelines", "env")

#: Seconds that the command in another terminal gets to stop Dagster and, perhaps, the servers.
_CLAIMANT_GRACE = 60.0
#: To stop and to list them; what they are started with only their starter knows.
DAGSTER = dagster_processes.declared()


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
        self.supervisor = Supervisor(self.root, lambda: servers_python(self.root))
        self._claimant = PidFile(self.root / "pids" / "terminal.json")

    # -- what callers use -----------------------------------------------------------------

    def up(
        self, names: Iterable[str] | None = None, pipelines: Sequence[str] | None = None
    ) -> list[Started]:
        """Start the servers in ``names`` (all by default), in parallel; leave healthy ones alone.

        With ``pipelines`` the environment says that a code location holds these, from then on.
        Returns one `Started` per server, in which ``error`` tells why one is not up; the others
        stay up. Raises StackError for an unknown name, or a ``.env`` that is not the stack's.
        """
        chosen = self._select(names)
        with self._made():
            if pipelines is not None:
                (self.root / "pipelines").write_text(",".join(pipelines), "utf-8")
            results = self.supervisor.up(chosen)
            self._write_environment()
        return results

    def down(self, names: Iterable[str] | None = None) -> list[str]:
        """Stop the servers in ``names``, in parallel; returns what ran.

        By default all, and before them the command in a terminal and Dagster's processes.
        """
        chosen = self._select(names)
        if not self.root.exists():
            return []
        ended = self._end_claimant() if names is None else []
        with self._lock():
            if names is None:
                for services in dagster_processes.stopped_in_turn(DAGSTER):
                    ended += self.supervisor.stop(services)
            return ended + self.supervisor.stop(chosen)

    def kill(self) -> None:
        """Kill -9 of everything at once; what was acknowledged survives it."""
        self.supervisor.kill([*DAGSTER.values(), *self.services.values()])

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

    # -- the one command in a terminal --------------------------------------------------------

    def claim(self) -> None:
        """Take the state directory for this process, and end what a killed one has left running.

        Raises:
            StackError: such a command runs already, or ``.env`` is not the stack's.
        """
        with self._made():
            other = self._claimant.read()
            if other:
                raise StackError(
                    f"`make dev` or `make demo` runs already (pid {other.pid}): press Ctrl-C "
                    "there, or run `make down`"
                )
            self._claimant.write(Running.this())
            for services in dagster_processes.stopped_in_turn(DAGSTER):
                self.supervisor.stop(services)

    def claimed(self) -> bool:
        """Whether the state directory is still this process's."""
        other = self._claimant.read()
        return other is not None and other.pid == os.getpid()

    def release(self) -> None:
        """Give the state directory back."""
        if self.claimed():
            self._claimant.remove()

    def _end_claimant(self) -> list[str]:
        """Ask the command in another terminal to end, which stops what it has started."""
        other = self._claimant.read()
        if other is None or other.pid == os.getpid():
            return []
        self.supervisor.say(f"ending what runs in another terminal (pid {other.pid})")
        process.ask(other, "SIGTERM", _CLAIMANT_GRACE)
        self._claimant.remove()
        return ["what ran in another terminal"]

    # -- looking ------------------------------------------------------------------------------

    def status(self) -> list[Status]:
        """The state of every declared server."""
        return [self.supervisor.status(service) for service in self.services.values()]

    def dagster_status(self) -> list[Status]:
        """The state of Dagster's daemon and webserver."""
        return [self.supervisor.status(service) for service in DAGSTER.values()]

    def env(self) -> dict[str, str]:
        """The variables of the servers that were ever started in this state directory."""
        place = self.place()
        variables = {"DAGSTER_HOME": str(self.root / "dagster"), **DAGSTER_VARIABLES}
        if (self.root / "pipelines").exists():
            variables["QUINTET_PIPELINES"] = (self.root / "pipelines").read_text("utf-8")
        for service in self.services.values():
            if all(port in place.ports for port in service.ports):
                variables.update(service.variables(place))
        return variables

    def place(self) -> Place:
        """Where the stack lives, with the ports assigned so far."""
        return self.supervisor.place()

    def running(self, name: str) -> Running | None:
        """The process of server ``name`` when it lives."""
        return self.supervisor.running(self._select([name])[0])

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

    @contextlib.contextmanager
    def _made(self) -> Iterator[None]:
        """The state directory, made and locked. Raises StackError before it touches anything."""
        if self.root == DEFAULT_ROOT:
            environment_file.refuse_anothers(REPOSITORY / ".env", self.root / "env")
        self.root.mkdir(parents=True, exist_ok=True)
        with self._lock():
            self._make_root()
            yield

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
