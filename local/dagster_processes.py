"""Dagster's processes and the query service, supervised: of the demo, `make dev` and the tests.

Belongs here: declaring, starting and watching them. Does not: the servers they talk to (``stack``),
pid files and ports (``supervisor``).
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from jobs.warm import protocol
from local import process
from local.service import (
    HOST,
    REPOSITORY,
    Command,
    Place,
    Service,
    StackError,
    Workers,
    accepts,
    answers_http,
)
from local.supervisor import Say, Spawned, Supervisor, log_end, silent

_PORT = "webserver"
_BIN = Path(sys.executable).parent
_RUN_SERVER = "jobs.warm.server"
_RUNS = "runs"
_CODE = "code"
_API = "api"
#: What others call the code location; a workspace that imports it must not call it otherwise.
_LOCATION = "quintet"
#: What the others of Dagster's ask.
_SERVING = (_CODE, _RUNS)
#: Without these the others go on, if worse: they are started again.
_SPARED = (*_SERVING, _API)
#: What sensors.landed looks for, whose import is Dagster's.
_STOPPING = "stopping"
#: Creates Dagster's tables once, before two processes would race to.
_MAKE_TABLES = "import dagster as dg\nwith dg.DagsterInstance.get() as i: i.get_runs_count()"


#: Seconds that runs in progress get to end: a streaming session drains for 20 s at most.
RUNS_GRACE = 30.0


#: How often within so many seconds a server is started again before somebody has to look.
_AGAIN = 3
_LATELY = 120.0


class DagsterDied(RuntimeError):
    """A Dagster process ended while it was needed."""


def run_workers(family: list[psutil.Process]) -> list[psutil.Process]:
    """The processes that execute runs: those that a code server has spawned.

    An interrupt is what cancelling a run sends them, too: a streaming session drains and ends.
    """
    words = {one: _words(one) for one in family}
    servers = {one.pid for one, said in words.items() if {"api", "grpc"} <= set(said)}
    return [
        one
        for one, said in words.items()
        if "--multiprocessing-fork" in said and _parent(one) in servers
    ]


def forked_runs(family: list[psutil.Process]) -> list[psutil.Process]:
    """The processes that execute runs: what the run server, which leads their session, forked."""
    return [one for one in family if _RUN_SERVER in _words(one) and not _leads_session(one)]


def _leads_session(process: psutil.Process) -> bool:
    try:
        return os.getsid(process.pid) == process.pid
    except ProcessLookupError:
        return False


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _parent(process: psutil.Process) -> int:
    try:
        return process.ppid()
    except psutil.Error:
        return 0


def declared(
    environment: Mapping[str, str] | None = None,
    cwd: Path = REPOSITORY,
    more: Sequence[Path] = (),
    *,
    instead: Path | None = None,
) -> dict[str, Service]:
    """All of Dagster's; for stopping and listing them nothing else has to be known.

    The code location is served by a process of its own, by which daemon and webserver find it: one
    that the daemon starts itself it starts again every minute. Workspace files ``more`` name others
    beside it, or ``instead`` of it.
    """

    def command(place: Place, program: str, *arguments: str) -> Command:
        files = [instead or _workspace_file(place), *more]
        argv = [str(_BIN / program), *arguments]
        argv += [word for file in files for word in ("-w", str(file))]
        # Alerts link to it. A daemon may run without it.
        port = place.ports.get(_PORT)
        ui = {"QUINTET_UI_URL": f"http://{HOST}:{port}"} if port else {}
        return Command(argv, environment={**ui, **(environment or {})}, directory=cwd)

    def serve(place: Place) -> Command:
        argv = [str(_BIN / "dagster"), "code-server", "start"]
        argv += ["-h", HOST, "-p", str(place.ports[_CODE]), "--log-level", "warning"]
        argv += ["-m", "definitions", "-d", str(REPOSITORY), "--location-name", _LOCATION]
        return Command(argv, environment=environment or {}, directory=cwd)

    def webserver(place: Place) -> Command:
        return command(place, "dagster-webserver", "-h", HOST, "-p", str(place.ports[_PORT]))

    def answers(place: Place) -> bool:
        return answers_http(f"http://{HOST}:{place.ports[_PORT]}/server_info")

    code = Service(
        name=_CODE,
        systems=("code location",),
        ports=(_CODE,),
        command=serve,
        # It listens once the code is loaded.
        ready=lambda place: accepts(place.ports[_CODE]),
        prepare=_write_workspace,
        grace=20.0,
        patience=300.0,
        workers=Workers(run_workers, RUNS_GRACE),
    )
    daemon = Service(
        name="daemon",
        systems=("Dagster's daemon",),
        ports=(),
        command=lambda place: command(place, "dagster-daemon", "run"),
        ready=lambda _: True,
        stop_signal="SIGINT",
        grace=20.0,
        workers=Workers(run_workers, RUNS_GRACE),
    )
    ui = Service(
        name="webserver",
        systems=("Dagster's UI",),
        ports=(_PORT,),
        usual_port=3000,
        command=webserver,
        ready=answers,
        stop_signal="SIGINT",
        grace=20.0,
        patience=300.0,
    )
    variables = environment or {}

    def run_server(_: Place) -> Command:
        path = os.pathsep.join([str(REPOSITORY), *filter(None, [variables.get("PYTHONPATH")])])
        argv = [sys.executable, "-m", _RUN_SERVER]
        return Command(argv, environment={**variables, "PYTHONPATH": path}, directory=cwd)

    def forks(_: Place) -> bool:
        try:
            home = protocol.directory_of(variables.get("DAGSTER_HOME", ""))
            return protocol.ask(home, "status", "nobody's")[0] == "unknown"
        except protocol.NoRunServer:
            return False

    runs = Service(
        name=_RUNS,
        systems=("run server",),
        ports=(),
        command=run_server,
        ready=forks,
        grace=10.0,
        workers=Workers(forked_runs, RUNS_GRACE),
    )
    served = {} if instead else {_CODE: code}
    asking = {"daemon": daemon, "webserver": ui, _API: _query_service(variables, cwd)}
    return {**served, _RUNS: runs, **asking}


def _query_service(variables: Mapping[str, str], cwd: Path) -> Service:
    def serve(place: Place) -> Command:
        path = os.pathsep.join([str(REPOSITORY), *filter(None, [variables.get("PYTHONPATH")])])
        ui = place.ports.get(_PORT)
        links = {"QUINTET_UI_URL": f"http://{HOST}:{ui}"} if ui else {}
        argv = [sys.executable, "-m", "api", "--host", HOST, "--port", str(place.ports[_API])]
        return Command(argv, {**links, **variables, "PYTHONPATH": path}, cwd)

    return Service(
        name=_API,
        systems=("query service",),
        ports=(_API,),
        usual_port=8000,
        command=serve,
        ready=lambda place: answers_http(f"http://{HOST}:{place.ports[_API]}/v1/health/live"),
        grace=15.0,
        patience=300.0,
    )


def stopped_in_turn(services: Mapping[str, Service]) -> list[list[Service]]:
    """Who asks ends before who is asked: else ticks and runs fail for want of it."""
    asking = [service for name, service in services.items() if name not in _SERVING]
    return [asking, [service for name, service in services.items() if name in _SERVING]]


def _workspace_file(place: Place) -> Path:
    return place.root / "workspace.yaml"


def _write_workspace(place: Place) -> None:
    server = f"{{host: {HOST}, port: {place.ports[_CODE]}, location_name: {_LOCATION}}}"
    _workspace_file(place).write_text(f"load_from:\n  - grpc_server: {server}\n", "utf-8")


@dataclass
class DagsterProcesses:
    """A webserver, a daemon, a code server and a run server, recorded below ``state``.

    ``more`` and ``instead`` are as in ``declared``. ``env`` is added to this process's environment.
    They run in ``cwd``: a ``.env`` file there is read by Dagster and wins over ``env``. ``port`` is
    asked for; without one the UI gets that of its last start, or Dagster's usual one, or any.
    """

    env: Mapping[str, str]
    state: Path
    cwd: Path = REPOSITORY
    more: Sequence[Path] = ()
    instead: Path | None = None
    port: int | None = None
    say: Say = silent
    _spawned: dict[str, Spawned] = field(default_factory=dict)
    _again: dict[str, list[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.services = declared(self.env, self.cwd, self.more, instead=self.instead)
        self.supervisor = Supervisor(
            self.state,
            lambda: Path(sys.executable),
            self.say,
            fixed=(_PORT,) if self.port else (),
        )

    @property
    def api_url(self) -> str:
        """Where the query service answers."""
        return f"http://{HOST}:{self.supervisor.place().ports[_API]}"

    @property
    def url(self) -> str:
        """Where the UI answers."""
        return f"http://{HOST}:{self.supervisor.place().ports[_PORT]}"

    def start(self, *, webserver: bool = True, daemon: bool = True, api: bool = False) -> None:
        """Start what is asked for and not running yet; waits for the code server only.

        Raises:
            StackError: the port that was asked for is taken, Dagster's storage cannot be used, or
                the code server does not start.
        """
        asked = {_CODE: True, _RUNS: daemon, "daemon": daemon, "webserver": webserver, _API: api}
        missing = [
            service
            for name, service in self.services.items()
            if asked[name] and not self._works(name)
        ]
        self.state.mkdir(parents=True, exist_ok=True)
        if webserver and self.port and self.services["webserver"] in missing:
            self.supervisor.ports().fix(_PORT, self.port)
        for service in missing:
            self._end_alone(service.name)  # before its port is found taken
        self.supervisor.assign(missing)
        self.prepare_instance()
        code = self.services.get(_CODE)
        for service in missing:
            if service is not code:
                continue
            # Who finds it away looks again a minute later.
            spawned = self.supervisor.spawn(code)
            self._spawned[_CODE] = self.supervisor.settle(code, spawned)
        for service in missing:
            if service is not code:
                self._spawned[service.name] = self.supervisor.spawn(service)

    def _end_alone(self, name: str) -> None:
        """End what passes on requests that nobody answers any more; runs that it started go on."""
        running = self.supervisor.running(self.services[name])
        process = running.process() if running else None
        if process:
            process.kill()
            psutil.wait_procs([process], timeout=5)

    def _works(self, name: str) -> bool:
        """Whether the process lives and, for the code server, what it has started to serve."""
        pid, service = self.pids().get(name), self.services[name]
        if pid is None or name != _CODE:
            return pid is not None
        try:
            proxy = psutil.Process(pid)
            if any("grpc" in _words(one) for one in proxy.children()):
                return True
            # It listens once it has a child. Until then it starts, or hangs.
            started = time.time() - proxy.create_time()
            return started < service.patience and not self.supervisor.answers(service)
        except psutil.NoSuchProcess:
            return False

    def prepare_instance(self) -> None:
        """Create Dagster's tables. Raises StackError with what was printed when it cannot."""
        log = self.state / "logs" / "instance.log"
        # In a session of its own, as all others: Ctrl-C must not print its traceback.
        command = Command([sys.executable, "-c", _MAKE_TABLES], self.env, self.cwd)
        code = process.run(command, log, timeout=300)
        if code:
            raise StackError(f"Dagster's storage cannot be used ({code}):\n{log_end(log)}")

    def wait_ready(self) -> None:
        """Return when our own webserver answers.

        Raises:
            DagsterDied: a process ended, or did not answer; the message has the end of its log.
        """
        for name, spawned in self._spawned.items():
            service = self.services[name]
            try:
                self._spawned[name] = self.supervisor.settle(service, spawned)
            except StackError as error:
                raise DagsterDied(f"{name}: {error}\n{self.log_end(name)}") from error

    def check_alive(self) -> None:
        """Raise DagsterDied when a started process has ended.

        Code server, run server and query service are started again, if not time after time: until
        then ticks fail, runs start later and nobody answers. What they had started goes on.
        """
        for name in [*self._spawned]:
            if self._works(name):
                continue
            now = time.monotonic()
            lately = [at for at in self._again.get(name, ()) if now - at < _LATELY]
            if name not in _SPARED or len(lately) >= _AGAIN:
                raise DagsterDied(f"{name} ended:\n{self.log_end(name)}")
            self._again[name] = [*lately, now]
            self.say(f"{name:14} ended; starting it again")
            self._end_alone(name)
            self._spawned[name] = self.supervisor.spawn(self.services[name])

    def log_end(self, name: str, lines: int = 30) -> str:
        """The last lines of a process's log."""
        return log_end(self.supervisor.log(self.services[name]), lines=lines)

    def pids(self) -> dict[str, int]:
        """The pid of every process that runs."""
        running = {name: self.supervisor.running(one) for name, one in self.services.items()}
        return {name: process.pid for name, process in running.items() if process}

    def stop(self) -> None:
        """End the processes, then the runs in progress: politely, then by force."""
        self._spawned.clear()
        with self._told_ticks():
            for services in stopped_in_turn(self.services):
                self.supervisor.stop(services)

    @contextmanager
    def _told_ticks(self) -> Iterator[None]:
        """Ticks that wait for files end now."""
        home = self.env.get("DAGSTER_HOME")
        if home is None:
            yield
            return
        said = Path(home, _STOPPING)
        said.touch()
        try:
            yield
        finally:
            said.unlink(missing_ok=True)

    def kill(self) -> None:
        """Kill -9 of everything at once: daemon, webserver, code servers and run workers."""
        self._spawned.clear()
        self.supervisor.kill(self.services.values())
