"""How a launcher and the run server talk: one line of JSON each way, over a Unix socket.

Belongs here: where the socket is, requests and answers. Does not: what either does with them.

Whoever may open the socket may start a run that Dagster knows, which is what the socket's
directory, only its owner's, is for.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any, Literal

Verb = Literal["launch", "interrupt", "status"]
#: ``again``: the server is being replaced; ``gone``: the run's process has ended, however.
Answer = Literal["ok", "again", "refused", "running", "gone", "unknown"]

#: Seconds for one request: a fork of a large process takes some milliseconds.
TIMEOUT = 10.0

#: The kernel's limit of a socket's path, less some bytes.
_LONGEST = 100


class NoRunServer(Exception):
    """Nobody answers at the socket."""


def directory_of(home: str) -> Path:
    """Where the server of an instance has its socket and what it knows of runs."""
    return Path(home) / "run_server"


def socket_of(directory: Path) -> Path:
    """The socket's path, elsewhere where the directory's own is too long for the kernel."""
    path = directory / "socket"
    if len(os.fsencode(path)) <= _LONGEST:
        return path
    name = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"quintet-{os.getuid()}-{name}" / "socket"


def ask(directory: Path, verb: Verb, run_id: str) -> tuple[Answer, str]:
    """The server's answer and its words. Raises NoRunServer."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(TIMEOUT)
            client.connect(str(socket_of(directory)))
            client.sendall(encoded({"verb": verb, "run_id": run_id}))
            said = received(client)
    except (OSError, ValueError) as error:
        message = f"no run server at {directory}: {error}"
        raise NoRunServer(message) from error
    return said["answer"], str(said.get("words", ""))


def encoded(message: dict[str, Any]) -> bytes:
    """One line."""
    return json.dumps(message).encode() + b"\n"


def received(connection: socket.socket) -> dict[str, Any]:
    """The message that the other side sends. Raises OSError, and ValueError for what is none."""
    data = b""
    while not data.endswith(b"\n"):
        if not (more := connection.recv(4_096)):
            message = f"the other side hung up after {data[:100]!r}"
            raise ValueError(message)
        data += more
    message = json.loads(data)
    if not isinstance(message, dict):
        raise ValueError(f"no message: {data[:100]!r}")  # noqa: TRY004 - as one that is no JSON
    return message


def main() -> int:
    """Whether the run server of ``DAGSTER_HOME`` answers, for a container's health check."""
    try:
        ask(directory_of(os.environ["DAGSTER_HOME"]), "status", "nobody's")
    except (KeyError, NoRunServer):
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
