"""Starts ArcadeDB with its Bolt listener, so that the neo4j driver finds a server.

Runs with the interpreter of the servers' environment: ``bolt_server.py BOLT HTTP DIR DATABASE``,
the password of user root in BOLT_SERVER_PASSWORD. Writes ``DIR/ready`` once the database is open.

What ArcadeDB 26.10.2 takes and Neo4j does not, and is not refused here either: lists of mixed
values, of lists or with nulls as properties; MERGE by a property that is null; indexed texts of
more than 8,164 bytes. ``tests/integration/local/test_bolt_server.py`` says so of each.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path


def main(bolt_port: int, http_port: int, directory: Path, database: str) -> None:
    """Serve until SIGTERM."""
    from arcadedb_embedded.server import ArcadeDBServer

    ready = directory / "ready"
    ready.unlink(missing_ok=True)
    server = ArcadeDBServer(
        str(directory),
        os.environ["BOLT_SERVER_PASSWORD"],
        {
            "host": "127.0.0.1",
            "http_port": http_port,
            # In production it says of a refused statement that the log knows more: Neo4j says why.
            "mode": "development",
            "server_plugins": "Bolt:com.arcadedb.bolt.BoltProtocolPlugin",
            "bolt_port": bolt_port,
            "bolt_defaultDatabase": database,
        },
        jvm_kwargs={"heap_size": "512m"},
    )
    server.start()
    server.create_database(database)
    stopping = threading.Event()
    # After the start: the Java machine installs handlers of its own while it comes up.
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    ready.touch()
    stopping.wait()
    ready.unlink(missing_ok=True)
    server.stop()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])
