"""Tests in a checkout whose ``.env`` and whose caller name other systems talk to none of them.

A copy of the repository has a ``.env`` as `make demo` leaves it, but every address in it is that of
a recorder; the caller has the same variables. Tests that start processes of every kind run there.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from local.stack import Stack, servers_python
from tests.e2e.copied_tree import Tree, copied_tree
from tests.servers import VARIABLES

#: Among them the one that failed after `make demo`: it starts `dagster` on a code location.
REPRESENTATIVE = (
    "tests/unit/ops/test_command_line.py",
    "tests/unit/test_processes.py",
    "tests/integration/landing/test_locks.py::test_a_killed_process_frees_its_locks",
    "tests/integration/jobs/test_compute_logs.py",
    (
        "tests/integration/reading/test_affinity_assets.py"
        "::test_a_range_from_the_command_line_and_the_printed_answer"
    ),
)


@dataclass
class Recorder:
    """A port on which every connection is counted, and closed at once."""

    port: int
    connections: list[bytes] = field(default_factory=list)


@contextmanager
def recorder() -> Iterator[Recorder]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = Recorder(server.getsockname()[1])

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(0.5)
                    try:
                        first = connection.recv(200)
                    except OSError:
                        first = b""
                found.connections.append(first)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield found
        server.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def hostile(tree: Tree, port: int) -> dict[str, str]:
    """Every variable of quintet, with the recorder's address or a name that fits nothing."""
    address = f"127.0.0.1:{port}"
    home = tree.root / ".local" / "dagster"
    home.mkdir()
    (home / "dagster.yaml").symlink_to(tree.root / "dagster.yaml")
    return {
        **dict.fromkeys(VARIABLES, f"http://{address}"),
        **{name: address for name in VARIABLES if name.endswith(("_HOST", "GRPC_ENDPOINT"))},
        "STORAGE_EMULATOR_HOST": f"http://{address}",
        "POSTGRES_URL": f"postgresql://a:b@{address}/quintet",
        "DAGSTER_POSTGRES_URL": f"postgresql://a:b@{address}/dagster",
        "MONGO_URI": f"mongodb://{address}/?serverSelectionTimeoutMS=2000",
        "NEO4J_URI": f"bolt://{address}",
        "QUINTET_PIPELINES": "nonesuch",
        "DAGSTER_HOME": str(home),
    }


@pytest.mark.servers("postgres", "s3", "bigquery", "pubsub", "gcs")
@pytest.mark.xdist_group("daemon")
@pytest.mark.timeout(1200)
def test_no_test_reads_the_checkout_s_env_or_the_caller_s_variables(
    env: dict[str, str], stack: Stack
) -> None:
    with copied_tree() as tree, recorder() as other:
        variables = hostile(tree, other.port)
        (tree.root / ".env").write_text("".join(f"{n}={v}\n" for n, v in variables.items()))
        # What a test would do that starts Dagster in the checkout: the recorder sees it.
        assert tree.run("dagster run list", timeout=120).code != 0
        assert other.connections
        other.connections.clear()

        own = {
            "QUINTET_TEST_STACK": str(stack.root),
            "QUINTET_SERVERS_VENV": str(servers_python().parent.parent),
        }
        ended = tree.run(
            f"pytest -q -p no:cacheprovider {' '.join(REPRESENTATIVE)}",
            timeout=900,
            variables={**variables, **own},
        )
        print(ended.output[-3_000:])
        assert ended.code == 0
        assert other.connections == []
        for word in ("skipped", "no tests ran"):
            assert word not in ended.output
