"""The audit of what the record table holds, against staging and sources."""

from __future__ import annotations

from contextlib import contextmanager

import dagster as dg
import pytest

from assets.campaigns.pipeline import CAMPAIGNS
from assets.frame import record_audit
from assets.frame.record_audit import RECORDS_BACKED
from assets.pipelines import landed_files
from landing.batch.backing import Backing, Places, Unbacked, backing
from landing.batch.records import RecordTable
from landing.batch.validation import FactRules
from migrations.upgrade import upgrade
from resources.gcs import GcsResource
from tests.integration.campaigns.harness import Landing, row
from tests.memory_store import MemoryStore

pytestmark = pytest.mark.servers("postgres")

RECORDS = RecordTable("campaigns", ("user_id", "campaign", "message_hash"))


@pytest.fixture
def landing(env) -> Landing:
    upgrade(env["POSTGRES_URL"])
    return Landing(env["POSTGRES_URL"])


def look(landing: Landing, *, batches=10, objects=100, salt="1", **places) -> Backing:
    with landing.pg.connect() as connection:
        return backing(
            connection,
            Places(landing.store, landing.store, **places),
            CAMPAIGNS.source_name,
            RECORDS,
            most_batches=batches,
            most_objects=objects,
            salt=salt,
        )


def lose_staging(landing: Landing, batch_id: str) -> None:
    for key in [k for k in landing.store.objects if k.startswith(f"staging/campaigns/{batch_id}")]:
        landing.store.delete(key)


def test_records_without_staging_and_without_their_object_are_lost(landing):
    batch = landing.batch(
        {"campaigns/a.csv": [row("r1"), row("r2")], "campaigns/b.csv": [row("r3"), row("r4")]}
    )
    landing.load(batch)
    landing.load(landing.batch({"campaigns/c.csv": [row("r2", "new")]}))
    assert look(landing) == Backing(of=2, batches=2, records=4, objects=0)
    landing.store.delete("campaigns/b.csv")
    assert look(landing).lost == 0, "the staging has them"
    lose_staging(landing, batch)
    uri = "gs://campaigns/campaigns/b.csv#2"
    found = look(landing)
    assert (found.unbacked, found.lost, found.objects) == ([Unbacked(batch, uri, 2)], 2, 2)
    landing.put("campaigns/a.csv", [row("other")])
    assert look(landing).lost == 3, "replaced before its successor says the same"
    landing.store.put("copies/campaigns/b.csv", b"its content")
    kept = look(landing, copy_key=lambda version: f"copies/{version.key}")
    assert [one.records for one in kept.unbacked] == [1]


def test_staging_that_is_cut_or_has_too_few_rows_does_not_back(landing):
    batch = landing.batch({"campaigns/a.csv": [row("r1"), row("r2")]})
    landing.load(batch)
    landing.store.delete("campaigns/a.csv")
    with landing.pg.connect() as connection:
        connection.execute("UPDATE landing.staged_part SET rows = 1")
    assert look(landing).lost == 2
    with landing.pg.connect() as connection:
        connection.execute("UPDATE landing.staged_part SET rows = 2")
    assert look(landing).lost == 0
    (key,) = [k for k in landing.store.objects if k.startswith("staging/")]
    landing.store.put(key, landing.store.get(key)[:-1])
    assert look(landing).lost == 2


def test_what_is_looked_at_is_bounded_and_said(landing):
    batches = [landing.batch({f"campaigns/{n}.csv": [row(f"r{n}")]}) for n in range(6)]
    for batch_id in batches:
        landing.load(batch_id)
        lose_staging(landing, batch_id)
        landing.store.delete(f"campaigns/{batches.index(batch_id)}.csv")
    found = look(landing, batches=4)
    assert (found.batches, found.of, found.lost) == (4, 6, 4)
    assert look(landing, objects=2).batches == 2
    seen = {
        one.batch_id for n in range(20) for one in look(landing, batches=2, salt=f"{n}").unbacked
    }
    assert seen == set(batches), "each run looks at others"


def test_the_check_fails_by_name(landing, monkeypatch):
    batch = landing.batch({"campaigns/a.csv": [row("r1")]})
    landing.load(batch)

    @contextmanager
    def opened(_resource, name):
        yield landing.store if name == "campaigns" else MemoryStore(name)

    monkeypatch.setattr(record_audit, "opened", opened)
    monkeypatch.setenv("CAMPAIGNS_BUCKET", "campaigns")
    check = record_audit.record_audit(CAMPAIGNS)
    defs = dg.Definitions(
        asset_checks=[check],
        jobs=[dg.define_asset_job("audit", selection=dg.AssetSelection.checks(*check.check_keys))],
        resources={"postgres": landing.pg, "gcs": GcsResource(project="p")},
    )

    def run() -> dg.AssetCheckEvaluation:
        result = defs.resolve_job_def("audit").execute_in_process()
        (evaluation,) = result.get_asset_check_evaluations()
        return evaluation

    assert run().passed
    landing.store.objects.clear()
    failed = run()
    assert (failed.passed, failed.check_name) == (False, RECORDS_BACKED)
    assert failed.metadata["records_lost"].value == 1
    assert failed.metadata["sample"].value == [
        {"batch_id": batch, "uri": "gs://campaigns/campaigns/a.csv#1", "records": 1}
    ]


def test_declarations_say_truly_which_rows_are_facts():
    for files in landed_files():
        assert files.facts == isinstance(files.rules(), FactRules), files.source_name
        assert (files.record_table is None) == files.facts
