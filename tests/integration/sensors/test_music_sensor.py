"""The music sensor on a real gateway: events name what arrived, the scan finds what they don't."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime

import dagster as dg
import psycopg
import pytest

from assets.music.pipeline import MUSIC
from definitions import build_defs
from landing.arrival import events, waiting
from landing.arrival.events import Listener, Listeners
from landing.arrival.tick import evaluate_tick
from landing.stores import minio_events
from landing.stores.base import Page
from landing.stores.minio import MinioStore
from sensors import landed
from tests.integration.music.bronze_world import minio_of
from tests.unit.landing.arrival_machine import ModelRuns

pytestmark = pytest.mark.servers("postgres", "s3")


def wait_for(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def listening(env, prefix=""):
    """A listener whose subscription is known to stand."""
    bucket = env["MUSIC_RAW_BUCKET"]

    def subscribe():
        client = minio_of(env).client(read_timeout=landed.SILENCE, retries=0, pace=landed.PACE)
        yield from minio_events.created_keys(client, bucket, prefix)

    listener = Listener("test", subscribe)
    listener.start()
    store = MinioStore(minio_of(env).client(), bucket)

    def heard():
        store.put(f"{prefix}probe", b"x")
        time.sleep(0.2)
        return listener.keys.received > 0

    wait_for(heard)
    store.delete(f"{prefix}probe")
    time.sleep(0.5)
    listener.keys.drain()
    return listener


class Blind(MinioStore):
    """A bucket whose listing has not come to anything new yet."""

    def list_page(self, prefix, after, limit, token=None):
        return Page([], None)


def tick(env, store, hints=()):
    source = MUSIC.source(store.bucket, "")
    with psycopg.connect(env["POSTGRES_URL"], autocommit=True) as connection:
        return evaluate_tick(
            source, store, connection, None,
            now=lambda: datetime.now(UTC),
            deadline=time.monotonic() + 20,
            clock=time.monotonic,
            runs=ModelRuns(),
            hints=hints,
        )  # fmt: skip


def test_an_event_names_what_the_scan_has_not_come_to(env):
    listener = listening(env)
    blind = Blind(minio_of(env).client(), env["MUSIC_RAW_BUCKET"])
    keys = ["in/a b+c.h5", "in/é/日本 語.json"]
    versions = [blind.put(key, b"content") for key in keys]
    big = blind.put("in/large.csv", b"x" * (11 * 1024 * 1024))  # in parts
    wait_for(lambda: listener.keys.received >= 3)
    assert tick(env, blind).scan.new == 0, "without events there is nothing to see"
    hints = listener.keys.drain()
    assert set(hints) >= {*keys, "in/large.csv"}
    found = tick(env, blind, hints)
    new, waiting = found.hinted.new, set(found.hinted.unsettled)
    time.sleep(3.0)
    found = tick(env, blind, waiting)
    assert new + found.hinted.new == 3
    with psycopg.connect(env["POSTGRES_URL"]) as connection:
        known = connection.execute("SELECT key, version FROM landing.object_version").fetchall()
    assert set(known) == {(v.key, v.version) for v in [*versions, big]}
    # What HEAD says and what a listing says is one version: the scan knows it.
    seen = tick(env, MinioStore(minio_of(env).client(), blind.bucket))
    assert (seen.scan.known, seen.scan.new) == (3, 0)


def test_what_no_event_named_is_found_by_the_scan(env):
    store = MinioStore(minio_of(env).client(), env["MUSIC_RAW_BUCKET"])
    store.put("in/lost.h5", b"content")
    time.sleep(3.0)
    found = tick(env, store, ["in/never.h5"])
    assert (found.hinted.new, found.scan.new) == (0, 1)


@contextmanager
def sensor_of():
    """A function that evaluates the sensor as the code server does."""
    repository = build_defs(pipelines=["music"]).get_repository_def()
    sensor = repository.get_sensor_def("music_minio_sensor")
    resources = repository.get_top_level_resources()
    with dg.DagsterInstance.get() as instance:

        def evaluate(cursor=None):
            with dg.SensorEvaluationContext(
                instance_ref=instance.get_ref(),
                last_tick_completion_time=None,
                last_run_key=None,
                cursor=cursor,
                repository_name=repository.name,
                repository_def=repository,
                sensor_name=sensor.name,
                resources={name: resources[name] for name in sensor.required_resource_keys},
            ) as context:
                return sensor.evaluate_tick(context)

        yield evaluate


@pytest.fixture
def own_listeners(env, monkeypatch):
    """The process's listeners of this test alone."""
    listeners = Listeners()
    monkeypatch.setattr(landed, "LISTENERS", listeners)
    monkeypatch.setattr(events, "LISTENERS", listeners)
    return listeners


def test_a_tick_that_waits_hears_and_asks_once_the_object_cannot_change(
    env, own_listeners, monkeypatch
):
    monkeypatch.setattr(landed, "_SEATS", threading.Semaphore(1))
    store = MinioStore(minio_of(env).client(), env["MUSIC_RAW_BUCKET"])
    with sensor_of() as evaluate:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(landed, "WAIT_SECONDS", 1.5)
            first = evaluate(evaluate().cursor)  # the first of all has counts to tell
        (listener,) = own_listeners._by_name.values()
        # Looks alone would find it, too.
        monkeypatch.setattr(waiting, "something_new", lambda *_: False)
        landing = threading.Timer(1.0, store.put, ("in/late.h5", b"content"))
        landing.start()
        data = evaluate(first.cursor)
        landing.join()
    (request,) = data.run_requests
    assert request.run_key == f"{request.partition_key}/1"
    assert listener.works
    (event,) = data.asset_events
    assert event.metadata["new_objects"].value == 1
    # Whether its own look or the event names it first, once it is awake, is chance.
    assert event.metadata["events_received"].value >= 1


def test_the_sensor_hears_asks_for_a_run_and_shows_what_it_heard(env, own_listeners):
    store = MinioStore(minio_of(env).client(), env["MUSIC_RAW_BUCKET"])
    with sensor_of() as evaluate:
        first = evaluate()
        assert not first.run_requests
        (listener,) = own_listeners._by_name.values()
        time.sleep(1.5)
        store.put("deep/in/folders/a.h5", b"content")
        wait_for(lambda: listener.keys.received >= 1)
        time.sleep(3.0)
        second = evaluate(first.cursor)
        (request,) = second.run_requests
        (observed,) = second.asset_events
        assert observed.asset_key == dg.AssetKey(["music", "raw_landing"])
        assert observed.metadata["new_objects"].value == 1
        assert observed.metadata["new_objects_by_event"].value == 1
        assert observed.metadata["events_received"].value >= 1
        assert evaluate(second.cursor).run_requests[0].run_key == request.run_key
        assert list(own_listeners._by_name.values()) == [listener], "one for all ticks"


def test_without_events_the_sensor_goes_on(env, own_listeners, monkeypatch):
    def refuse(*_):
        yield from ()
        raise ConnectionError("notifications are not for you")

    monkeypatch.setattr(minio_events, "created_keys", refuse)
    store = MinioStore(minio_of(env).client(), env["MUSIC_RAW_BUCKET"])
    store.put("a.h5", b"content")
    with sensor_of() as evaluate:
        evaluate()
        (listener,) = own_listeners._by_name.values()
        wait_for(lambda: listener.status.failures > 0)
        time.sleep(3.0)
        found = evaluate()
        assert len(found.run_requests) == 1
        (observed,) = found.asset_events
        assert observed.metadata["events_failures"].value > 0
        assert observed.metadata["new_objects_by_event"].value == 0
