"""The command that holds the terminal, `make dev` or the demo: what it starts and how it ends.

Belongs here: one such command per state directory, Ctrl-C once and twice, and the start and end of
servers and Dagster's processes. Does not: what the command does meanwhile (``dev``, ``demo``).
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import FrameType

from local.dagster_processes import DagsterDied, DagsterProcesses
from local.pipelines import needed_by
from local.progress import counted
from local.service import StackError
from local.stack import Stack
from local.supervisor import Say

#: What ends the command in an orderly way: Ctrl-C, `make down` elsewhere, a closed terminal.
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
INTERRUPTED = 130


class Failed(RuntimeError):
    """The command cannot go on; the message is for its user."""


@dataclass
class Foreground:
    """A command called ``name`` over a stack; with ``ends_servers`` they end with it."""

    stack: Stack
    name: str
    say: Say
    port: int | None = None
    ends_servers: bool = False
    dagster: DagsterProcesses | None = field(default=None, init=False)
    _signals: int = field(default=0, init=False)
    _ending: bool = field(default=False, init=False)

    def run(self, body: Callable[[Foreground], int]) -> int:
        """Do ``body`` and end what it started; its exit code, or 130 when it was interrupted."""
        self.stack.supervisor.say = self.say
        before = {number: signal.signal(number, self._interrupt) for number in _SIGNALS}
        try:
            self.stack.claim()
            return body(self)
        except KeyboardInterrupt:
            return INTERRUPTED
        except (Failed, DagsterDied, StackError) as error:
            if self._signals:
                return INTERRUPTED
            print(f"{self.name} failed: {error}", file=sys.stderr)
            return 1
        finally:
            self._end()
            for number, handler in before.items():
                signal.signal(number, handler)

    def start(self, pipelines: Sequence[str]) -> DagsterProcesses:
        """Start the servers that ``pipelines`` need, then Dagster, without waiting for its UI.

        Raises:
            Failed: a server did not start; the message has the end of its log.
        """
        names = needed_by(pipelines)
        self.say(f"starting {counted(len(names), 'server')}: {', '.join(names)}")
        errors = [one.error for one in self.stack.up(names, pipelines) if one.error]
        if errors:
            raise Failed("\n".join(errors))
        self.say("starting Dagster's webserver and daemon, and the query service")
        env = {**os.environ, **self.stack.env()}
        dagster = DagsterProcesses(env, self.stack.root, port=self.port, say=self.say)
        self.dagster = dagster
        dagster.start(api=True)
        return dagster

    def wait_ready(self) -> None:
        """Wait for UI and query service, and say where they are. Raises DagsterDied."""
        if self.dagster:
            self.dagster.wait_ready()
            self.say(f"Dagster UI: {self.url}")
            self.say(f"Answers: {self.dagster.api_url}, by a key of `make api-key NAME=…`")

    @property
    def url(self) -> str:
        """Where the UI answers; empty before it was started."""
        return self.dagster.url if self.dagster else ""

    @property
    def api_url(self) -> str:
        """Where the query service answers; empty before it was started."""
        return self.dagster.api_url if self.dagster else ""

    def log_end(self) -> str:
        """The last lines of the daemon's log."""
        return self.dagster.log_end("daemon") if self.dagster else ""

    def check_alive(self) -> None:
        """Raise DagsterDied when a process of Dagster has ended."""
        if self.dagster:
            self.dagster.check_alive()

    def _interrupt(self, number: int, _frame: FrameType | None) -> None:
        self._signals += 1
        if self._signals > 1:
            self._end_at_once()
        why = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        what = "Dagster and the servers" if self.ends_servers else "Dagster (the servers stay up)"
        self.say(f"{why}: stopping {what}; Ctrl-C again ends everything at once")
        if not self._ending:
            self.stack.supervisor.interrupted.set()
            raise KeyboardInterrupt

    def _end_at_once(self) -> None:
        self.say("ending at once")
        if self.dagster:
            self.dagster.kill()
        if self.ends_servers:
            self.stack.kill()
        self.stack.release()
        # No handler, no `finally` and no traceback after this.
        os._exit(INTERRUPTED)

    def _end(self) -> None:
        self._ending = True
        if not self.stack.claimed():
            return
        if self.dagster:
            self.say("stopping Dagster")
            self.dagster.stop()
        if self.ends_servers:
            self.say("stopping the servers")
            self.stack.down()
        self.stack.release()
        self.say("ended" if self.ends_servers else "ended; `make down` stops the servers, too")
