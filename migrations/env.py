"""Alembic's entry point: the one chain of quintet's own database (POSTGRES_URL)."""

from __future__ import annotations

from alembic import context
from sqlalchemy import create_engine, pool

from resources.postgres import sqlalchemy_url


def run_migrations() -> None:
    """Upgrade in one transaction, under an advisory lock so that two starters do not race."""
    url = context.config.attributes["url"]
    engine = create_engine(sqlalchemy_url(url), poolclass=pool.NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext('quintet.migrations'))")
        context.configure(connection=connection, version_table_schema="public")
        with context.begin_transaction():
            context.run_migrations()


run_migrations()
