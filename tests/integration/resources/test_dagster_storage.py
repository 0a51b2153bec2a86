"""Dagster's storage over kept connections, against a real Postgres."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import dagster as dg
import psycopg
import pytest
from dagster_postgres import PostgresScheduleStorage
from psycopg import sql

from resources import dagster_storage
from tests import processes

pytestmark = pytest.mark.servers("postgres")


@pytest.fixture
def instance(env: dict[str, str]) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.get() as instance:
        yield instance


@pytest.fixture
def watching(env: dict[str, str]) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(env["DAGSTER_POSTGRES_URL"], autocommit=True) as connection:
        yield connection


def sessions(watching: psycopg.Connection[Any]) -> set[int]:
    """The server processes of everybody else in this database."""
    rows = watching.execute(
        "SELECT pid FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    return {pid for (pid,) in rows.fetchall()}


@dg.op
def nothing() -> None:
    """Does it."""


@dg.job
def nothing_job() -> None:
    """Does it, too."""
    nothing()


def use(instance: dg.DagsterInstance) -> None:
    """All three storages."""
    run = instance.create_run_for_job(nothing_job)
    instance.report_run_failed(run)
    instance.all_instigator_state()
    assert [one.run_id for one in instance.get_runs(limit=1)] == [run.run_id]


def test_all_three_storages_go_on_with_one_connection(instance, watching) -> None:
    use(instance)
    first = sessions(watching)
    assert len(first) == 1
    for _ in range(3):
        use(instance)
    with dg.DagsterInstance.get() as another:  # as every tick has
        use(another)
    assert sessions(watching) == first


def test_what_is_written_is_what_dagster_s_own_storage_reads(instance, env) -> None:
    from dagster_postgres import DagsterPostgresStorage

    assert nothing_job.execute_in_process(instance=instance).success
    run = instance.get_runs(limit=1)[0]
    plain = DagsterPostgresStorage(env["DAGSTER_POSTGRES_URL"])
    found = plain.event_log_storage.get_logs_for_run(run.run_id)
    assert [one.to_json() for one in found] == [
        one.to_json() for one in instance.all_logs(run.run_id)
    ]
    assert found[-1].dagster_event
    assert found[-1].dagster_event.event_type_value == "PIPELINE_SUCCESS"


def test_a_connection_that_broke_is_replaced_unseen(instance, watching) -> None:
    use(instance)
    first = sessions(watching)
    for pid in first:
        watching.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    assert sessions(watching).isdisjoint(first)
    use(instance)
    assert len(sessions(watching)) == 1


def test_threads_have_connections_of_their_own_of_which_few_stay(instance, watching) -> None:
    use(instance)
    count = 3 * dagster_storage.KEPT
    together = threading.Barrier(count)
    failed: list[BaseException] = []

    def look() -> None:
        together.wait(20)
        try:
            with instance.run_storage.connect() as connection:
                connection.exec_driver_sql("SELECT pg_sleep(0.3)")
        except BaseException as error:  # noqa: BLE001 - told below
            failed.append(error)

    threads = [threading.Thread(target=look) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not failed
    end = time.monotonic() + 20
    while len(sessions(watching)) > dagster_storage.KEPT:  # the server ends closed ones by and by
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_fork_does_not_speak_on_its_parent_s_connections(env) -> None:
    script = """
import os
import dagster as dg, psycopg

def mine(instance):
    with instance.run_storage.connect() as connection:
        return connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()

with dg.DagsterInstance.get() as instance:
    first = mine(instance)
    child = os.fork()
    if child == 0:
        with dg.DagsterInstance.get() as own:
            os._exit(0 if mine(own) not in (None, first) else 1)
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), mine(instance) == first)
"""
    assert processes.output_of([sys.executable, "-c", script]).split() == ["0", "True"]


def test_tables_are_made_in_an_empty_database(env, watching) -> None:
    name = sql.Identifier(watching.info.dbname + "_empty")
    watching.execute(sql.SQL("CREATE DATABASE {}").format(name))
    try:
        url = env["DAGSTER_POSTGRES_URL"] + "_empty"
        script = (
            "import dagster as dg\n"
            "with dg.DagsterInstance.get() as instance:\n"
            "    assert instance.get_runs() == []\n"
            "    assert instance.all_instigator_state() == []\n"
        )
        command = [sys.executable, "-c", script]
        variables = {**os.environ, "DAGSTER_POSTGRES_URL": url}
        process = processes.start(command, env=variables)
        assert process.wait(120) == 0
    finally:
        watching.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


def test_schedules_find_their_tables_once(instance, monkeypatch) -> None:
    instance.all_instigator_state()
    storage = instance.schedule_storage
    assert isinstance(storage, PostgresScheduleStorage)

    def lists(*_: Any, **__: Any) -> None:
        raise AssertionError("it knows them")

    monkeypatch.setattr("sqlalchemy.engine.reflection.Inspector.get_table_names", lists)
    instance.all_instigator_state()
    assert storage.has_instigators_table()
