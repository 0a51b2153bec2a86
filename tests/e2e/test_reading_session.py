"""The session under a real daemon: started by the sensor, killed, replaced, ended; nothing lost."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import dagster as dg
import psycopg
import pytest
from google.cloud.bigquery import Client

from landing.batch.locks import run_lock_held
from local.dagster_processes import DagsterProcesses
from local.service import REPOSITORY
from resources.bigquery import BigQueryResource, run
from resources.pubsub import PubSubResource
from tests import processes

pytestmark = [
    pytest.mark.servers("postgres", "bigquery", "pubsub"),
    pytest.mark.xdist_group("daemon"),
]

WORKSPACE = f"""
load_from:
  - python_module:
      module_name: tests.e2e.reading_location
      working_directory: {REPOSITORY}
"""

SESSION_TAG = "quintet/session"
#: Seconds in which a daemon has to come up and start a session, on a machine with other work.
START = 180.0
#: Seconds from a kill to the next session's service.
REPLACED = 30.0


@dataclass
class SessionDaemon:
    """The processes of the test, and what they have done so far."""

    env: dict[str, str]
    processes: DagsterProcesses
    instance: dg.DagsterInstance
    bigquery: Client

    def publish(self, users: range) -> None:
        """One event per user, and every tenth of them twice."""
        resource = PubSubResource(
            project=self.env["GOOGLE_CLOUD_PROJECT"],
            emulator_host=self.env["PUBSUB_EMULATOR_HOST"],
        )
        topic = resource.topic_path(self.env["READING_INTERACTION_TOPIC"])
        with resource.publisher() as client:
            futures = [
                client.publish(topic, json.dumps(event(user)).encode())
                for user in users
                for _ in range(2 if user % 10 == 0 else 1)
            ]
            for future in futures:
                future.result(timeout=60)

    def users(self) -> list[int]:
        """The users in the table, each as often as it is there."""
        table = f"{self.bigquery.project}.{self.env['READING_DATASET']}.user_interaction"
        rows = run(self.bigquery, f"SELECT user_id FROM `{table}` ORDER BY user_id")
        return [row["user_id"] for row in rows]

    def serving(self) -> list[dg.DagsterRun]:
        """Runs of sessions that serve: with their lock, by their own account."""
        runs = self.instance.get_runs(
            dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED], tags={SESSION_TAG: "reading"})
        )
        states = self.states()
        with psycopg.connect(self.env["POSTGRES_URL"]) as conn:
            return [
                one
                for one in runs
                if states.get(one.run_id) == "serving" and run_lock_held(conn, one.run_id)
            ]

    def states(self) -> dict[str, str]:
        """The state of every session, by its own account or by the sensor's."""
        with psycopg.connect(self.env["POSTGRES_URL"]) as conn:
            return dict(conn.execute("SELECT session_id, state FROM reading.session").fetchall())

    def pid(self, run_id: str) -> int:
        """The process that executes the run, as it has told."""
        for record in self.instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
            metadata: Any = record.get_dagster_event().engine_event_data.metadata
            if "pid" in metadata and "step_keys" in metadata:
                return int(metadata["pid"].value)
        raise AssertionError(f"run {run_id} has not told its process")

    def wait(self, what: str, condition: Callable[[], Any], timeout: float) -> Any:
        """The condition's first true value. Fails with the end of the daemon's log."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            self.processes.check_alive()
            if found := condition():
                return found
            time.sleep(0.3)
        raise AssertionError(
            f"{what}: not in {timeout:.0f} s\n{self.processes.log_end('daemon', 60)}"
        )


def event(user: int) -> dict[str, object]:
    day = f"2022-03-{1 + user % 20:02d} 10:00:00.{user:06d}"
    return {"user_id": user, "content_id": -user, "read_percent": 95.5, "updated_at": day}


@pytest.fixture
def daemon(env, tmp_path) -> Iterator[SessionDaemon]:
    workspace = tmp_path / "workspace.yaml"
    workspace.write_text(WORKSPACE)
    dagster = processes.dagster(tmp_path, instead=workspace)
    resource = BigQueryResource(
        project=env["GOOGLE_CLOUD_PROJECT"], api_endpoint=env["BIGQUERY_API_ENDPOINT"]
    )
    dagster.start(webserver=False)
    try:
        with dg.DagsterInstance.get() as instance, resource.client() as client:
            yield SessionDaemon(env, dagster, instance, client)
    finally:
        dagster.stop()


def test_a_killed_session_is_replaced_in_time_and_its_successor_ends_with_the_daemon(daemon):
    daemon.publish(range(200))
    (first,) = daemon.wait("a session serves", daemon.serving, START)
    daemon.wait("the events are there", lambda: len(daemon.users()) == 200, 60)

    daemon.publish(range(200, 1_000))
    os.kill(daemon.pid(first.run_id), signal.SIGKILL)
    killed = time.monotonic()
    daemon.publish(range(1_000, 1_200))
    (second,) = daemon.wait(
        "the next session serves",
        lambda: [one for one in daemon.serving() if one.run_id != first.run_id],
        START,
    )
    seconds = time.monotonic() - killed
    daemon.wait("all events are there", lambda: len(set(daemon.users())) == 1_200, 90)

    assert daemon.users() == list(range(1_200)), "every event once"
    assert seconds <= REPLACED, f"replaced after {seconds:.1f} s"
    assert daemon.instance.get_run_by_id(first.run_id).status == dg.DagsterRunStatus.FAILURE
    runs = daemon.instance.get_runs(dg.RunsFilter(tags={SESSION_TAG: "reading"}))
    assert {one.run_id for one in runs} == {first.run_id, second.run_id}
    states = {first.run_id: "failed", second.run_id: "serving"}
    daemon.wait("the dead session's row is closed", lambda: daemon.states() == states, 30)

    daemon.publish(range(1_200, 1_300))
    daemon.wait("the second session has some", lambda: len(set(daemon.users())) > 1_200, 90)
    daemon.processes.stop()
    assert daemon.instance.get_run_by_id(second.run_id).status == dg.DagsterRunStatus.SUCCESS
    assert daemon.states()[second.run_id] == "ended"
