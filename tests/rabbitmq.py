"""A real RabbitMQ for tests: Debian's package, as a process with its own folder, node and ports.

Belongs here: installing it where that is possible, starting, killing and stopping it. Does not:
what is sent (``assets.images.scaleout``). It listens on the loopback only, and has an Erlang port
mapper of its own, which ends with it.
"""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests import processes

_SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
_START_SECONDS = 60.0
_INSTALL = "apt-get update -qq && apt-get install -y -qq --no-install-recommends rabbitmq-server"


def free_port() -> int:
    """One that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@dataclass
class RabbitMq:
    """One broker; ``start`` after ``kill`` finds what was acknowledged."""

    folder: Path
    port: int = field(default_factory=free_port)
    _environment: dict[str, str] = field(default_factory=dict)
    _server: processes.Process[bytes] | None = None
    _mapper: processes.Process[bytes] | None = None

    @property
    def url(self) -> str:
        address = f"127.0.0.1:{self.port}"
        return f"amqp://guest:guest@{address}//"  # pragma: allowlist secret

    def start(self) -> None:
        """Start it and wait until it answers. Raises RuntimeError with the end of its log."""
        if not self._environment:
            self._configure()
        self._server = processes.start(
            [_SERVER],
            env=self._environment,
            cwd=self.folder,
            stdout=self._log(),
            stderr=processes.STDOUT,
            start_new_session=True,
        )
        end = time.monotonic() + _START_SECONDS
        while not self._answers():
            if time.monotonic() > end or self._server.poll() is not None:
                raise RuntimeError((self.folder / "output").read_text()[-2_000:])
            time.sleep(0.2)

    def kill(self) -> None:
        """As a machine that loses its power."""
        if self._server is not None:
            os.killpg(self._server.pid, 9)
            self._server.wait()
            self._server = None

    def stop(self) -> None:
        """End it, and its port mapper."""
        self.kill()
        if self._mapper is not None:
            self._mapper.kill()
            self._mapper.wait()

    def _configure(self) -> None:
        mapper, distribution = free_port(), free_port()
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "rabbitmq.conf"
        config.write_text(f"listeners.tcp.local = 127.0.0.1:{self.port}\nlog.console = true\n")
        # Names of plugins that are on: none.
        (self.folder / "plugins").write_text("[].\n")
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "ERL_EPMD_PORT": str(mapper),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"quintet{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_CONFIG_FILE": str(config),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_PID_FILE": str(self.folder / "pid"),
        }
        self._mapper = processes.start(
            ["epmd", "-port", str(mapper), "-address", "127.0.0.1"],
            env=self._environment,
            cwd=self.folder,
            stdout=processes.DEVNULL,
            stderr=processes.DEVNULL,
        )

    def _log(self) -> int:
        return os.open(self.folder / "output", os.O_CREAT | os.O_APPEND | os.O_WRONLY)

    def _answers(self) -> bool:
        """Whether it speaks AMQP: it names itself when somebody says hello."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
                connection.sendall(b"AMQP\x00\x00\x09\x01")
                return bool(connection.recv(1))
        except OSError:
            return False


def require() -> None:
    """Install it where it is missing; skip where that is impossible, but never in CI."""
    if _SERVER.exists() and shutil.which("epmd"):
        return
    if os.geteuid() == 0 and shutil.which("apt-get"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        # A benchmark may call from the checkout.
        processes.run(["bash", "-c", _INSTALL], env=environment, cwd=Path("/"), timeout=500)
    if _SERVER.exists():
        return
    reason = "RabbitMQ is not installed: `apt-get install rabbitmq-server` as root"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def running(folder: Path) -> Iterator[RabbitMq]:
    """A broker for the time of the block."""
    require()
    broker = RabbitMq(folder)
    try:
        broker.start()
        yield broker
    finally:
        broker.stop()
