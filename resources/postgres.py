"""Postgres, through psycopg 3: quintet's own database and the source databases.

Belongs here: how to connect. Does not: any table of ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    import psycopg
    from psycopg_pool import ConnectionPool

#: Seconds. Well below the 60 s after which Dagster cuts a sensor tick.
CONNECT_TIMEOUT = 10


def sqlalchemy_url(url: str) -> str:
    """A bare ``postgresql://`` URL with the driver that SQLAlchemy is to use.

    Variables carry bare URLs because dagster-postgres and psycopg want those.
    """
    return url.replace("postgresql://", "postgresql+psycopg://", 1)


class PostgresResource(dg.ConfigurableResource[Any]):
    """One Postgres database. ``url`` starts with ``postgresql://``, without a driver."""

    url: str

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        """Nothing: the URL carries the password."""
        return []

    def connect(self, *, autocommit: bool = False) -> psycopg.Connection[tuple[Any, ...]]:
        """A new connection; use it as a context manager, which commits and closes it.

        Raises psycopg.OperationalError when the server cannot be reached, and so do statements
        once it is frozen.
        """
        from resources.postgres_connection import WatchedConnection

        connection = WatchedConnection.connect(
            self.url,
            autocommit=autocommit,
            connect_timeout=CONNECT_TIMEOUT,
            application_name="quintet",
            keepalives_idle=10,
        )
        connection.url = self.url
        return connection

    def pool(self, connections: int, *, wait: float) -> ConnectionPool[Any]:
        """Connections in autocommit mode, at most so many, given out only while they work.

        Who waits for one longer than ``wait`` seconds gets psycopg_pool.PoolTimeout. Open and close
        it; what it is opened for need not be there.
        """
        from psycopg_pool import ConnectionPool

        from resources.postgres_connection import PooledConnection

        return ConnectionPool(
            self.url,
            connection_class=PooledConnection,
            kwargs={
                "autocommit": True,
                "connect_timeout": CONNECT_TIMEOUT,
                "application_name": "quintet",
                "keepalives_idle": 10,
            },
            check=PooledConnection.require_working,
            min_size=0,
            max_size=connections,
            timeout=wait,
            reconnect_timeout=wait,
            open=False,
        )

    async def connect_async(self) -> psycopg.AsyncConnection[tuple[Any, ...]]:
        """As :meth:`connect`, for the running event loop, in autocommit mode."""
        from resources.postgres_connection import WatchedAsyncConnection

        connection = await WatchedAsyncConnection.connect(
            self.url,
            autocommit=True,
            connect_timeout=CONNECT_TIMEOUT,
            application_name="quintet",
            keepalives_idle=10,
        )
        connection.url = self.url
        return connection

    def check(self) -> str:
        """Who we are, where, on which server. Raises psycopg.OperationalError."""
        with self.connect() as connection:
            row = connection.execute(
                "SELECT current_user, current_database(), current_setting('server_version')"
            ).fetchone()
        user, database, version = row or ("?", "?", "?")
        return f"PostgreSQL {version}, database {database}, as {user}"
