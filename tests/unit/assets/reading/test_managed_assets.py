"""The assets over Google's services: what they show, and how they fail."""

from __future__ import annotations

import dagster as dg
from google.api_core.exceptions import PermissionDenied

from assets.reading.managed_ingestion.assets import (
    JOBS_KEY,
    reading_dataflow_jobs,
    reading_landed_messages,
)
from resources.postgres import PostgresResource
from tests.unit.assets.reading.managed_world import JOBS, PubSub, google, resources

__all__ = ["google"]


def materialize(google, stream, *, relaunch=False, **more):
    config = {"ops": {"reading__dataflow_jobs": {"config": {"relaunch": relaunch}}}}
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize(
            [reading_dataflow_jobs],
            resources=resources(google, stream, **more),
            run_config=config,
            instance=instance,
            raise_on_error=False,
        )
        [check] = result.get_asset_check_evaluations()
        failures = [
            event.step_failure_data.user_failure_data or event.step_failure_data.error
            for event in result.all_events
            if event.is_step_failure
        ]
    return result, check, failures


def test_the_asset_shows_jobs_and_their_pages(google):
    result, check, failures = materialize(google, "dataflow")
    assert (result.success, check.passed, failures) == (True, True, [])
    [shown] = result.asset_materializations_for_node("reading__dataflow_jobs")
    assert shown.asset_key == JOBS_KEY
    assert shown.metadata["user-interaction-quintet"].value == "dataflow: JOB_STATE_PENDING"
    assert google.jobs[0]["id"] in shown.metadata["user-interaction-quintet job"].value


def test_the_asset_fails_with_google_s_words_and_is_not_tried_again(google):
    job_id = google.add(JOBS[1], "FAILED")
    google.messages[job_id] = [("2026-11-22T10:00:01Z", "JOB_MESSAGE_ERROR", "no such table")]
    result, check, [failure] = materialize(google, "dataflow")
    assert not result.success
    assert not check.passed
    assert "no such table" in failure.description
    assert "relaunch: true" in failure.description
    assert result.asset_materializations_for_node("reading__dataflow_jobs") == []
    result, check, failures = materialize(google, "dataflow", relaunch=True)
    assert (result.success, check.passed, failures) == (True, True, [])


def test_a_service_on_its_way_out_is_a_warning(google):
    google.add(JOBS[0], "DRAINING")
    result, check, failures = materialize(google, "dataflow")
    assert (result.success, failures) == (True, [])
    assert not check.passed
    assert check.severity == dg.AssetCheckSeverity.WARN


def test_a_refusal_names_what_to_do(google, monkeypatch):
    def refused(*_, **__):
        raise PermissionDenied("pubsub.subscriptions.update")

    monkeypatch.setattr(PubSub, "update_subscription", refused)
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize(
            [reading_dataflow_jobs],
            resources=resources(google, "bigquery_subscription"),
            instance=instance,
            raise_on_error=False,
        )
    [failure] = [event for event in result.all_events if event.is_step_failure]
    assert "the roles that docs/reading.md lists" in (
        failure.step_failure_data.user_failure_data.description
    )
    assert not [event for event in result.all_events if event.is_step_up_for_retry]


def test_what_was_landed_is_merged_though_a_job_has_failed(google, monkeypatch):
    google.add(JOBS[0], "FAILED")
    looked = []
    monkeypatch.setattr(
        "assets.reading.managed_ingestion.landed.is_landed", lambda _: looked.append(1)
    )
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize(
            [reading_dataflow_jobs, reading_landed_messages],
            resources={
                **resources(google, "dataflow"),
                "postgres": PostgresResource(url="postgresql://nowhere"),
            },
            instance=instance,
            raise_on_error=False,
        )
    assert not result.success
    assert looked == [1]
    assert result.asset_materializations_for_node("reading__landed_messages")
