"""Dataflow jobs and BigQuery subscriptions, brought about and let go, against what Google takes."""

from __future__ import annotations

import re

import pytest

from assets.reading.managed_ingestion import arrangement, services
from assets.reading.managed_ingestion.services import (
    WRAP_FUNCTION,
    WRAP_SOURCE,
    Stream,
    job_name,
    judge,
    streams,
)
from resources.dataflow import Job
from tests.dataflow_standin import STATES
from tests.unit.assets.reading.managed_world import (
    EVENTS,
    JOBS,
    META,
    State,
    google,
    resources,
    settings,
)

__all__ = ["google"]


def arrange(google, stream, *, relaunch=False, **more):
    made = resources(google, stream, **more)
    found = arrangement.arrange(
        made["reading"],
        made["bigquery"],
        made["pubsub"],
        made["gcs"],
        made["dataflow"],
        relaunch=relaunch,
    )
    return [(service.kind, service.state, service.verdict) for service in found]


def phase(state):
    return Job("1", "x", f"JOB_STATE_{state}", None, None)


@pytest.mark.parametrize(
    ("states", "verdict", "when_asked"),
    [
        ([], "launch", "launch"),
        (["RUNNING"], "ingesting", "ingesting"),
        (["PENDING", "FAILED"], "ingesting", "ingesting"),
        (["FAILED", "RUNNING"], "ingesting", "ingesting"),
        (["QUEUED"], "ingesting", "ingesting"),
        (["DRAINING"], "stopping", "stopping"),
        (["CANCELLING", "DRAINED"], "stopping", "stopping"),
        (["DRAINED", "FAILED"], "launch", "launch"),
        (["DONE"], "launch", "launch"),
        (["UPDATED"], "launch", "launch"),
        (["FAILED"], "gave_up", "launch"),
        (["CANCELLED", "DRAINED"], "gave_up", "launch"),
        (["UNKNOWN"], "unknown", "unknown"),
        (["TELEPORTED", "DRAINED"], "unknown", "unknown"),
    ],
)
def test_what_is_to_be_done(states, verdict, when_asked):
    jobs = [phase(state) for state in states]
    assert judge(jobs, relaunch=False) == verdict
    assert judge(jobs, relaunch=True) == when_asked


def test_every_state_of_google_s_has_a_verdict():
    for state in STATES:
        assert judge([Job("1", "x", state, None, None)], relaunch=False) in {
            "launch", "ingesting", "stopping", "gave_up", "unknown",
        }  # fmt: skip


@pytest.mark.parametrize("label", ["user-interaction-quintet", "Büro.sub~1%+_", "9lives-"])
def test_job_names_are_what_dataflow_takes(label):
    name = job_name(Stream("s", "d", "p.d.t", label))
    assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name)


def test_one_job_per_topic_with_the_template_s_parameters(google):
    assert arrange(google, "dataflow") == [("dataflow", "JOB_STATE_PENDING", "ingesting")] * 2
    [(params, events), (_, meta)] = google.asked_for("templates.launch")
    assert params["gcsPath"] == (
        "gs://dataflow-templates-europe-west1/latest/PubSub_Subscription_to_BigQuery"
    )
    assert [events["jobName"], meta["jobName"]] == JOBS
    [(function, source)] = google.storage.objects.items()
    assert events["parameters"] == {
        "inputSubscription": EVENTS,
        "outputTableSpec": "quintet-p:reading.user_interaction_landed",
        "outputDeadletterTable": "quintet-p:reading.user_interaction_landed_errors",
        "javascriptTextTransformGcsPath": function,
        "javascriptTextTransformFunctionName": WRAP_FUNCTION,
    }
    assert meta["parameters"]["outputTableSpec"] == "quintet-p:reading.content_meta_landed"
    assert events["environment"]["tempLocation"] == "gs://tmp/dataflow/"
    assert re.fullmatch(r"gs://tmp/dataflow/wrap-[0-9a-f]{12}\.js", function)
    assert source == WRAP_SOURCE
    assert f"function {WRAP_FUNCTION}(" in source
    assert google.storage.closed == 1

    google.jobs[0]["currentState"] = "JOB_STATE_RUNNING"
    assert [state for _, state, _ in arrange(google, "dataflow")] == [
        "JOB_STATE_RUNNING", "JOB_STATE_PENDING",
    ]  # fmt: skip
    assert len(google.jobs) == 2, "what runs is not launched again"


def test_a_launch_that_nobody_heard_of_is_found_by_its_name(google):
    google.swallow = 503
    with pytest.raises(Exception, match="the answer got lost"):
        arrange(google, "dataflow")
    assert arrange(google, "dataflow") == [("dataflow", "JOB_STATE_PENDING", "ingesting")] * 2
    assert [job["name"] for job in google.jobs] == JOBS


def test_two_runs_at_once_launch_one_job(google, monkeypatch):
    google.add(JOBS[0], "RUNNING")
    real, calls = services.judge, []

    def too_early(jobs, *, relaunch):
        calls.append(jobs)
        return "launch" if len(calls) == 1 else real(jobs, relaunch=relaunch)

    monkeypatch.setattr(services, "judge", too_early)
    assert arrange(google, "dataflow")[0] == ("dataflow", "JOB_STATE_RUNNING", "ingesting")
    assert [job["name"] for job in google.jobs] == JOBS


@pytest.mark.parametrize("state", ["FAILED", "CANCELLED"])
def test_what_gave_up_stays_so_until_somebody_says(google, state):
    job_id = google.add(JOBS[0], state)
    google.messages[job_id] = [("2026-11-22T10:00:01Z", "JOB_MESSAGE_ERROR", "no such table")]
    assert arrange(google, "dataflow")[0][2] == "gave_up"
    assert [job["name"] for job in google.jobs] == JOBS, "the other one was launched"
    assert arrange(google, "dataflow", relaunch=True)[0][2] == "ingesting"
    assert [job["name"] for job in google.jobs] == [*JOBS, JOBS[0]]


def test_a_state_that_nobody_knows_is_only_looked_at(google):
    google.add(JOBS[0], "UNKNOWN")
    assert arrange(google, "dataflow", relaunch=True)[0] == (
        "dataflow", "JOB_STATE_UNKNOWN", "unknown",
    )  # fmt: skip
    assert [job["name"] for job in google.jobs] == JOBS


def test_from_dataflow_to_a_session_and_back(google):
    arrange(google, "dataflow")
    assert arrange(google, "session") == [("dataflow", "JOB_STATE_DRAINING", "stopping")] * 2
    assert arrange(google, "dataflow") == [("dataflow", "JOB_STATE_DRAINING", "stopping")] * 2
    for job in google.jobs:
        job["currentState"] = "JOB_STATE_DRAINED"
    assert arrange(google, "dataflow") == [("dataflow", "JOB_STATE_PENDING", "ingesting")] * 2
    assert len(google.jobs) == 4


def test_a_session_asks_dataflow_nothing_where_it_was_never_used(google):
    assert arrange(google, "session", temp="") == []
    assert google.asked == []
    assert google.pubsub.updates == []


def test_a_subscription_writes_to_bigquery_and_is_left_alone_then(google):
    wanted = [("bigquery_subscription", "ACTIVE", "ingesting")] * 2
    assert arrange(google, "bigquery_subscription", temp="") == wanted
    mask = ("bigquery_config", "dead_letter_policy")
    assert google.pubsub.updates == [(EVENTS, mask), (META, mask)]
    kept = google.pubsub.kept[META]
    assert kept.bigquery_config.table == "quintet-p.reading.content_meta_landed"
    assert kept.bigquery_config.write_metadata
    assert (
        kept.dead_letter_policy.dead_letter_topic == "projects/quintet-p/topics/content-meta-dead"
    )
    assert kept.dead_letter_policy.max_delivery_attempts == 100
    assert kept.ack_deadline_seconds == 60, "nothing else was changed"
    assert arrange(google, "bigquery_subscription", temp="") == wanted
    assert len(google.pubsub.updates) == 2

    assert (
        arrange(google, "session", temp="")
        == [("bigquery_subscription", "CLEARED", "stopping")] * 2
    )
    assert not google.pubsub.kept[EVENTS].bigquery_config.table
    assert arrange(google, "session", temp="") == []


def test_neither_kind_begins_before_the_other_has_let_go(google):
    arrange(google, "dataflow")
    stopping = [("dataflow", "JOB_STATE_DRAINING", "stopping")] * 2
    assert arrange(google, "bigquery_subscription") == stopping
    assert google.pubsub.updates == []
    for job in google.jobs:
        job["currentState"] = "JOB_STATE_DRAINED"
    assert arrange(google, "bigquery_subscription")[0][1] == "ACTIVE"
    assert [kind for kind, *_ in arrange(google, "dataflow")] == ["bigquery_subscription"] * 2
    assert len(google.jobs) == 2
    assert arrange(google, "dataflow")[0] == ("dataflow", "JOB_STATE_PENDING", "ingesting")


def test_a_dead_letter_policy_that_is_there_is_left_alone(google):
    mine = {"dead_letter_topic": "projects/other/topics/mine", "max_delivery_attempts": 7}
    google.pubsub.kept[META].dead_letter_policy = mine
    arrange(google, "bigquery_subscription", temp="")
    assert (META, ("bigquery_config",)) in google.pubsub.updates
    assert google.pubsub.kept[META].dead_letter_policy.max_delivery_attempts == 7


@pytest.mark.parametrize(
    ("state", "verdict"),
    [
        (State.PERMISSION_DENIED, "gave_up"),
        (State.NOT_FOUND, "gave_up"),
        (State.SCHEMA_MISMATCH, "gave_up"),
        (State.STATE_UNSPECIFIED, "unknown"),
    ],
)
def test_a_subscription_that_cannot_write_says_so(google, state, verdict):
    google.pubsub.state = state
    found = services.ingest_by_subscription(
        google.pubsub, streams(settings("bigquery_subscription"), "quintet-p")[0]
    )
    assert (found.state, found.verdict) == (state.name, verdict)
    assert bool(found.detail) == (verdict == "gave_up")


@pytest.mark.parametrize(
    ("stream", "more", "words"),
    [
        ("dataflow", {"temp": ""}, "READING_DATAFLOW_TEMP"),
        ("dataflow", {"temp": "/tmp"}, "READING_DATAFLOW_TEMP"),
        ("pigeon", {}, "READING_STREAM is 'pigeon'"),
    ],
)
def test_a_configuration_that_cannot_work_fails_at_once(google, stream, more, words):
    with pytest.raises(Exception, match=words):
        arrange(google, stream, **more)
    assert google.jobs == []
