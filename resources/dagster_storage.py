"""Dagster's own tables in Postgres, over connections that are kept.

Belongs here: how Dagster's storage connects. Does not: our own tables (``postgres.py``).

Dagster's Postgres storages make a connection for every statement: on an idle stack half of the
daemon's time and nearly all of Postgres', and in a run some milliseconds for each event. Dagster
keeps connections in its webserver only, and has no setting for the other processes
(https://github.com/dagster-io/dagster/issues/33935). Imported by ``dagster.yaml`` alone: needs
SQLAlchemy and psycopg2.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import sqlalchemy  # noqa: TID253
from dagster._core.storage.base_storage import DagsterStorage
from dagster._serdes import ConfigurableClassData
from dagster_postgres import (  # noqa: TID253
    DagsterPostgresStorage,
    PostgresScheduleStorage,
)
from dagster_postgres.utils import (  # noqa: TID253
    create_pg_engine,
    get_token_provider_from_config,
    pg_url_from_config,
    retry_pg_connection_fn,
)

if TYPE_CHECKING:
    from dagster_postgres.auth import PgTokenProvider

#: Connections that a process keeps when nobody uses them. More are made as threads need them.
KEPT = 4

#: Seconds after which a kept connection is replaced, before a proxy on the way forgets it.
RECYCLE_SECONDS = 200

#: Seconds (milliseconds for the last) after which a connection whose other end is gone without a
#: word is given up, a machine that was lost or a proxy that forgot it: the system waits 15 minutes.
_BOUNDS = {
    "connect_timeout": 10,
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}

#: Databases of which a process keeps connections; more than one only in tests.
_DATABASES = 2

#: One table of each storage, and those that came last.
_TABLES = ("runs", "instance_info", "event_logs", "asset_keys", "jobs", "instigators")

_engines: dict[str, sqlalchemy.Engine] = {}
_lock = threading.Lock()

#: What was found of a database by its URL: tables and migrations, which nothing takes away.
_found: dict[str, set[str]] = {}


class PooledPostgresStorage(DagsterPostgresStorage):
    """As DagsterPostgresStorage, with its config; a process's instances share their connections.

    A connection that broke is noticed before it is used, and replaced. The webserver goes on with
    those that it makes for itself.
    """

    def __init__(
        self,
        postgres_url: str,
        should_autocreate_tables: bool = True,
        inst_data: ConfigurableClassData | None = None,
        token_provider: PgTokenProvider | None = None,
    ) -> None:
        engine = _engine(postgres_url, token_provider)
        if should_autocreate_tables and not _is_complete(postgres_url, engine):
            # Makes what is missing.
            DagsterPostgresStorage(postgres_url, True, token_provider=token_provider)
        # Otherwise each of the three lists the tables, once per instance: once per tick.
        super().__init__(postgres_url, False, inst_data, token_provider)
        self._schedule_storage = _ScheduleStorage(
            postgres_url, False, token_provider=token_provider
        )
        for storage in (self._run_storage, self._event_log_storage, self._schedule_storage):
            storage._engine = engine  # noqa: SLF001 - Dagster has no parameter for it

    @classmethod
    def from_config_value(  # type: ignore[override]
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> DagsterStorage:
        """As Dagster calls it."""
        return cls(
            pg_url_from_config(config_value),
            config_value.get("should_autocreate_tables", True),
            inst_data,
            get_token_provider_from_config(config_value),
        )


class _ScheduleStorage(PostgresScheduleStorage):
    """Asks once what a database has: Dagster's lists all tables several times a tick."""

    def _once(self, what: str, look: Callable[[], bool]) -> bool:
        found = _found.setdefault(self.postgres_url, set())
        if what not in found and look():
            found.add(what)
        return what in found

    def _has_instigators_table(self, conn: sqlalchemy.Connection) -> bool:
        return self._once("instigators", partial(super()._has_instigators_table, conn))

    def has_instigators_table(self) -> bool:
        """See the base."""
        return self._once("instigators", super().has_instigators_table)

    def _has_asset_daemon_asset_evaluations_table(self, conn: sqlalchemy.Connection) -> bool:
        look = partial(super()._has_asset_daemon_asset_evaluations_table, conn)
        return self._once("evaluations", look)

    def has_built_index(self, migration_name: str) -> bool:
        """See the base."""
        return self._once(migration_name, partial(super().has_built_index, migration_name))


def _engine(url: str, token_provider: PgTokenProvider | None) -> sqlalchemy.Engine:
    with _lock:
        found = _engines.pop(url, None) or create_pg_engine(
            url,
            token_provider,
            isolation_level="AUTOCOMMIT",
            connect_args=_BOUNDS,
            pool_size=KEPT,
            max_overflow=-1,
            pool_recycle=RECYCLE_SECONDS,
            pool_pre_ping=True,
            pool_use_lifo=True,
        )
        _engines[url] = found  # the last one used is the last in order
        while len(_engines) > _DATABASES:
            _engines.pop(next(iter(_engines))).dispose()
        return found


def _is_complete(url: str, engine: sqlalchemy.Engine) -> bool:
    """Whether Dagster's tables are there; a process looks until they are."""
    found = _found.setdefault(url, set())
    if "tables" not in found:
        named = ", ".join(f"to_regclass('{table}')" for table in _TABLES)

        def look() -> bool:
            with engine.connect() as connection:
                row = connection.execute(sqlalchemy.text(f"SELECT {named}")).one()
            return None not in tuple(row)

        if retry_pg_connection_fn(look):
            found.add("tables")
    return "tables" in found


def _after_fork() -> None:
    """The connections are the parent's: closing them here would end them there."""
    global _lock  # noqa: PLW0603
    _lock = threading.Lock()
    for engine in _engines.values():
        engine.dispose(close=False)
    _engines.clear()


os.register_at_fork(after_in_child=_after_fork)
