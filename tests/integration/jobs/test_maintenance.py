"""The daily clean-up: what is old and loaded goes, the ledger's rows and everything else stay."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from assets.campaigns.pipeline import CAMPAIGNS
from assets.music.pipeline import MUSIC
from jobs.maintenance import maintenance_job
from landing.stores.gcs import GcsStore
from migrations.upgrade import upgrade
from resources.configured import build_resources
from resources.gcs import GcsResource
from tests.integration.campaigns.harness import Landing, row

pytestmark = pytest.mark.servers("postgres", "gcs")

DAY = timedelta(days=1)


@pytest.fixture
def landing(env, monkeypatch):
    upgrade(env["POSTGRES_URL"])
    for name in ("CAMPAIGNS_PREFIX", "CAMPAIGNS_DATASET"):
        monkeypatch.setenv(name, "campaigns")
    for name in ("MONGO_DATABASE", "MONGO_COLLECTION", "MILVUS_MESSAGES", "MILVUS_PROFILES"):
        monkeypatch.setenv(f"CAMPAIGNS_{name}", "unused")
    with closing(GcsResource(project=env["GOOGLE_CLOUD_PROJECT"]).client()) as client:
        yield Landing(
            env["POSTGRES_URL"],
            GcsStore(client, env["CAMPAIGNS_BUCKET"]),
            GcsStore(client, env["QUARANTINE_BUCKET"]),
        )


@pytest.fixture
def instance(env):
    with dg.DagsterInstance.get() as opened:
        yield opened


def aged(landing, instance, name, age, state=None):
    """A loaded batch of this age, as a partition; ``state`` makes it another than loaded."""
    batch_id = landing.batch({f"campaigns/{name}.csv": [row(name)]})
    landing.load(batch_id)
    instance.add_dynamic_partitions(CAMPAIGNS.partition_set, [batch_id])
    with landing.pg.connect() as connection:
        connection.execute(
            "UPDATE landing.batch SET finished_at = %s, state = coalesce(%s, state)"
            " WHERE batch_id = %s",
            (datetime.now(UTC) - age, state, batch_id),
        )
    return batch_id


def maintain(instance):
    wanted = build_resources()
    result = maintenance_job([CAMPAIGNS, MUSIC]).execute_in_process(
        instance=instance,
        resources={name: wanted[name] for name in ("postgres", "gcs")},
    )
    outputs = [e for e in result.all_events if e.event_type_value == "STEP_OUTPUT"]
    return {
        name: value.value
        for event in outputs
        for name, value in event.event_specific_data.metadata.items()
    }


def partitions(instance):
    return set(instance.get_dynamic_partitions(CAMPAIGNS.partition_set))


def staged(landing):
    page = landing.store.list_page("staging/", None, 1000)
    return {version.key.split("/")[2] for version in page.objects}


def test_alerts_that_were_told_long_ago_go(landing, instance):
    with landing.pg.connect() as connection:
        connection.execute(
            "INSERT INTO alerts.outbox (dedupe_key, channel, severity, title, body_html,"
            " created_at, next_attempt_at, sent_at)"
            " SELECT name, 'telegram', 'info', 't', '', now() - age, tried, sent FROM (VALUES"
            " ('old', interval '91 days', now(), now()),"
            " ('young', interval '89 days', now(), now()),"
            " ('waiting', interval '91 days', now(), NULL), ('given up', interval '91 days', NULL,"
            " NULL)) AS v (name, age, tried, sent)"
        )
    assert maintain(instance)["alerts_removed"] == 2
    kept = landing.query("SELECT dedupe_key FROM alerts.outbox ORDER BY 1")
    assert kept == [("waiting",), ("young",)]


def test_ages(landing, instance):
    old = aged(landing, instance, "a", 91 * DAY)
    younger = aged(landing, instance, "b", 89 * DAY)
    week = aged(landing, instance, "c", 7 * DAY + timedelta(minutes=5))
    fresh = aged(landing, instance, "d", 7 * DAY - timedelta(minutes=5))
    waiting = aged(landing, instance, "e", 200 * DAY, "failed_permanent")
    running = aged(landing, instance, "f", 200 * DAY, "running")
    assert staged(landing) == partitions(instance) == {old, younger, week, fresh, waiting, running}
    assert maintain(instance)["staged_parts_removed"] == 0, "each has a current record"
    instance.add_dynamic_partitions(CAMPAIGNS.partition_set, [old])
    newer = landing.batch({"campaigns/newer.csv": [row(name, "newer") for name in "abcdef"]})
    landing.load(newer)
    with landing.pg.connect() as connection:
        connection.execute("UPDATE landing.batch SET partition_removed_at = NULL")
    before = landing.query("SELECT * FROM landing.object_version ORDER BY seq")

    told = maintain(instance)

    assert partitions(instance) == {younger, week, fresh, waiting, running}
    assert staged(landing) == {fresh, waiting, running, newer}
    assert told["partitions_removed"] == 1
    assert told["staged_parts_removed"] == 3
    assert told["staged_bytes_removed"] > 0
    ledger = landing.query("SELECT DISTINCT batch_id FROM landing.staged_part")
    assert {batch_id for (batch_id,) in ledger} == {fresh, waiting, running, newer}
    assert landing.query("SELECT * FROM landing.object_version ORDER BY seq") == before
    removed = landing.query(
        "SELECT batch_id FROM landing.batch WHERE partition_removed_at IS NOT NULL"
    )
    assert removed == [(old,)]
    assert len(landing.query("SELECT * FROM landing.batch")) == 7

    again = maintain(instance)
    assert (again["partitions_removed"], again["staged_parts_removed"]) == (0, 0)


def test_music_gives_up_old_partitions_and_keeps_its_staging(landing, instance):
    batch_id = aged(landing, instance, "a", 91 * DAY)
    with landing.pg.connect() as connection:
        connection.execute(
            "UPDATE landing.batch SET pipeline = 'music', source = %s", (MUSIC.source_name,)
        )
    instance.delete_dynamic_partition(CAMPAIGNS.partition_set, batch_id)
    instance.add_dynamic_partitions(MUSIC.partition_set, [batch_id])
    told = maintain(instance)
    assert (told["partitions_removed"], told["staged_parts_removed"]) == (1, 0)
    assert instance.get_dynamic_partitions(MUSIC.partition_set) == []
    assert staged(landing) == {batch_id}


def test_staging_of_a_batch_that_a_backfill_has_taken_meanwhile_stays(landing, instance):
    """The row's lock decides: whoever comes second sees what the first did."""
    import threading

    from landing.batch import retention

    batch_id = aged(landing, instance, "a", 8 * DAY)
    with landing.pg.connect() as backfill, landing.pg.connect(autocommit=True) as connection:
        backfill.execute(
            "UPDATE landing.batch SET state = 'running' WHERE batch_id = %s", (batch_id,)
        )
        found = []
        clean_up = threading.Thread(
            target=lambda: found.append(
                retention.remove_staging(
                    connection, landing.store, CAMPAIGNS.source_name, datetime.now(UTC)
                )
            )
        )
        clean_up.start()
        clean_up.join(1)
        assert clean_up.is_alive(), "it waits for the row"
        backfill.commit()
        clean_up.join(20)
    assert found == [retention.Removed(0, 0)]
    assert staged(landing) == {batch_id}


def test_partitions_of_which_nothing_landed_are_removed(landing, instance):
    fresh = aged(landing, instance, "a", DAY)
    instance.add_dynamic_partitions(CAMPAIGNS.partition_set, ["invented", "20300101T000000Z-0001"])
    told = maintain(instance)
    assert partitions(instance) == {fresh}
    assert (told["partitions_removed"], told["unknown_partitions_removed"]) == (0, 2)
