"""Neo4j, through its Bolt driver.

Belongs here: how to connect. Does not: any node or statement of ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    from neo4j import Driver

#: Seconds, each.
CONNECT_TIMEOUT = 10.0
ACQUISITION_TIMEOUT = 20.0
RETRY_TIME = 20.0
#: Until the server says something more: a statement takes seconds.
READ_TIMEOUT = 60.0


class Neo4jResource(dg.ConfigurableResource[Any]):
    """One Neo4j database. ``uri`` is ``neo4j://``, ``neo4j+s://`` or ``bolt://``."""

    uri: str
    user: str
    password: str
    database: str = "neo4j"
    read_timeout: float = READ_TIMEOUT

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """What pydantic shows of the resource: no password."""
        yield from (("uri", self.uri), ("user", self.user), ("database", self.database))

    def driver(self) -> Driver:
        """A new driver; use it as a context manager. It connects at its first query."""
        from neo4j import GraphDatabase

        driver = GraphDatabase.driver(
            self.uri,
            auth=(self.user, self.password),
            user_agent="quintet",
            connection_timeout=CONNECT_TIMEOUT,
            connection_acquisition_timeout=ACQUISITION_TIMEOUT,
            max_transaction_retry_time=RETRY_TIME,
            # Unknown labels and properties are normal before the first batch.
            notifications_min_severity="OFF",
        )
        # Only a server's own hint sets it otherwise: one that is stopped would be waited for
        # without end.
        pool: Any = driver._pool  # noqa: SLF001
        open_connection = pool.opener

        def bounded(*args: Any, **kwargs: Any) -> Any:
            connection = open_connection(*args, **kwargs)
            if connection.socket.get_read_timeout() is None:
                connection.socket.set_read_timeout(self.read_timeout)
            return connection

        pool.opener = bounded
        return driver

    def check(self) -> str:
        """Who is reachable as whom, in one line. Raises neo4j's errors."""
        with self.driver() as driver:
            driver.verify_authentication()
            agent = driver.get_server_info().agent
            driver.execute_query("RETURN 1 AS one", database_=self.database)
        return f"{agent}, database {self.database} as {self.user}"
