"""What a server of the stack is: a declaration that `local.stack` can start, probe and stop.

Belongs here: the declaration and what its functions are given. Does not: processes
(`local.process`), any particular server (`local.services`).
"""

from __future__ import annotations

import secrets as random_source
import socket
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

REPOSITORY = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"
PROJECT = "quintet-local"


class StackError(Exception):
    """The stack cannot do what was asked; the message says what to do about it."""


@dataclass(frozen=True)
class Place:
    """Where one stack lives: what a server's declaration may use to build its command.

    ``root`` is the state directory, ``python`` the interpreter of the servers' environment,
    ``ports`` maps ``service`` or ``service.port`` to a number.
    """

    root: Path
    python: Path
    ports: Mapping[str, int]

    def data(self, service: str) -> Path:
        """The data directory of ``service``."""
        return self.root / "data" / service

    def log(self, service: str) -> Path:
        """The log file of ``service``: what its process prints."""
        return self.root / "logs" / f"{service}.log"

    def package(self, name: str) -> Path:
        """Directory of an installed package of the servers' environment.

        Raises StackError when it is not installed.
        """
        found = sorted(self.python.parent.parent.glob(f"lib/python*/site-packages/{name}"))
        if not found:
            raise StackError(
                f"{name} is not installed in {self.python.parent.parent}: run `make install`, "
                "or set QUINTET_SERVERS_VENV to an environment made from local/servers"
            )
        return found[0]

    def secret(self, name: str) -> str:
        """A random secret that is made once and kept, readable by its owner only."""
        path = self.root / "secrets" / name
        if not path.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            scratch = path.with_name(f".{name}")
            scratch.touch(mode=0o600)
            scratch.write_text(random_source.token_hex(24), encoding="ascii")
            scratch.replace(path)
        return path.read_text(encoding="ascii")


@dataclass(frozen=True)
class Command:
    """A process to start: arguments, variables added to the environment, working directory."""

    argv: list[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: Path | None = None


@dataclass(frozen=True)
class Workers:
    """What a server started, and what has an end of its own: SIGINT, and ``grace`` seconds for it.

    ``among`` finds them in the server's family.
    """

    among: Callable[[list[psutil.Process]], list[psutil.Process]]
    grace: float


def _nothing(_: Place) -> None:
    return None


def _no_variables(_: Place) -> dict[str, str]:
    return {}


@dataclass(frozen=True)
class Service:
    """One declared server.

    ``systems`` names what it stands in for, ``ports`` the ports it needs (the first is shown in
    the status), ``usual_port`` the number that it gets where that is free. ``prepare`` runs before
    each start, ``ready`` is the readiness probe, and ``populate`` runs once it is ready; all three
    must be repeatable. ``stop_signal`` asks for an orderly stop within ``grace`` seconds, ``hint``
    is what to do when it does not start. ``workers`` end after it.
    """

    name: str
    systems: tuple[str, ...]
    command: Callable[[Place], Command]
    ready: Callable[[Place], bool]
    ports: tuple[str, ...]
    variables: Callable[[Place], dict[str, str]] = _no_variables
    prepare: Callable[[Place], None] = _nothing
    populate: Callable[[Place], None] = _nothing
    stop_signal: str = "SIGTERM"
    grace: float = 10.0
    patience: float = 90.0
    usual_port: int | None = None
    workers: Workers | None = None
    hint: str = "run `make reset` for a fresh state, or `make install` when a package is missing"


def answers_http(url: str, *, contains: str = "") -> bool:
    """Whether a GET of ``url`` succeeds within two seconds (and its body holds ``contains``)."""
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return contains in response.read(65536).decode("utf-8", "replace")
    except (OSError, ValueError):
        return False


def accepts(port: int) -> bool:
    """Whether something on this machine listens on ``port``."""
    try:
        with socket.create_connection((HOST, port), timeout=1):
            return True
    except OSError:
        return False
