"""What reading's jobs select, and what the queue and the UI are told of them."""

from __future__ import annotations

from datetime import timedelta

import dagster as dg
import pytest
import yaml

from assets.frame.checks import audits
from assets.frame.execution import WRITER_TAG
from assets.reading.pipeline import (
    DAYS,
    INTERACTION_TOPIC_KEY,
    PIPELINE,
    USER_INTERACTION_KEY,
    asset_key,
)
from assets.reading.session.job import SESSION_TAG
from definitions import build_defs
from local.service import REPOSITORY


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    return build_defs(pipelines=["reading"])


def selected(definitions, name):
    layer = definitions.resolve_job_def(name).asset_layer
    return set(layer.executable_asset_keys), set(layer.asset_graph.asset_check_keys)


def test_a_session_fills_both_raw_ends_and_runs_no_check(definitions):
    assets, checks = selected(definitions, "reading_stream")
    assert assets == {asset_key("user_interaction_raw"), asset_key("content_meta")}
    assert not checks


def test_a_session_is_nobodys_writer_and_never_retried(definitions):
    tags = definitions.resolve_job_def("reading_stream").tags
    assert WRITER_TAG not in tags, "history would wait for as long as a session lasts"
    assert tags["dagster/max_retries"] == "0"


def test_the_queue_lets_one_session_run_and_more_runs_than_sessions():
    instance = yaml.safe_load((REPOSITORY / "dagster.yaml").read_text())
    runs = instance["concurrency"]["runs"]
    (limit,) = [one for one in runs["tag_concurrency_limits"] if one["key"] == SESSION_TAG]
    assert limit == {"key": SESSION_TAG, "value": {"applyLimitPerUniqueValue": True}, "limit": 1}
    assert runs["max_concurrent_runs"] > 1


def test_the_audit_runs_every_audit_and_no_other_job_runs_any(definitions):
    checks = audits(PIPELINE, PIPELINE.definitions())
    expected = {key for check in checks for key in check.check_keys}
    assert selected(definitions, "reading_audit") == (set(), expected)
    for name in ("reading_stream", "reading_history", "reading_affinity"):
        assert not selected(definitions, name)[1] & expected


def test_days_of_events_are_an_external_asset_that_must_not_grow_old(definitions):
    node = definitions.resolve_asset_graph().get(USER_INTERACTION_KEY)
    assert node.is_external
    assert node.partitions_def == DAYS
    assert node.freshness_policy.fail_window.to_timedelta() == timedelta(hours=2)
    assert asset_key("user_interaction_raw") in node.parent_keys
    assert (
        INTERACTION_TOPIC_KEY
        in definitions.resolve_asset_graph().get(asset_key("user_interaction_raw")).parent_keys
    )
