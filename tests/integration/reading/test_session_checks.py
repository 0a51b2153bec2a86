"""The hourly audit: of a session that went well, and of what can go wrong without anybody seeing.

The session is the real one; what goes wrong is done to its tables afterwards.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import dagster as dg
import psycopg
import pytest

from assets.reading import sources
from assets.reading.session import assets as session
from assets.reading.session import checks as session_checks
from assets.reading.session.assets import RAW_KEY, reading_session
from assets.reading.session.job import reading_stream_job
from assets.reading.session.progress import progress
from assets.reading.settings import ReadingSettings
from assets.reading.tables import warehouse_of
from local.services.pubsub import counts_url
from resources.bigquery import BigQueryResource, run
from resources.bigquery_write import BigQueryWriteResource
from resources.postgres import PostgresResource
from resources.pubsub import PubSubResource
from resources.pubsub_counts import PubSubCountsResource

pytestmark = [
    pytest.mark.servers("postgres", "bigquery", "pubsub"),
    pytest.mark.xdist_group("reading-stream"),
]

#: Seven events and a twin of the first: the same event, published twice.
EVENTS = [
    {"user_id": 1, "content_id": -number, "read_percent": 95.5, "updated_at": f"2022-03-0{number}"}
    for number in range(1, 8)
]
POISON = b'{"user_id": "one"'
CATEGORIES = [{"content_id": -1, "category_name": "Romance"}] * 2


AUDITS = dg.load_asset_checks_from_modules([session_checks])


def audit_job():
    """Of the stream alone, as the hourly audit runs them."""
    keys = [key for check in AUDITS for key in check.check_keys]
    return dg.define_asset_job("reading_audit", selection=dg.AssetSelection.checks(*keys))


@dataclass
class World:
    """One test's session, tables and audit."""

    env: dict[str, str]
    resources: dict[str, Any]
    instance: dg.DagsterInstance

    @property
    def settings(self) -> ReadingSettings:
        return self.resources["reading"]

    def definitions(self) -> dg.Definitions:
        return dg.Definitions(
            assets=[
                reading_session,
                sources.user_interaction,
                sources.user_interaction_topic,
                sources.content_meta_topic,
            ],
            asset_checks=AUDITS,
            jobs=[audit_job(), reading_stream_job],
            resources=self.resources,
        )

    def publish(self) -> None:
        with self.resources["pubsub"].publisher() as client:
            topic = client.topic_path(self.env["GOOGLE_CLOUD_PROJECT"], self.settings.meta_topic)
            futures = [client.publish(topic, json.dumps(one).encode()) for one in CATEGORIES]
            topic = client.topic_path(
                self.env["GOOGLE_CLOUD_PROJECT"], self.settings.interaction_topic
            )
            data = [json.dumps(event).encode() for event in [*EVENTS, EVENTS[0]]]
            futures += [client.publish(topic, one) for one in [*data, POISON]]
            for future in futures:
                future.result(timeout=30)

    def serve(self) -> None:
        job = self.definitions().resolve_job_def("reading_stream")
        assert job.execute_in_process(instance=self.instance).success

    def audit(self) -> dict[str, dg.AssetCheckEvaluation]:
        job = self.definitions().resolve_job_def("reading_audit")
        result = job.execute_in_process(instance=self.instance)
        found = result.get_asset_check_evaluations()
        return {one.check_name: one for one in found}

    def postgres(self, statement: str) -> None:
        with psycopg.connect(self.env["POSTGRES_URL"]) as conn:
            conn.execute(statement)

    def bigquery(self, template: str) -> None:
        with self.resources["bigquery"].client() as client:
            run(client, warehouse_of(client, self.settings.dataset).sql(template))


def settings(env):
    names = ("TOPIC", "SUBSCRIPTION", "DEAD_TOPIC")
    return ReadingSettings(
        dataset=env["READING_DATASET"],
        bucket="b",
        prefix="p/",
        quarantine_bucket="q",
        stream="session",
        merge_milliseconds=0,
        session_seconds=60,
        max_attempts=5,
        **{f"interaction_{name.lower()}": env[f"READING_INTERACTION_{name}"] for name in names},
        **{f"meta_{name.lower()}": env[f"READING_META_{name}"] for name in names},
    )


@pytest.fixture
def world(env, stack, monkeypatch) -> Iterator[World]:
    project = env["GOOGLE_CLOUD_PROJECT"]
    resources = {
        "postgres": PostgresResource(url=env["POSTGRES_URL"]),
        "pubsub": PubSubResource(project=project, emulator_host=env["PUBSUB_EMULATOR_HOST"]),
        "pubsub_counts": PubSubCountsResource(url=counts_url(stack.place())),
        "bigquery": BigQueryResource(project=project, api_endpoint=env["BIGQUERY_API_ENDPOINT"]),
        "bigquery_write": BigQueryWriteResource(
            project=project, grpc_endpoint=env["BIGQUERY_GRPC_ENDPOINT"]
        ),
        "reading": settings(env),
    }
    monkeypatch.setattr(session, "LOOK_SECONDS", 0.1)
    read = progress

    def read_and_stop(conn, session_id):
        """End the session once everything has become something."""
        found = read(conn, session_id)
        done = sum(one.accepted + one.rejected for one in found.values())
        if done == len(EVENTS) + 1 + 1 + len(CATEGORIES) and not stopped:
            stopped.append(1)
            os.kill(os.getpid(), signal.SIGTERM)
        return found

    stopped: list[int] = []
    monkeypatch.setattr(session, "progress", read_and_stop)
    with dg.DagsterInstance.ephemeral() as instance:
        yield World(env, resources, instance)


def failed(evaluations):
    return {name for name, one in evaluations.items() if not one.passed}


def figure(evaluations, check, name):
    return evaluations[check].metadata[name].value


BALANCE = ("verified", "published", "accepted", "dead_lettered", "pending", "lost")


def balance(found):
    return {name: figure(found, "published_are_accounted_for", name) for name in BALANCE}


def test_the_audit_of_a_session_that_went_well_and_of_what_goes_wrong_unseen(world):
    world.publish()
    world.serve()
    found = world.audit()
    assert failed(found) == {"stream_keeps_up"}, "nobody serves any more; the rest is in order"
    assert len(found) == len(AUDITS)
    assert figure(found, "deliveries_balance", "received") == 11
    assert figure(found, "accepted_are_there", "in_raw_tables") == 10
    assert figure(found, "one_row_per_event", "events") == 7
    assert figure(found, "one_row_per_event", "days_checked") == 7
    assert figure(found, "one_row_per_event", "duplicates_kept_out") == 1
    assert figure(found, "one_row_per_category", "categories") == 1
    assert figure(found, "rejects_are_dead_lettered", "rejected") == 1
    assert balance(found) == {
        "verified": True, "published": 11, "accepted": 10, "dead_lettered": 1, "pending": 0,
        "lost": 0,
    }  # fmt: skip
    (raw,) = world.instance.fetch_materializations(RAW_KEY, limit=10).records
    assert raw.asset_materialization.metadata["accepted"].value == 8

    world.bigquery("DELETE FROM `{user_interaction_raw}` WHERE content_id = -7")
    world.bigquery(
        "INSERT INTO `{user_interaction}` (user_id, content_id, read_percent, updated_at, source,"
        " ingested_at) SELECT user_id, content_id, read_percent, updated_at, 'again', ingested_at"
        " FROM `{user_interaction}` WHERE content_id IN (-2, -3)"
    )
    world.bigquery(
        "INSERT INTO `{content_meta}` (content_id, category_name, source, ingested_at)"
        " SELECT content_id, category_name, 'again', ingested_at FROM `{content_meta}`"
    )
    world.postgres(
        "UPDATE reading.rejected_message SET dead_letter_id = NULL,"
        " rejected_at = now() - interval '10 minutes'"
    )
    world.postgres("UPDATE reading.session_stream SET received = received + 1")
    found = world.audit()
    assert failed(found) == set(found)
    assert figure(found, "deliveries_balance", "unbalanced") == 2
    assert figure(found, "accepted_are_there", "sessions_with_too_few") == 1
    assert figure(found, "one_row_per_event", "surplus_rows") == 2
    assert figure(found, "one_row_per_category", "surplus_rows") == 1
    assert figure(found, "rejects_are_dead_lettered", "not_dead_lettered") == 1
    assert figure(found, "published_are_accounted_for", "lost") == 1

    world.resources["pubsub_counts"] = PubSubCountsResource()
    unknown = world.audit()["published_are_accounted_for"]
    assert (unknown.passed, unknown.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert unknown.description.startswith("Unknown")
    assert unknown.metadata["verified"].value is False
