"""What Google's services are arranged with in tests: subscriptions, a bucket, Dataflow's stand-in.

Belongs here: how they answer. Does not: any test.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any

import pytest
import stamina
from google.api_core.exceptions import NotFound
from google.cloud.pubsub_v1.types import BigQueryConfig, Subscription

from assets.reading.settings import ReadingSettings
from assets.sinks import bigquery
from resources.bigquery import BigQueryResource
from resources.dataflow import ATTEMPTS, DataflowResource
from resources.gcs import GcsResource
from resources.pubsub import PubSubResource
from tests.dataflow_standin import dataflow_standin

State = BigQueryConfig.State
EVENTS = "projects/quintet-p/subscriptions/user-interaction-quintet"
META = "projects/quintet-p/subscriptions/content-meta-quintet"
JOBS = ["reading-user-interaction-quintet", "reading-content-meta-quintet"]


def settings(stream):
    return ReadingSettings(
        dataset="reading",
        bucket="b",
        prefix="p/",
        quarantine_bucket="q",
        interaction_topic="user-interaction",
        interaction_subscription="user-interaction-quintet",
        interaction_dead_topic="user-interaction-dead",
        meta_topic="content-meta",
        meta_subscription="content-meta-quintet",
        meta_dead_topic="content-meta-dead",
        stream=stream,
        merge_milliseconds=0,
        session_seconds=1,
        max_attempts=5,
    )


class PubSub:
    """Subscriptions as Pub/Sub keeps them; ``state`` is what it says of those that write."""

    def __init__(self, state=State.ACTIVE):
        self.kept = {
            name: Subscription(name=name, ack_deadline_seconds=60) for name in (EVENTS, META)
        }
        self.state, self.updates = state, []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def get_subscription(self, *, subscription, timeout):
        if subscription not in self.kept:
            raise NotFound(subscription)
        return self.kept[subscription]

    def update_subscription(self, *, subscription, update_mask, timeout):
        kept = self.kept[subscription.name]
        self.updates.append((subscription.name, tuple(update_mask["paths"])))
        for path in update_mask["paths"]:
            setattr(kept, path, getattr(subscription, path))
        if kept.bigquery_config.table:
            kept.bigquery_config.state = self.state
        return kept


class Storage:
    """A bucket; only what was put there exists."""

    def __init__(self):
        self.objects, self.closed = {}, 0

    def bucket(self, name):
        outer = self

        class Blob:
            def __init__(self, key):
                self.path = f"gs://{name}/{key}"

            def exists(self, timeout):
                return self.path in outer.objects

            def upload_from_string(self, text, content_type, timeout):
                assert self.path not in outer.objects
                outer.objects[self.path] = text

        return type("Bucket", (), {"blob": staticmethod(Blob)})()

    def close(self):
        self.closed += 1


@pytest.fixture
def google(monkeypatch):
    """Dataflow's stand-in, with `pubsub` and `storage` on it; BigQuery's tables are left out."""
    with dataflow_standin() as found, stamina.set_testing(True, attempts=ATTEMPTS, cap=True):
        state: Any = found
        state.pubsub, state.storage = PubSub(), Storage()
        monkeypatch.setattr(PubSubResource, "subscriber", lambda _: state.pubsub)
        monkeypatch.setattr(GcsResource, "client", lambda _: state.storage)
        monkeypatch.setattr(BigQueryResource, "client", contextmanager(lambda _: iter([None])))
        monkeypatch.setattr(bigquery.Warehouse, "ensure", lambda _: None)
        yield state


def resources(google, stream, temp="gs://tmp/dataflow/"):
    return {
        "reading": settings(stream),
        "bigquery": BigQueryResource(project="quintet-p"),
        "pubsub": PubSubResource(project="quintet-p"),
        "gcs": GcsResource(project="quintet-p"),
        "dataflow": DataflowResource(
            project="quintet-p",
            region="europe-west1",
            temp_location=temp,
            endpoint=google.endpoint,
        ),
    }
