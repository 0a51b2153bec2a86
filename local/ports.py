"""Ports of the stack: free ones, chosen once and kept, chosen again when somebody took them.

Belongs here: choosing and keeping ports. Does not: which ports a server needs.
"""

from __future__ import annotations

import json
import random
import socket
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from local.service import HOST, StackError

#: Below the ports that Linux hands to outgoing connections (32768 and up): a port of ours is
#: never taken by a client's connection while its server is down.
RANGE = range(20_000, 32_000)
_ATTEMPTS = 2_000
#: Seconds for which a kept port is waited for: a killed server's threads end a moment after it.
_LET_GO = 2.0


def is_free(port: int) -> bool:
    """Whether a server could listen on ``port`` now (sockets in TIME_WAIT do not count)."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _is_soon_free(port: int, deadline: float) -> bool:
    while not is_free(port):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


class Ports:
    """The ports of one state directory, kept in ``path`` (JSON, name to number)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._numbers: dict[str, int] = {}
        if path.exists():
            self._numbers = {
                name: int(number) for name, number in json.loads(path.read_text("utf-8")).items()
            }

    @property
    def numbers(self) -> dict[str, int]:
        """A copy of what is assigned."""
        return dict(self._numbers)

    def assign(self, names: Iterable[str], usual: Mapping[str, int] | None = None) -> None:
        """Give each of ``names`` (of servers that do not run now) a port that is free.

        A kept port stays when it is still free, or soon is; one in ``usual`` is taken before any
        other. Raises StackError when no port is free.
        """
        deadline = time.monotonic() + _LET_GO
        for name in names:
            if name not in self._numbers or not _is_soon_free(self._numbers[name], deadline):
                wished = (usual or {}).get(name)
                free = wished is not None and is_free(wished)
                self._numbers[name] = wished if wished and free else self._choose()
        self._write()

    def fix(self, name: str, number: int) -> None:
        """Keep ``number`` for ``name``. Raises StackError when another program listens there."""
        if not _is_soon_free(number, time.monotonic() + _LET_GO):
            raise StackError(
                f"port {number} is taken by another program: choose another (PORT=…), or leave "
                "PORT out"
            )
        self._numbers[name] = number
        self._write()

    def _write(self) -> None:
        self._path.write_text(json.dumps(self._numbers, indent=1, sort_keys=True), "utf-8")

    def _choose(self) -> int:
        taken = set(self._numbers.values())
        for _ in range(_ATTEMPTS):
            port = random.choice(RANGE)
            if port not in taken and is_free(port):
                return port
        raise StackError(f"no free port between {RANGE.start} and {RANGE.stop} on {HOST}")
