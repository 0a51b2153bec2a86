"""`make batches` on a real ledger."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from assets.pipelines import landed_files
from migrations.upgrade import upgrade
from ops import batches

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
        "objects": 3, "bytes": 1, "created_at": datetime.now(UTC), **columns,
    }  # fmt: skip
    connection.execute(
        f"INSERT INTO landing.batch ({', '.join(values)})"
        f" VALUES ({', '.join('%s' for _ in values)})",
        list(values.values()),
    )
    return batch_id


def said(capsys, limit=50):
    assert batches.run(limit=limit) == 0
    return [line.split() for line in capsys.readouterr().out.splitlines()]


def test_every_source_is_named_and_nothing_waits(connection, capsys):
    lines = said(capsys)
    assert {line[0] for line in lines[1:] if line and line[-1] == "-"} == {
        files.source_name for files in landed_files()
    }
    assert lines[-1] == ["Every", "batch", "is", "loaded."]


def test_state_age_attempts_error_and_the_next_attempt(connection, capsys):
    now = datetime.now(UTC)
    add(connection, 1, "loaded")
    add(
        connection, 2, "failed_transient", attempt=4, error="Mongo is\x1b[2J away\nfor now",
        created_at=now - timedelta(hours=3, minutes=2),
        next_attempt_at=now + timedelta(minutes=59, seconds=30),
    )  # fmt: skip
    add(connection, 3, "failed_permanent", attempt=1, error="e" * 300)
    add(connection, 4, "failed_transient", next_attempt_at=now - timedelta(seconds=1))
    rows = {line[0]: line for line in said(capsys) if line}
    assert "20261122T101503Z-0001" not in rows
    assert rows["20261122T101503Z-0002"][1:] == [
        "campaigns_gcs", "failed_transient", "3", "h", "3", "4", "in", "59", "min",
        "Mongo", "is\\x1b[2J", "away\\nfor", "now",
    ]  # fmt: skip
    assert rows["20261122T101503Z-0003"][-3:-1] == ["by", "you"]
    assert rows["20261122T101503Z-0003"][-1] == "e" * 100 + "…"
    assert rows["20261122T101503Z-0004"][-2:] == ["due", "-"]


def test_the_oldest_object_of_a_source_and_a_limit(connection, capsys):
    for number in range(4):
        add(connection, number, "pending")
    connection.execute(
        "INSERT INTO landing.object_version (source, store, bucket, key, version, size,"
        " modified_at, seen_at) VALUES ('campaigns_gcs', 'gcs', 'b', 'campaigns/a.csv', '1', 1,"
        " now(), now() - interval '65 minutes')"
    )
    lines = said(capsys, limit=2)
    rows = {line[0]: line for line in lines if line}
    assert rows["campaigns_gcs"][1:] == ["b/campaigns/a.csv", "1", "h", "none", "yet", "seen"]
    assert {"20261122T101503Z-0003", "20261122T101503Z-0002"} <= rows.keys()
    assert "20261122T101503Z-0001" not in rows
    assert ["…", "and", "more:", "python", "-m", "ops", "batches", "--limit", "N"] in lines


@pytest.mark.parametrize(
    ("passed", "shown"),
    [
        (timedelta(seconds=-5), "0 s"),
        (timedelta(seconds=59), "59 s"),
        (timedelta(seconds=60), "1 min"),
        (timedelta(minutes=59, seconds=59), "59 min"),
        (timedelta(hours=47), "47 h"),
        (timedelta(hours=48), "2 d"),
    ],
)
def test_ages(passed, shown):
    assert batches.age(passed) == shown
