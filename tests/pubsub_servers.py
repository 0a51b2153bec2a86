"""Pub/Sub in tests: faults and counts of our server, Google's emulator beside it.

    from tests.pubsub_servers import either_pubsub  # noqa: F401

    @pytest.mark.servers("pubsub")
    def test_stream(either_pubsub: dict[str, str]) -> None: ...

runs once on each: ``either_pubsub`` is ``env`` with the address of one of the two, which is in
os.environ too. Where Google's is not installed (`local.pubsub_emulator`) its run is
skipped.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import json
import os
import signal
import socket
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from local.ports import is_free
from local.pubsub_emulator import command, find_google_emulator
from local.service import HOST, accepts
from local.services import pubsub
from local.stack import Stack
from tests import processes

_PATIENCE = 60.0


@dataclass(frozen=True)
class PubSubAdmin:
    """The HTTP side of our server; subscriptions by their full names."""

    url: str

    @classmethod
    def of(cls, stack: Stack) -> PubSubAdmin:
        """That of a stack."""
        return cls(pubsub.counts_url(stack.place()).removesuffix("/counts"))

    def subscription(self, name: str) -> dict[str, float]:
        """Counts of a subscription, as `local.pubsub.admin` describes them."""
        counts: dict[str, float] = self.counts()["subscriptions"][name]
        return counts

    def published(self, topic: str) -> int:
        """How many messages were ever published to a topic."""
        return int(self.counts()["topics"][topic]["published"])

    def deliver(self, subscription: str, times: int) -> None:
        """Deliver every message at least ``times`` times, acknowledged or not."""
        self._fault({"subscription": subscription, "deliveries": times})

    def break_streams(self, subscription: str) -> None:
        """End its streams as UNAVAILABLE; new ones are served."""
        self._fault({"subscription": subscription, "streams": "break"})

    def counts(self) -> dict[str, Any]:
        """Counts of everything."""
        with urllib.request.urlopen(f"{self.url}/counts", timeout=10) as response:
            counts: dict[str, Any] = json.load(response)
        return counts

    def _fault(self, fault: dict[str, Any]) -> None:
        request = urllib.request.Request(
            f"{self.url}/faults", json.dumps(fault).encode(), method="PUT"
        )
        urllib.request.urlopen(request, timeout=10).close()


def end_server(stack: Stack, how: signal.Signals = signal.SIGKILL) -> None:
    """End the Pub/Sub server of a stack of one's own; return once it and its ports are free.

    A killed process lets its ports go some milliseconds after it is gone: started again at once, it
    would get others, where clients do not look for it.
    """
    server, ports = stack.running("pubsub"), stack.place().ports
    assert server is not None
    os.kill(server.pid, how)
    deadline = time.monotonic() + 20
    while stack.running("pubsub") or not all(is_free(ports[name]) for name in pubsub.SERVICE.ports):
        assert time.monotonic() < deadline, "the server did not end"
        time.sleep(0.01)


@functools.cache
def google_emulator() -> str | None:
    """host:port of Google's emulator, started once per process; None where it is not installed."""
    jar = find_google_emulator()
    if jar is None:
        return None
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
    log = Path(tempfile.mkdtemp(prefix="google-pubsub-")) / "log"
    with log.open("wb") as output:
        server = processes.start(
            command(jar, port).argv,
            stdout=output,
            stderr=processes.STDOUT,
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )
    atexit.register(server.kill)
    deadline = time.monotonic() + _PATIENCE
    while not accepts(port):
        if server.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"Google's emulator did not start: {log.read_text()}")
        time.sleep(0.1)
    return f"{HOST}:{port}"


def _die_with_parent() -> None:
    """Also a session that is killed leaves no emulator; Linux only (prctl(2), PR_SET_PDEATHSIG)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


@pytest.fixture(params=["quintet", "google"])
def either_pubsub(
    request: pytest.FixtureRequest, env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, str]]:
    """``env`` with one of the two; see the module."""
    if request.param == "quintet":
        yield env
        return
    host = google_emulator()
    if host is None:
        pytest.skip("Google's Pub/Sub emulator is not installed (PUBSUB_EMULATOR_JAR, Java 17)")
    with on_google_emulator(env, host) as variables:
        for name in ("PUBSUB_EMULATOR_HOST", "PUBSUB_COUNTS_URL"):
            monkeypatch.setenv(name, variables[name])
        yield variables


@contextlib.contextmanager
def on_google_emulator(env: dict[str, str], host: str) -> Iterator[dict[str, str]]:
    """``env`` with Google's emulator, its topics and subscriptions made there for the while."""
    project = env["GOOGLE_CLOUD_PROJECT"]
    names = {name: env[name] for name in pubsub.NAMES}
    pubsub.create(host, project, names)
    # Google's has no page of counts; ours would count nothing of it.
    try:
        yield {**env, "PUBSUB_EMULATOR_HOST": host, "PUBSUB_COUNTS_URL": ""}
    finally:
        pubsub.remove(host, project, names)
