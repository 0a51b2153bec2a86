"""Alembic's entry point: the one chain of quintet's own database (POSTGRES_URL)."""

from __future__ import annotations

from typing import Any

from alembic import context
from sqlalchemy import create_engine, pool

from resources.advisory_locks import Lock, take_until_commit
from resources.postgres import sqlalchemy_url


def run_migrations() -> None:
    """Upgrade in one transaction, under an advisory lock so that two starters do not race."""
    url = context.config.attributes["url"]
    engine = create_engine(sqlalchemy_url(url), poolclass=pool.NullPool)
    with engine.begin() as connection:
        psycopg_connection: Any = connection.connection.driver_connection
        take_until_commit(psycopg_connection, Lock.MIGRATIONS)
        context.configure(connection=connection, version_table_schema="public")
        with context.begin_transaction():
            context.run_migrations()


run_migrations()
