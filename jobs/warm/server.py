"""The run server: forks a process per run from one that has imported everything.

Belongs here: requests, children, replacing itself when the code has changed. Does not: imports
(``preloading.py``), what a child does (``executing.py``), Dagster's side (``launcher.py``).

Run it with ``DAGSTER_HOME`` set, in the repository: ``python -m jobs.warm.server``. It has one
thread. Children live on when it ends; the one that comes after it knows them.
"""

from __future__ import annotations

import logging
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jobs.warm import preloading, protocol, sources
from jobs.warm.executing import INTERRUPTS, report_dead, run_and_exit
from jobs.warm.known_runs import KnownRuns, Worker, started_at

log = logging.getLogger("quintet.runs")

ROOT = Path(__file__).resolve().parents[2]

#: Seconds between two looks for children that ended, should their signal get lost.
_LOOK = 2.0


class RunServer:
    """Answers at a directory's socket; see :mod:`jobs.warm.protocol`."""

    def __init__(self, directory: Path, root: Path = ROOT) -> None:
        self._root = root
        self._runs = KnownRuns(directory / "runs")
        self._socket = protocol.socket_of(directory)
        self._listener = _listen(self._socket)
        self._children: dict[int, str] = {}
        self._picture = sources.picture(root)
        self._broken = ""
        self._ending = False
        self._wakeup, self._woken = socket.socketpair()
        #: The connection of the request in hand, which a child must not hold open.
        self._asking = self._woken

    def serve(self) -> None:
        """Answer until SIGTERM or SIGINT."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for end in (self._wakeup, self._woken):
            end.setblocking(False)
        signal.set_wakeup_fd(self._wakeup.fileno())
        try:
            preloading.preload()
            preloading.require_alone()
        except Exception as error:  # the code that was edited: the next edit may mend it
            log.exception("the code cannot be loaded: runs start cold until it can")
            self._broken = f"{type(error).__name__}: {error}"
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            log.info("ready at %s", self._socket)
            while not self._ending:
                for key, _ in selector.select(_LOOK):
                    if key.fileobj is self._listener:
                        self._take(selector)
                    else:
                        _drain(self._woken)
                self._reap()
        self._listener.close()
        if os.getpid() == 1:  # of a container, where nothing outlives it
            self._end_children()
        log.info("ends; %d runs go on", len(self._children))

    def _end(self, *_: Any) -> None:
        self._ending = True

    def _end_children(self) -> None:
        """Interrupt the runs and wait for them: whoever waits for us has a limit."""
        for pid in self._children:
            os.kill(pid, signal.SIGINT)
        while self._children:
            time.sleep(0.1)
            self._reap()

    def _take(self, selector: selectors.BaseSelector) -> None:
        """Answer one request."""
        connection, _ = self._listener.accept()
        self._asking = connection
        with connection:
            connection.settimeout(protocol.TIMEOUT)
            try:
                asked = protocol.received(connection)
                verb, run_id = asked["verb"], str(asked["run_id"])
                if verb == "launch" and _hung_up(connection):  # it starts cold by now
                    raise ConnectionAbortedError(f"run_id={run_id}: given up before the fork")
                again = verb == "launch" and self._is_old()
                answer, words = ("again", "") if again else self._answer(verb, run_id, selector)
                connection.sendall(protocol.encoded({"answer": answer, "words": words}))
            except (OSError, ValueError, KeyError) as error:
                log.warning("a request was not understood, or nobody waited: %s", error)
                return
        if again:
            self._replace()

    def _answer(
        self, verb: str, run_id: str, selector: selectors.BaseSelector
    ) -> tuple[protocol.Answer, str]:
        if verb == "launch":
            return self._launch(run_id, selector)
        worker = self._runs.get(run_id)
        if worker is None:
            return "unknown", ""
        if not worker.alive:
            return "gone", f"process {worker.pid} has ended"
        if verb == "interrupt":
            os.kill(worker.pid, signal.SIGINT)
        return "running", f"process {worker.pid}"

    def _launch(self, run_id: str, selector: selectors.BaseSelector) -> tuple[protocol.Answer, str]:
        if self._broken:
            return "refused", self._broken
        before = self._runs.get(run_id)
        if before is not None and before.alive:  # the launcher asks again: it may have missed that
            return "ok", f"process {before.pid}"
        # The child waits until it is known: whoever asks for it finds it.
        known, tell = os.pipe()
        # An interrupt is for the run, once it can be told: not for what it inherits until then.
        signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTS)
        pid = os.fork()
        if pid == 0:
            os.close(tell)
            self._become(run_id, known, selector)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, INTERRUPTS)
        os.close(known)
        started = started_at(pid)
        if started is not None:
            self._runs.add(run_id, Worker(pid, started))
        self._children[pid] = run_id
        os.write(tell, b"!")
        os.close(tell)
        log.info("run_id=%s pid=%d", run_id, pid)
        return "ok", f"process {pid}"

    def _become(self, run_id: str, known: int, selector: selectors.BaseSelector) -> None:
        """In the child: the run and nothing else."""
        selector.close()
        for one in (self._listener, self._wakeup, self._woken, self._asking):
            one.close()
        if os.read(known, 1) != b"!":
            os._exit(1)
        os.close(known)
        run_and_exit(run_id)

    def _reap(self) -> None:
        """Collect children that ended; of one that did not end well Dagster is told."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            run_id = self._children.pop(pid, None)
            if run_id is None:
                continue
            code = os.waitstatus_to_exitcode(status)
            self._runs.remove(run_id)
            if code:
                log.warning("run_id=%s: process %d %s", run_id, pid, _ended(code))
                self._tell(run_id, f"The run's process {pid} {_ended(code)}.")
        for run_id in self._runs:
            worker = self._runs.get(run_id)
            if worker is not None and not worker.alive and worker.pid not in self._children:
                self._runs.remove(run_id)
                self._tell(run_id, f"The run's process {worker.pid} ended while nobody looked.")

    def _tell(self, run_id: str, words: str) -> None:
        """In a child, since this process keeps no connection; of a run that has ended nothing."""
        if os.fork():
            return

        code = 1
        try:
            self._listener.close()
            report_dead(run_id, words)
            code = 0
        except BaseException:  # noqa: BLE001 - nobody above could be told
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(code)

    def _is_old(self) -> bool:
        return sources.picture(self._root) != self._picture

    def _replace(self) -> None:
        """Begin anew with the code as it is now, in the same process: its children stay its own."""
        log.info("the code has changed: starting over")
        self._listener.close()
        signal.set_wakeup_fd(-1)
        os.execv(sys.executable, [sys.executable, "-m", "jobs.warm.server", *sys.argv[1:]])  # noqa: S606


def _listen(path: Path) -> socket.socket:
    """The listening socket, in the place of one whose server is gone.

    Raises RuntimeError when a server answers there.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        try:
            other.connect(str(path))
        except OSError:
            path.unlink(missing_ok=True)
        else:
            raise RuntimeError(f"a run server answers at {path}")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    path.chmod(0o600)
    listener.listen(64)
    return listener


def _hung_up(connection: socket.socket) -> bool:
    """Whether who asked no longer waits: requests queue up while this process imports."""
    connection.setblocking(False)
    try:
        return connection.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    finally:
        connection.settimeout(protocol.TIMEOUT)


def _drain(woken: socket.socket) -> None:
    try:
        while woken.recv(4_096):
            pass
    except BlockingIOError:
        return


def _ended(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"


def main(arguments: Sequence[str]) -> int:
    """Serve the instance of ``DAGSTER_HOME``; the code's root may be named."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr
    )
    home = os.environ.get("DAGSTER_HOME")
    if not home:
        log.error("DAGSTER_HOME is not set: whose runs?")
        return 2
    directory = protocol.directory_of(home)
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        server = RunServer(directory, *map(Path, arguments[:1]))
    except RuntimeError as error:
        log.error("%s", error)  # noqa: TRY400 - it says all
        return 1
    server.serve()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
