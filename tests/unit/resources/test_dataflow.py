"""Dataflow's REST API, as its discovery document describes it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import stamina

from landing.batch.failures import classify
from resources.dataflow import (
    ALIVE,
    ATTEMPTS,
    ENDED,
    DataflowRequestError,
    DataflowResource,
    Job,
    JobNameTakenError,
    Launch,
)
from tests.dataflow_standin import STATES, dataflow_standin

LAUNCH = Launch(
    name="reading-x",
    template="gs://dataflow-templates-europe-west1/latest/T",
    parameters={"inputSubscription": "projects/p/subscriptions/s"},
    temp_location="gs://b/tmp",
    labels={"quintet": "reading"},
    max_workers=3,
)


@pytest.fixture
def google():
    with dataflow_standin() as state:
        yield state


@pytest.fixture
def client(google):
    """Retries without their waits."""
    resource = DataflowResource(project="p", region="europe-west1", endpoint=google.endpoint)
    with stamina.set_testing(True, attempts=ATTEMPTS, cap=True), resource.client() as made:
        yield made


def test_a_launch_is_what_the_api_takes(google, client):
    job = client.launch(LAUNCH)
    assert (job.name, job.phase) == ("reading-x", "starting")
    [(params, body)] = google.asked_for("templates.launch")
    assert params == {"gcsPath": LAUNCH.template}
    assert body["environment"] == {
        "tempLocation": "gs://b/tmp",
        "maxWorkers": 3,
        "enableStreamingEngine": True,
        "additionalUserLabels": {"quintet": "reading"},
    }


def test_a_launch_is_sent_once_whatever_comes_of_it(google, client):
    google.swallow = 503
    with pytest.raises(DataflowRequestError) as lost:
        client.launch(LAUNCH)
    assert classify(lost.value) == "transient"
    assert len(google.asked_for("templates.launch")) == 1
    with pytest.raises(JobNameTakenError) as taken:
        client.launch(LAUNCH)
    assert "already an active job" in str(taken.value)
    assert len(google.jobs) == 1


def test_jobs_of_a_name_on_all_pages_newest_first(google, client):
    first = google.add("reading-x", "DRAINED", "2026-11-20T10:00:00Z")
    google.add("reading-xy", "RUNNING")
    last = google.add("reading-x", "RUNNING", "2026-11-22T10:00:00.999999999Z")
    middle = google.add("reading-x", "FAILED", "2026-11-21T10:00:00Z")
    assert [job.id for job in client.jobs("reading-x")] == [last, middle, first]
    assert client.jobs("reading-x")[1].created == datetime(2026, 11, 21, 10, tzinfo=UTC)
    assert client.jobs("nothing") == []


def test_a_region_that_did_not_answer_is_no_empty_list(google, client):
    google.failed_location = True
    with pytest.raises(DataflowRequestError) as error:
        client.jobs("reading-x")
    assert classify(error.value) == "transient"


def test_reads_are_repeated_and_refusals_are_not(google, client):
    google.add("reading-x", "RUNNING")
    google.faults = [503, 429]
    assert len(client.jobs("reading-x")) == 1
    asked = len(google.asked)
    google.faults = [403]
    with pytest.raises(DataflowRequestError, match="403: as the test wants it") as error:
        client.jobs("reading-x")
    assert len(google.asked) == asked + 1
    assert classify(error.value) == "permanent"


def test_reads_give_up_in_the_end(google, client):
    google.faults = [500] * 50
    with pytest.raises(DataflowRequestError):
        client.jobs("reading-x")
    assert len(google.asked) == ATTEMPTS


def test_drain_and_errors(google, client):
    job_id = google.add("reading-x", "RUNNING")
    google.messages[job_id] = [
        ("2026-11-22T10:00:02Z", "JOB_MESSAGE_ERROR", "second"),
        ("2026-11-22T10:00:01Z", "JOB_MESSAGE_ERROR", "first"),
        ("2026-11-22T10:00:03Z", "JOB_MESSAGE_BASIC", "all is well"),
    ]
    assert client.errors(job_id) == ["first", "second"]
    assert client.errors(job_id, limit=1) == ["second"]
    assert client.drain(job_id).phase == "stopping"
    assert client.job(job_id).phase == "stopping"
    with pytest.raises(DataflowRequestError, match="could not be found"):
        client.job("none")


def test_every_state_that_google_describes_has_a_phase():
    phases = {state: Job("1", "x", state, None, None).phase for state in STATES}
    assert [state for state, phase in phases.items() if phase == "unknown"] == ["JOB_STATE_UNKNOWN"]
    assert {s.removeprefix("JOB_STATE_") for s, phase in phases.items() if phase in ENDED} == {
        "DONE", "FAILED", "CANCELLED", "UPDATED", "DRAINED",
    }  # fmt: skip
    assert "JOB_STATE_RUNNING" in {s for s, phase in phases.items() if phase in ALIVE}


@pytest.mark.parametrize("state", ["JOB_STATE_TELEPORTING", "", "RUNNING!"])
def test_a_state_that_is_new_to_us_is_unknown(state):
    assert Job("1", "x", state, None, None).phase == "unknown"


def test_an_answer_without_a_state_is_unknown(google, client):
    google.add("reading-x", "RUNNING")
    del google.jobs[0]["currentState"]
    assert client.jobs("reading-x")[0].phase == "unknown"


def test_something_that_is_not_google(google):
    resource = DataflowResource(project="p", region="europe-west1", endpoint=google.endpoint)
    assert resource.check() == f"Dataflow of project p in europe-west1 at {google.endpoint}"
    google.faults = [400]
    with pytest.raises(DataflowRequestError):
        resource.check()
    assert resource.template("T") == "gs://dataflow-templates-europe-west1/latest/T"
