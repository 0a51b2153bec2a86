"""`make replay` on a real ledger and Dagster instance."""

from __future__ import annotations

from datetime import UTC, datetime

import dagster as dg
import psycopg
import pytest

from assets.pipelines import landed_files
from landing.arrival import ledger
from migrations.upgrade import upgrade
from ops import replay

pytestmark = pytest.mark.servers("postgres")


@pytest.fixture
def connection(env):
    upgrade(env["POSTGRES_URL"])
    with psycopg.connect(env["POSTGRES_URL"], autocommit=True) as opened:
        yield opened


def add(connection, number, state, **columns):
    batch_id = f"20261122T101503Z-{number:04d}"
    values = {
        "batch_id": batch_id, "source": "campaigns_gcs", "pipeline": "campaigns", "state": state,
        "objects": 1, "bytes": 1, "attempt": 1, "created_at": datetime.now(UTC), **columns,
    }  # fmt: skip
    connection.execute(
        f"INSERT INTO landing.batch ({', '.join(values)})"
        f" VALUES ({', '.join('%s' for _ in values)})",
        list(values.values()),
    )
    return batch_id


@pytest.mark.parametrize(
    # Partitions by time are never removed.
    "files",
    [one for one in landed_files() if one.partition_set],
    ids=lambda files: files.job,
)
def test_a_batch_of_long_ago_becomes_a_partition_again(env, connection, capsys, files):
    removed_at, name = datetime(2026, 1, 1, tzinfo=UTC), files.pipeline
    batch_id = add(
        connection, 1, "loaded",
        partition_removed_at=removed_at, pipeline=name, source=files.source_name,
    )  # fmt: skip
    with dg.DagsterInstance.get() as instance:
        assert not instance.has_dynamic_partition(files.partition_set, batch_id)
        assert replay.run(batch_id) == 0
        assert instance.has_dynamic_partition(files.partition_set, batch_id)
    assert ledger.batch(connection, batch_id).partition_removed_at is None
    said = capsys.readouterr().out
    assert f"is a partition of {name} again" in said
    assert f"--job {files.job} --partitions {batch_id} --noprompt" in said
    assert replay.run(batch_id) == 0
    assert "again." not in capsys.readouterr().out


def test_a_failed_batch_is_reopened_with_its_reason_said(connection, capsys):
    batch_id = add(connection, 1, "failed_permanent", error_class="permanent", error="no access")
    assert replay.run(batch_id) == 0
    assert "reopened after: no access" in capsys.readouterr().out
    reopened = ledger.batch(connection, batch_id)
    assert (reopened.state, reopened.error, reopened.attempt) == ("pending", None, 1)


def test_a_batch_that_waits_for_others_is_reopened_where_it_is_named(connection, capsys):
    batch_id = add(connection, 1, "waiting", error="12 prompts wait")
    assert replay.run(batch_id) == 0
    assert "reopened after: 12 prompts wait" in capsys.readouterr().out
    assert ledger.batch(connection, batch_id).state == "pending"


@pytest.mark.parametrize("state", ["pending", "requested", "running"])
def test_a_batch_that_runs_anyway_is_left_alone(connection, state, capsys):
    batch_id = add(connection, 1, state)
    assert replay.run(batch_id) == 1
    assert f"{batch_id} is {state}" in capsys.readouterr().err
    assert ledger.batch(connection, batch_id).state == state


def test_an_unknown_batch(connection, capsys):
    assert replay.run("20200101T000000Z-0001") == 1
    assert "no batch 20200101T000000Z-0001" in capsys.readouterr().err


def test_all_that_failed_and_nothing_else(connection, capsys):
    for number in range(1, 1_006):
        add(connection, number, "failed_transient" if number % 2 else "failed_permanent")
    others = {state: add(connection, 2_000 + n, state) for n, state in enumerate(
        ["pending", "requested", "running", "waiting", "loaded", "loaded_with_rejects"]
    )}  # fmt: skip
    assert replay.run(None) == 0
    assert "1,005 batches reopened" in capsys.readouterr().out
    rows = connection.execute("SELECT state, count(*) FROM landing.batch GROUP BY state")
    counts = dict(rows.fetchall())
    assert counts["pending"] == 1_006
    assert not {"failed_transient", "failed_permanent"} & set(counts)
    for state, batch_id in others.items():
        assert ledger.batch(connection, batch_id).state == state


def test_a_single_batch_is_no_plural_and_reopened_though_nobody_reads(
    connection, capsys, monkeypatch
):
    """`make replay | head -1`."""
    batch_id = add(connection, 1, "failed_permanent")

    def nobody_reads(*_):
        raise BrokenPipeError

    real_print = print
    monkeypatch.setattr("builtins.print", nobody_reads)
    with pytest.raises(BrokenPipeError):
        replay.run(None)
    monkeypatch.setattr("builtins.print", real_print)
    assert ledger.batch(connection, batch_id).state == "pending"
    add(connection, 2, "failed_permanent")
    assert replay.run(None) == 0
    assert "\n1 batch reopened" in capsys.readouterr().out
