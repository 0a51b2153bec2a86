"""One worker as its parent has it: a process, a pipe, and the items that are in its hands.

Belongs here: starting, sending, receiving, ending. Does not: whose fault an end was (``pool.py``).
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec

from assets.images.processing import messages
from assets.images.processing.messages import Report, Setup
from assets.images.processing.operation import Item
from assets.images.processing.slots import Busy, Slots

#: Bytes of a report, of which one has a few hundred for each of eight outcomes.
_MOST_REPORT = 1 << 20
_ROOT = Path(__file__).resolve().parents[3]
#: Arenas of the allocator: with one for each thread freed pixels stay where nobody takes them.
_ENVIRONMENT = {"MALLOC_ARENA_MAX": "2", "OMP_NUM_THREADS": "1"}


class Child:
    """A started worker. ``held`` are the items sent to it of which it has not told the outcome.

    ``alone`` while it holds one item only, which has ended a worker or its memory before.
    """

    def __init__(self, setup: Setup) -> None:
        ours, theirs = socket.socketpair()
        life_theirs, self._life = os.pipe()
        slots_at = Slots.file(setup.threads)
        given = (theirs.fileno(), life_theirs, slots_at)
        try:
            self._slots = Slots(slots_at, setup.threads)
            # A new interpreter: a fork would copy the locks of Dagster's threads.
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-W", "ignore", "-m", "assets.images.processing.worker",
                 *map(str, (*given, setup.threads))],
                pass_fds=given, stdin=subprocess.DEVNULL, env=_environment(),
            )  # fmt: skip
        except BaseException:
            os.close(self._life)
            ours.close()
            raise
        finally:
            theirs.close()
            os.close(life_theirs)
            os.close(slots_at)
        self.channel = Connection(ours.detach())
        self.held: dict[int, Item] = {}
        self.alone = False
        with suppress(OSError):  # it has ended already, as its channel will say
            # Not among its arguments, which any user of the machine can read.
            self.channel.send_bytes(messages.write(setup))

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def send(self, items: list[Item]) -> None:
        """Hand items over; if it has ended they are among what it held."""
        self.held.update((item.number, item) for item in items)
        with suppress(OSError):
            self.channel.send_bytes(messages.write(items))

    def receive(self) -> Report:
        """Its next report. Raises EOFError or OSError when it has ended, or talks nonsense."""
        data = self.channel.recv_bytes(_MOST_REPORT)
        try:
            return messages.read_report(data)
        except msgspec.MsgspecError as error:
            raise OSError("not a report") from error

    def busy(self) -> list[Busy]:
        """The items that its threads have in hand, also after its end."""
        return [one for one in self._slots.busy() if one.number in self.held]

    def late(self, seconds: float) -> list[Busy]:
        """Those that have been worked on for longer."""
        now = time.monotonic()
        return [one for one in self.busy() if one.since and now - one.since > seconds]

    def silent(self) -> float:
        """For how many seconds its Python has not run."""
        return self._slots.silent()

    def kill(self) -> str:
        """End it, and say how it had ended if it had."""
        self._process.kill()
        code = self._process.wait()
        if code >= 0:
            return f"exit code {code}"
        with suppress(ValueError):
            return signal.Signals(-code).name
        return f"signal {-code}"

    def last_reports(self) -> list[Report]:
        """What it had said before it ended and nobody has read."""
        reports: list[Report] = []
        with suppress(EOFError, OSError):
            while self.channel.poll():
                reports.append(self.receive())
        return reports

    def close(self) -> None:
        """Give back what it had, once it has ended."""
        self.channel.close()
        os.close(self._life)
        self._slots.close()


def _environment() -> dict[str, str]:
    """Ours, without the variables by which another S3 store is reached: obstore obeys them all."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    path = os.pathsep.join((str(_ROOT), ours.get("PYTHONPATH", ""))).rstrip(os.pathsep)
    return {**ours, **_ENVIRONMENT, "PYTHONPATH": path}
