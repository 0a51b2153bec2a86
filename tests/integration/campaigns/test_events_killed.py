"""Validation killed (-9) at named points and run again, on Postgres and GCS."""

from __future__ import annotations

import io
import signal

import polars as pl
import pytest

from assets.campaigns.pipeline import CAMPAIGNS
from landing.stores.base import ObjectStore
from samples.campaigns import Shape, write
from tests import forks
from tests.integration.campaigns import killed_validation
from tests.integration.campaigns.harness import Landing
from tests.integration.campaigns.killed_validation import POINTS, gcs

pytestmark = pytest.mark.servers("postgres", "gcs")


@pytest.fixture
def on_gcs(env, landing) -> Landing:
    landing.store = gcs(env["CAMPAIGNS_BUCKET"])
    landing.quarantine = gcs(env["QUARANTINE_BUCKET"])
    return landing


def contents(store: ObjectStore, prefix: str) -> dict[str, bytes]:
    return {v.key: store.get(v.key) for v in store.list_page(prefix, None, 1_000).objects}


@pytest.mark.parametrize("point", POINTS)
def test_killed_and_run_again(on_gcs, tmp_path, point):
    manifest = write(tmp_path / "a.csv", Shape(rows=200), 5, dirty=True).as_json()
    batch = on_gcs.batch({"campaigns/a.csv": (tmp_path / "a.csv").read_bytes()})
    assert forks.exit_code_of(killed_validation.main, batch, point) == -signal.SIGKILL
    assert on_gcs.query("SELECT count(*) FROM campaigns.record") == [(0,)]
    assert on_gcs.query("SELECT count(*) FROM landing.staged_part") == [(0,)]
    assert on_gcs.query("SELECT outcome FROM landing.object_version") == [(None,)]

    sinks = {sink: {} for sink in CAMPAIGNS.sinks}
    result = on_gcs.load(batch, sinks)
    assert result.reasons == manifest["reasons"]
    assert (result.rows.read, result.rows.written) == (manifest["read"], manifest["accepted"])
    assert all(len(rows) == manifest["events"] for rows in sinks.values())
    assert on_gcs.query("SELECT count(*) FROM campaigns.record") == [(manifest["events"],)]
    assert list(contents(on_gcs.store, "staging/")) == [
        f"staging/campaigns/{batch}/accepted-0.parquet"
    ]
    (rejects,) = contents(on_gcs.quarantine, "").values()
    assert len(pl.read_parquet(io.BytesIO(rejects))) == manifest["rejected"]
    assert on_gcs.state(batch) == "loaded_with_rejects"
