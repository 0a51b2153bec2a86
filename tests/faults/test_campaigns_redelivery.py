"""The same and newer contents again, in any way: the sinks hold what the last version says."""

from __future__ import annotations

import dagster as dg
import pytest

from tests.faults.campaign_runs import SERVERS, SINKS, CampaignRuns
from tests.faults.end_state import (
    assert_profiles_are_means,
    assert_same,
    document_times,
    end_state,
)
from tests.faults.oracle import Oracle, expected, rewritten, sample

pytestmark = pytest.mark.servers(*SERVERS)


def test_first_load_then_backfill_changes_nothing(runs: CampaignRuns) -> None:
    rows = sample()
    batch = runs.load("a.csv", rows)
    assert_same(end_state(runs.env), expected(rows))
    assert_profiles_are_means(runs.env)
    documents = document_times(runs.env)

    assert runs.backfill(batch).success

    assert_same(end_state(runs.env), expected(rows))
    assert document_times(runs.env) == documents
    assert runs.batch(batch).state == "loaded"
    # The rewrite went through every sink once more: it was not skipped.
    run_id = runs.results[batch].run_id
    assert {s.run_id for s in runs.sinks(batch).values()} == {run_id}
    assert runs.tick() == []


def test_same_content_under_another_key_writes_nothing(runs: CampaignRuns) -> None:
    rows = sample()
    runs.load("a.csv", rows)
    documents = document_times(runs.env)

    batch = runs.load("elsewhere/b.csv", rows)

    assert runs.counts(batch) == {
        "read": len(rows), "written": 0, "unchanged": len(rows), "superseded": 0, "rejected": 0,
    }  # fmt: skip
    assert_same(end_state(runs.env), expected(rows))
    # Not even rewritten with the same: the documents still name the object they came with first.
    assert document_times(runs.env) == documents
    assert {name: sink.rows_written for name, sink in runs.sinks(batch).items()} == dict.fromkeys(
        SINKS, 0
    )
    assert runs.batch(batch).state == "loaded"
    # No sink had to start, and the UI shows the batch in all of them nevertheless.
    skipped = {event.step_key for event in runs.results[batch].all_events if event.is_step_skipped}
    assert skipped == {f"campaigns__{name}" for name in (*SINKS, "campaign_recommendations")}
    for name in ("events", *SINKS, "campaign_recommendations"):
        key = dg.AssetKey(["campaigns", name])
        assert batch in runs.instance.get_materialized_partitions(key)


def test_rewritten_object_updates_users_campaigns_messages_and_days(runs: CampaignRuns) -> None:
    rows = sample()
    newer = rewritten(rows)
    runs.load("a.csv", rows)

    batch = runs.load("a.csv", newer)

    oracle = Oracle()
    oracle.take(rows)
    written, unchanged = oracle.take(newer)
    assert written > 20
    assert unchanged > 10
    assert runs.counts(batch) == {
        "read": len(newer), "written": written, "unchanged": unchanged, "superseded": 0,
        "rejected": 0,
    }  # fmt: skip
    final = oracle.end_state()
    # What nobody has any more is gone from the derived data, and what came is there.
    assert "user_5" not in final.users
    assert "Campaign_3" not in final.campaigns
    assert "user_new" in final.users
    assert_same(end_state(runs.env), final)
    assert_profiles_are_means(runs.env)


def test_contents_a_then_b_then_a(runs: CampaignRuns) -> None:
    rows = sample()
    other = [
        (key, "user_other" if n % 2 else user, f"Other {n % 3}", "Campaign_Other", at)
        for n, (key, user, _, _, at) in enumerate(rows)
    ]
    runs.load("a.csv", rows)
    runs.load("a.csv", other)
    assert_same(end_state(runs.env), expected(rows, other))

    batch = runs.load("a.csv", rows)

    assert runs.counts(batch)["written"] == len(rows)
    assert_same(end_state(runs.env), expected(rows, other, rows))
    assert expected(rows, other, rows) == expected(rows)
    assert_profiles_are_means(runs.env)


def test_backfill_of_an_older_batch_brings_nothing_back(runs: CampaignRuns) -> None:
    rows = sample()
    newer = rewritten(rows)
    older = runs.load("a.csv", rows)
    newest = runs.load("a.csv", newer)

    assert runs.backfill(older).success
    assert_same(end_state(runs.env), expected(rows, newer))
    assert runs.backfill(newest).success
    assert_same(end_state(runs.env), expected(rows, newer))
    assert_profiles_are_means(runs.env)


def test_object_replaced_and_object_deleted_before_they_were_read(runs: CampaignRuns) -> None:
    rows = sample()
    runs.land("gone.csv", sample(users=3, rows=5))
    runs.land("a.csv", rows[:10])
    (request,) = runs.tick()
    with runs.bucket() as bucket:
        bucket.blob("campaigns/gone.csv").delete()
    runs.land("a.csv", rows[5:])

    assert runs.run(request).success
    (successor,) = runs.tick()
    assert runs.run(successor).success

    assert runs.counts(request.partition_key or "")["read"] == 0
    assert_same(end_state(runs.env), expected(rows[5:]))
