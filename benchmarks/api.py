"""What the query service costs on top of its clients and of its framework.

On the same servers, in the same run, all in turn: a user's recommendations over HTTP against the
bare calls to Milvus, Neo4j and BigQuery; requests a second at 50 connections of cheap routes
against bare FastAPI routes with the same questions (``api_bare.py``); and the service's memory over
100,000 requests. The machine is shared: CPU-milliseconds of the server for each request, which no
neighbour changes much, stand beside the clock. Run:

    python -m benchmarks.api [--requests 5000 --rounds 3 --memory 100000] [--stack DIRECTORY]

Without ``--stack`` the servers are started in a temporary directory and stopped at the end.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg

from benchmarks.answers import answers
from local.stack import Stack
from tests.rabbitmq import free_port
from tests.servers import isolated_environment, start

ROOT = Path(__file__).parents[1]
CONNECTIONS = 50
ROUTES = {
    "live": "/v1/health/live",
    "song plays": "/v1/music/songs/SOTHEME0/plays",
    "image task": "/v1/images/tasks/shoes",
}
#: Each asks for every user of the few that there are.
ROUNDS_OF_ANSWERS = 12
GOAL_ANSWER, GOAL_REQUESTS = 1.2, 0.9
_MIB = 1024 * 1024


@dataclass(frozen=True)
class Server:
    """A server in a process of its own."""

    url: str
    process: psutil.Process

    def cpu(self) -> float:
        """Seconds so far."""
        spent = self.process.cpu_times()
        return float(spent.user + spent.system)

    def memory(self) -> float:
        """MiB that are resident."""
        return self.process.memory_info().rss / _MIB


@contextlib.contextmanager
def served(module: str, *arguments: str) -> Iterator[Server]:
    """A module that serves on the port that its arguments end with."""
    port = free_port()
    command = [sys.executable, "-m", module, *arguments, str(port)]
    with subprocess.Popen(command, cwd=ROOT) as process:
        server = Server(f"http://127.0.0.1:{port}", psutil.Process(process.pid))
        try:
            while True:
                try:
                    urllib.request.urlopen(f"{server.url}/v1/health/live", timeout=5).close()
                    break
                except OSError:
                    if process.poll() is not None:
                        raise
                    time.sleep(0.1)
            yield server
        finally:
            process.terminate()


def asked(server: Server, path: str, requests: int) -> tuple[float, float]:
    """Requests a second, and CPU-milliseconds of the server for each."""
    before = server.cpu()
    said = subprocess.run(
        [sys.executable, "-m", "benchmarks.api_load", server.url + path, str(requests),
         str(CONNECTIONS)],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return requests / float(said.stdout), (server.cpu() - before) / requests * 1000


def throughput(ours: Server, bare: Server, requests: int, rounds: int) -> None:
    print(f"\n{requests:,} requests at {CONNECTIONS} connections, medians of {rounds} rounds")
    for name, path in ROUTES.items():
        asked(ours, path, requests // 5)
        asked(bare, path, requests // 5)
        measured = [
            (asked(ours, path, requests), asked(bare, path, requests)) for _ in range(rounds)
        ]
        rate = [(mine[0], theirs[0]) for mine, theirs in measured]
        cost = [(mine[1], theirs[1]) for mine, theirs in measured]
        print(
            f"{name:12} ours {median(rate, 0):7.0f}/s {median(cost, 0):6.3f} CPU-ms"
            f"   bare {median(rate, 1):7.0f}/s {median(cost, 1):6.3f} CPU-ms"
            f"   {statistics.median(one / other for one, other in rate):.2f}x"
            f" (goal ≥ {GOAL_REQUESTS}x), by CPU"
            f" {statistics.median(other / one for one, other in cost):.2f}x"
        )


def median(pairs: list[tuple[float, float]], which: int) -> float:
    return statistics.median(pair[which] for pair in pairs)


def recommendations(ours: Server, key: str) -> None:
    """Over HTTP, against bare calls of the same clients in this process, user by user in turn."""
    import http.client
    from urllib.parse import quote, urlsplit

    at = urlsplit(ours.url)
    connection = http.client.HTTPConnection(at.hostname or "", at.port)

    def over_http(user: str, k: int) -> list[str]:
        import json

        connection.request(
            "GET", f"/v1/campaigns/users/{quote(user, safe='')}/recommendations?k={k}",
            headers={"Authorization": f"Bearer {key}"},
        )  # fmt: skip
        said = connection.getresponse()
        found = json.loads(said.read())
        if said.status != 200:
            raise RuntimeError(str(found))
        return [one["user_id"] for one in found["answer"]["similar"]]

    asked_for: list[float] = []
    with_lookup: list[float] = []
    given_vector: list[float] = []
    before = ours.cpu()
    for _ in range(ROUNDS_OF_ANSWERS):
        answers(asked_for, with_lookup, given_vector, over_http)
    spent = (ours.cpu() - before) / len(asked_for) * 1000
    print(f"\n{len(asked_for)} recommendations, {spent:.1f} CPU-ms of the service for each")
    for name, rank in (("p50", 0.5), ("p95", 0.95)):
        mine, bare = at_rank(asked_for, rank), at_rank(with_lookup, rank)
        print(
            f"{name} over HTTP {mine * 1000:6.1f} ms   bare calls {bare * 1000:6.1f} ms"
            f"   {mine / bare:.2f}x (goal ≤ {GOAL_ANSWER}x)"
        )


def at_rank(values: list[float], rank: float) -> float:
    return sorted(values)[min(len(values) - 1, int(rank * len(values)))]


def memory(ours: Server, requests: int) -> None:
    print("\nmemory of the service")
    done = 0
    for until in (requests // 10, requests // 2, requests):
        share = (until - done) // len(ROUTES)
        for path in ROUTES.values():
            asked(ours, path, share)
        done = until
        print(f"after {until:8,} requests {ours.memory():6.1f} MiB")


def measure(requests: int, rounds: int, most: int) -> None:
    from api import keys
    from migrations.upgrade import upgrade
    from tests.integration.api.filled import load

    env = dict(os.environ)
    upgrade(env["POSTGRES_URL"])
    load(env)
    with psycopg.connect(env["POSTGRES_URL"], autocommit=True) as connection:
        key = keys.make(connection, "benchmark", ["read"], requests_per_minute=100_000_000)
    os.environ["QUINTET_KEY"] = key
    with served("api", "--port") as ours, served("benchmarks.api_bare") as bare:
        recommendations(ours, key)
        throughput(ours, bare, requests, rounds)
        memory(ours, most)


def main() -> None:
    from assets.pipelines import apply_defaults
    from tests.integration.api.filled import SERVERS

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", type=int, default=100_000)
    parser.add_argument("--stack", type=Path, help="state directory of a running stack")
    arguments = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="quintet-benchmark-"))
    stack = Stack(arguments.stack or scratch / "stack")
    try:
        start(stack, list(SERVERS))
        home = scratch / "home"
        home.mkdir()
        with isolated_environment(stack, list(SERVERS), home) as variables:
            os.environ.update({**variables, "QUINTET_PIPELINES": ""})  # routes of all
            apply_defaults()
            measure(arguments.requests, arguments.rounds, arguments.memory)
    finally:
        if not arguments.stack:
            stack.reset()
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
