"""What a pool gives out while connections of it die."""

from __future__ import annotations

import psycopg
import pytest

from resources import postgres_connection
from resources.postgres import PostgresResource

pytestmark = pytest.mark.servers("postgres")


@pytest.fixture
def pool(env):
    with PostgresResource(url=env["POSTGRES_URL"]).pool(2, wait=5.0) as pool:
        yield pool


def pid(connection) -> int:
    return connection.execute("SELECT pg_backend_pid()").fetchone()[0]


def end(env, backend: int) -> None:
    with psycopg.connect(env["POSTGRES_URL"], autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", (backend,))


def test_one_that_died_while_nobody_had_it_is_not_given_out(env, pool, monkeypatch):
    monkeypatch.setattr(postgres_connection, "BELIEVED_SECONDS", 0.0)
    with pool.connection() as connection:
        died = pid(connection)
    end(env, died)
    with pool.connection() as connection:
        assert pid(connection) != died


def test_one_that_died_at_once_costs_one_question(env, pool, monkeypatch):
    monkeypatch.setattr(postgres_connection, "BELIEVED_SECONDS", 3_600.0)
    with pool.connection() as connection:
        died = pid(connection)
    end(env, died)
    with pytest.raises(psycopg.OperationalError), pool.connection() as connection:
        pid(connection)
    with pool.connection() as connection:
        assert pid(connection) != died
