"""Versions that are current after all: found gone or superseded, or covered by another."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from assets.campaigns.pipeline import CAMPAIGNS
from landing.arrival import arrivals
from migrations.upgrade import upgrade
from tests.integration.campaigns.harness import Landing, row

pytestmark = pytest.mark.servers("postgres")

MINUTE = timedelta(minutes=1)


@pytest.fixture
def landing(env) -> Landing:
    upgrade(env["POSTGRES_URL"])
    return Landing(env["POSTGRES_URL"])


def scan(landing: Landing, *, later: timedelta = timedelta()) -> str | None:
    """The batch of what a scan finds now, or ``later``; None when it finds nothing."""
    now = datetime.now(UTC) + later
    with landing.pg.connect(autocommit=True) as connection:
        source = CAMPAIGNS.source("campaigns", "campaigns/")
        page = landing.store.list_page("campaigns/", None, 1000)
        arrivals.record_versions(connection, source.name, page.objects, now)
        found = arrivals.unassigned(connection, source, 1000)
        return arrivals.create_batch(connection, source, found, now) if found else None


def versions(landing: Landing) -> list[tuple]:
    return landing.query(
        "SELECT key, version, occurrence, outcome FROM landing.object_version ORDER BY seq"
    )


def messages(landing: Landing) -> dict[str, str]:
    held = {}
    for (batch_id,) in landing.query("SELECT batch_id FROM landing.batch ORDER BY batch_id"):
        held |= landing.deliver(batch_id, "raw_messages")
    return held


def hide(landing: Landing, key: str):
    """What a degraded server does: 404 now, there again later."""
    return landing.store.objects.pop(key)


def test_a_version_that_answered_404_once_is_read_by_a_later_batch(landing):
    key = "campaigns/a.csv"
    landing.put(key, [row("r1")])
    first = scan(landing)
    there = hide(landing, key)
    assert [o.outcome for o in landing.load(first).objects] == ["gone"]
    before = landing.query("SELECT * FROM landing.object_version WHERE batch_id = %s", first)
    landing.store.objects[key] = there
    assert scan(landing) is None, "not before a minute is over"
    second = scan(landing, later=MINUTE)
    assert landing.load(second).rows.written == 1
    assert messages(landing) == {"r1": "Hello"}
    assert versions(landing) == [(key, "1", 0, "gone"), (key, "1", 1, "loaded")]
    assert before == landing.query(
        "SELECT * FROM landing.object_version WHERE batch_id = %s", first
    )
    assert scan(landing, later=100 * MINUTE) is None


def test_a_store_that_lists_what_it_does_not_give_asks_for_few_batches(landing):
    key = "campaigns/a.csv"
    landing.put(key, [row("r1")])
    listed = landing.store.list_page("campaigns/", None, 10)
    first, made = scan(landing), []
    hide(landing, key)
    landing.store.list_page = lambda *_: listed
    batch_id = first
    for minutes in (1, 5, 15, 60, 60):
        landing.load(batch_id)
        assert scan(landing, later=minutes * MINUTE - timedelta(seconds=5)) is None
        batch_id = scan(landing, later=minutes * MINUTE + timedelta(seconds=5))
        made.append(batch_id)
        assert scan(landing, later=10_000 * MINUTE) is None, "one at a time"
    assert None not in made


def test_what_a_newer_version_had_superseded_is_loaded_when_that_one_is_removed(landing):
    key = "campaigns/a.csv"
    landing.put(key, [row("r1", "v1")])
    old = landing.store.objects[key]
    first = scan(landing)
    landing.put(key, [row("r1", "v2")])
    assert [o.outcome for o in landing.load(first).objects] == ["superseded"]
    landing.store.objects[key] = old
    landing.load(scan(landing, later=MINUTE))
    assert messages(landing) == {"r1": "v1"}


@pytest.mark.parametrize("between", [(), ("other",)])
def test_a_rollback_of_versions_makes_the_older_one_current_again_and_forth(landing, between):
    """Both were loaded; what else arrived meanwhile of the record came before the rollback."""
    key = "campaigns/a.csv"
    held = []
    for text in ("v1", "v2"):
        landing.put(key, [row("r1", text), row("r2", text)])
        held.append(landing.store.objects[key])
        landing.load(scan(landing))
    for text in between:
        landing.store.generation = 0  # arrived before both
        landing.put("campaigns/b.csv", [row("r1", text)])
        landing.load(scan(landing))
    assert messages(landing) == {"r1": "v2", "r2": "v2"}
    for number, text in ((0, "v1"), (1, "v2"), (0, "v1")):
        landing.store.objects[key] = held[number]
        landing.load(scan(landing, later=100 * MINUTE))
        assert messages(landing) == {"r1": text, "r2": text}
        assert scan(landing, later=1_000 * MINUTE) is None
    v1, v2 = (version.version for version, _ in held)
    assert [v[1:] for v in versions(landing) if v[0] == key] == [
        (v1, 0, "loaded"), (v2, 0, "loaded"), (v1, 1, "loaded"), (v2, 1, "loaded"),
        (v1, 2, "loaded"),
    ]  # fmt: skip


def test_a_page_that_is_older_than_a_rewrite_does_no_harm(landing):
    """Fetched before the rewrite, recorded once its version is loaded."""
    key = "campaigns/a.csv"
    landing.put(key, [row("r1", "v1")])
    landing.load(scan(landing))
    page = landing.store.list_page("campaigns/", None, 10)
    landing.put(key, [row("r1", "v2")])
    landing.load(scan(landing))
    late = datetime.now(UTC) + 100 * MINUTE
    with psycopg.connect(landing.url, autocommit=True) as connection:
        assert arrivals.record_versions(connection, "campaigns_gcs", page.objects, late) == 1
    landing.load(scan(landing))
    assert messages(landing) == {"r1": "v2"}
    assert versions(landing)[-1] == (key, "1", 1, "superseded")
    assert scan(landing, later=1_000 * MINUTE) is None, "v2 is what was loaded last"


def test_rejected_versions_stay_rejected_and_undecided_ones_wait(landing):
    landing.put("campaigns/a.csv", b"no,header\n")
    batch_id = scan(landing)
    assert scan(landing, later=1_000 * MINUTE) is None
    landing.load(batch_id)
    assert scan(landing, later=1_000 * MINUTE) is None


@pytest.mark.parametrize("recorded_first", [True, False])
def test_one_version_of_a_key_may_be_put_back_from_quarantine(landing, recorded_first):
    """It is ordered as the version that its rows came from; others of the key are not."""
    key = "campaigns/a.csv"
    landing.load(landing.batch_of([landing.put(key, [row("r1", "rejected once")])]))
    landing.load(landing.batch_of([landing.put("campaigns/b.csv", [row("r1", "since")])]))
    back = landing.put(key, [row("r1", "rejected once")])
    batch_id = scan(landing) if recorded_first else None
    with landing.pg.connect(autocommit=True) as connection:
        arrivals.note_put_back(
            connection, "gcs", "campaigns", of=(key, "1"), key=key, version=back.version
        )
        with pytest.raises(LookupError, match=r"no\.csv#1"):
            arrivals.note_put_back(connection, "gcs", "campaigns", of=("no.csv", "1"), key="x")
    landing.load(batch_id or scan(landing))
    assert messages(landing) == {"r1": "since"}
    landing.put(key, [row("r1", "corrected")])
    landing.load(scan(landing))
    assert messages(landing) == {"r1": "corrected"}


def test_a_page_is_one_cheap_statement_whatever_is_known(landing):
    """No part of it reads the ledger from end to end."""
    with psycopg.connect(landing.url, autocommit=True) as connection:
        connection.execute(
            """
            INSERT INTO landing.batch (batch_id, source, pipeline, state, objects, bytes,
                created_at, validated_at)
            VALUES ('20260101T000000Z-0001', 's', 'p', 'loaded', 1, 1, now(), now());
            INSERT INTO landing.object_version (source, store, bucket, key, version, size,
                modified_at, seen_at, batch_id, outcome, key_known)
            SELECT 's', 'gcs', 'b', lpad((i / 2)::text, 8, '0'), (i % 2)::text, 1, now(), now(),
                '20260101T000000Z-0001', CASE WHEN i % 99 = 0 THEN 'gone' ELSE 'loaded' END,
                i % 2 = 1
            FROM generate_series(0, 60000) AS i;
            """
        )
        connection.execute("VACUUM ANALYZE landing.object_version")
        plans = connection.execute(
            "EXPLAIN (FORMAT TEXT) " + arrivals._RECORD,
            {
                "source": "s", "store": "gcs", "bucket": "b", "seen_at": datetime.now(UTC),
                "keys": [f"{n:08}" for n in range(1000)], "versions": ["1"] * 1000,
                "sizes": [1] * 1000, "modified": [datetime.now(UTC)] * 1000,
                "waits": arrivals.REOPEN_WAITS,
            },
        ).fetchall()  # fmt: skip
    plan = "\n".join(line for (line,) in plans)
    assert "Seq Scan on object_version" not in plan, plan
