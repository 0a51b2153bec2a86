"""Ticks on the real ledger: two at once, killed between ledger and run, through the sensor."""

from __future__ import annotations

import re
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest

from assets.frame.declared import LandedFiles, batches
from assets.frame.settings import Settings
from landing.arrival import ledger
from landing.arrival.identity import ObjectVersion
from landing.arrival.requests import Request
from landing.arrival.scan import ScanError
from landing.arrival.source import Source
from landing.arrival.tick import Tick, evaluate_tick
from landing.batch.locks import hold_locks
from landing.stores.base import Page
from resources.gcs import GcsResource
from resources.postgres import PostgresResource
from sensors import landed
from sensors.landed import InstanceRuns
from tests.unit.landing.arrival_machine import ModelRuns
from tests.unit.landing.bucket_model import BucketModel, Clock

pytestmark = pytest.mark.servers("postgres")

SOURCE = Source(
    name="model",
    pipeline="model",
    store="gcs",
    bucket="inbox",
    prefix="in/",
    pattern=re.compile(r"in/.*\.csv"),
    sinks=("first", "second"),
    page_size=7,
    max_objects=10,
    max_in_flight=2,
)


def tick(
    connection: psycopg.Connection[Any],
    bucket: BucketModel,
    cursor: str | None = None,
    runs: Any = None,
) -> Tick:
    return evaluate_tick(
        SOURCE,
        bucket,
        connection,
        cursor,
        now=bucket.clock,
        deadline=1.0,
        clock=lambda: 0.0,
        runs=runs or ModelRuns(),
    )


def filled(count: int) -> BucketModel:
    bucket = BucketModel(Clock())
    for number in range(count):
        bucket.put(f"in/{number:05d}.csv", b"x")
    return bucket


def test_many_ticks_at_once_share_the_work(
    connection: psycopg.Connection[Any], ledger_url: str
) -> None:
    bucket = filled(95)
    barrier = threading.Barrier(4)
    ticks: list[Tick] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            with psycopg.connect(ledger_url, autocommit=True) as own:
                barrier.wait(10)
                ticks.append(tick(own, bucket))
        except BaseException as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert sum(each.scan.new for each in ticks) == 95
    rows = connection.execute(
        "SELECT count(*), count(DISTINCT key), count(batch_id) FROM landing.object_version"
    ).fetchone()
    created = [batch_id for each in ticks for batch_id in each.created]
    assert len(created) == len(set(created))
    assert rows is not None
    assert rows[:2] == (95, 95)
    assert rows[2] == sum(batch.objects for batch in ledger.batches(connection))
    requested = ledger.batches(connection, states=["requested"])
    assert len(requested) == 2, "in flight at most what the source allows"
    keys = {request.run_key for each in ticks for request in each.requests}
    assert keys == {f"{batch.batch_id}/1" for batch in requested}


def test_a_request_is_repeated_until_its_run_runs(connection: psycopg.Connection[Any]) -> None:
    bucket = filled(3)
    # The daemon is killed: neither this tick's cursor nor its request survives.
    lost = tick(connection, bucket)
    again = tick(connection, bucket)
    assert [r.run_key for r in again.requests] == [r.run_key for r in lost.requests]
    assert len(again.requests) == 1
    assert again.scan.known == 3
    ledger.mark_running(connection, again.requests[0].batch_id, "run", bucket.clock.now)
    assert tick(connection, bucket, again.cursor).requests == ()


def test_a_run_without_its_lock_is_given_up_after_half_a_minute(
    connection: psycopg.Connection[Any], ledger_url: str
) -> None:
    bucket = filled(1)
    batch_id = tick(connection, bucket).requests[0].batch_id
    run_id = str(uuid.uuid4())
    ledger.mark_running(connection, batch_id, run_id, bucket.clock.now)
    with hold_locks(ledger_url, run_id):
        held = tick(connection, bucket)
        bucket.clock.advance(3600)
        held = tick(connection, bucket, held.cursor)
        assert held.lost == ()
    first = tick(connection, bucket, held.cursor)
    assert first.lost == (), "a broken connection may come back"
    bucket.clock.advance(29)
    second = tick(connection, bucket, first.cursor)
    assert second.lost == ()
    bucket.clock.advance(2)
    third = tick(connection, bucket, second.cursor)
    assert third.lost == (batch_id,)
    # Once, at once; a second time after a minute.
    assert [request.run_key for request in third.requests] == [f"{batch_id}/2"]
    ledger.mark_running(connection, batch_id, run_id, bucket.clock.now)
    fourth = tick(connection, bucket, third.cursor)
    bucket.clock.advance(31)
    fifth = tick(connection, bucket, fourth.cursor)
    assert (fifth.lost, fifth.requests) == ((batch_id,), ())
    bucket.clock.advance(60)
    sixth = tick(connection, bucket, fifth.cursor)
    assert [request.run_key for request in sixth.requests] == [f"{batch_id}/3"]


class ModelSettings(Settings):
    """The bucket of the running test."""

    pipeline = "model"

    bucket: str = "inbox"
    prefix: str = "in/"
    quarantine_bucket: str = "inbox"


def no_rules() -> Any:
    raise AssertionError("a tick validates nothing")


MODEL = LandedFiles(
    pipeline="model",
    job="model",
    owners=("team:model",),
    partitions=batches("model"),
    store="gcs",
    pattern=r".*\.csv",
    settings=ModelSettings,
    description="Files.",
    validation="events",
    sinks=("first", "second"),
    derived=("summary",),
    rules=no_rules,
    staged=dg.TableSchema([]),
    preview=(),
    limits={"page_size": 7, "max_objects": 10, "max_in_flight": 2},
)
LANDING = MODEL.landing_key


def model_asset(name: str, deps: list[str]) -> dg.AssetsDefinition:
    @dg.asset(
        key=["model", name],
        partitions_def=MODEL.partitions,
        deps=[dg.AssetKey(["model", dep]) for dep in deps],
    )
    def made() -> None:
        return None

    return made


def definitions() -> dg.Definitions:
    job = dg.define_asset_job(
        "model",
        selection=dg.AssetSelection.all(),
        executor_def=dg.multi_or_in_process_executor,
    )
    return dg.Definitions(
        assets=[
            dg.AssetSpec(LANDING),
            model_asset("events", ["landing"]),
            model_asset("first", ["events"]),
            model_asset("second", ["events"]),
            model_asset("summary", ["first", "second"]),
        ],
        jobs=[job],
        sensors=[landed.landed_sensor(MODEL)],
        resources={
            "postgres": PostgresResource(url=dg.EnvVar("POSTGRES_URL")),
            "gcs": GcsResource(project="model"),
        },
    )


@contextmanager
def sensor_of(bucket: BucketModel) -> Iterator[Any]:
    """A function that evaluates the sensor as the code server does, and adds the partitions."""
    # Its versions are numbered, so that real time does not matter.
    repository = definitions().get_repository_def()
    sensor = repository.get_sensor_def(MODEL.sensor)
    with dg.instance_for_test() as instance, pytest.MonkeyPatch.context() as patch:
        patch.setattr(landed, "opened", lambda *_: nullcontext(bucket))

        def evaluate(cursor: str | None = None) -> Any:
            with dg.SensorEvaluationContext(
                instance_ref=instance.get_ref(),
                last_tick_completion_time=None,
                last_run_key=None,
                cursor=cursor,
                repository_name=repository.name,
                repository_def=repository,
                sensor_name=MODEL.sensor,
                resources={
                    name: repository.get_top_level_resources()[name]
                    for name in sensor.required_resource_keys
                },
            ) as context:
                data = sensor.evaluate_tick(context)
            for request in data.dynamic_partitions_requests or []:
                instance.add_dynamic_partitions(request.partitions_def_name, request.partition_keys)
            return data

        yield evaluate, instance


def test_the_sensor_asks_for_a_run_per_batch(
    connection: psycopg.Connection[Any], ledger_url: str
) -> None:
    bucket = filled(3)
    with sensor_of(bucket) as (evaluate, _):
        data = evaluate()
        (request,) = data.run_requests
        batch_id = request.partition_key
        assert request.run_key == f"{batch_id}/1"
        assert request.asset_selection is None
        assert request.run_config == {"execution": {"config": {"in_process": {}}}}
        assert request.tags["quintet/batch"] == batch_id
        assert request.tags["dagster/partition"] == batch_id
        assert [r.partition_keys for r in data.dynamic_partitions_requests] == [[batch_id]]
        (event,) = data.asset_events
        assert event.asset_key == LANDING
        assert event.metadata["new_objects"].value == 3
        assert event.metadata["batches_in_flight"].value == 1

        again = evaluate(data.cursor)
        assert [r.run_key for r in again.run_requests] == [f"{batch_id}/1"]
        assert not again.dynamic_partitions_requests
        assert not again.asset_events, "nothing changed"

        ledger.mark_running(connection, batch_id, "run", datetime.now(UTC))
        with hold_locks(ledger_url, "run"):
            quiet = evaluate(again.cursor)
        assert not quiet.run_requests
        assert "listed 3, known 3, new 0, ignored 0; cycle done" in quiet.skip_message
        assert "in flight 1" in quiet.skip_message


def test_a_file_that_lands_while_a_tick_waits_is_asked_for_by_that_tick(
    connection: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(landed, "_SEATS", threading.Semaphore(1))
    bucket = BucketModel(Clock())
    with sensor_of(bucket) as (evaluate, _):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(landed, "WAIT_SECONDS", 0.5)
            first = evaluate(evaluate().cursor)  # the first of all has the counts to tell
        assert "waiting: 0 objects" in first.skip_message
        landing = threading.Timer(1.0, bucket.put, ("in/late.csv", b"x"))
        began = time.monotonic()
        landing.start()
        data = evaluate(first.cursor)
        assert time.monotonic() - began < landed.WAIT_SECONDS
        (request,) = data.run_requests
        assert request.run_key == f"{request.partition_key}/1"
        (event,) = data.asset_events
        assert event.metadata["new_objects"].value == 1
        landing.join()


def test_a_tick_that_waits_ends_when_dagster_is_stopped(
    connection: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(landed, "_SEATS", threading.Semaphore(1))
    monkeypatch.setattr(landed, "WAIT_SECONDS", 100.0)
    with sensor_of(BucketModel(Clock())) as (evaluate, _):
        monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
        stopping = threading.Timer(1.0, (tmp_path / landed.STOPPING).touch)
        cursor = None
        stopping.start()
        for _ in range(2):
            data = evaluate(cursor)
            cursor = data.cursor
        assert not data.run_requests
        stopping.join()
        assert landed._SEATS.acquire(blocking=False), "its seat is free again"


def test_a_retry_selects_what_is_not_done(connection: psycopg.Connection[Any]) -> None:
    bucket = filled(1)
    with sensor_of(bucket) as (evaluate, _):
        first = evaluate()
        batch_id = first.run_requests[0].partition_key
        connection.execute("UPDATE landing.batch SET validated_at = now()")
        connection.execute("UPDATE landing.batch_sink SET state = 'done' WHERE sink = 'first'")
        past = datetime(2026, 1, 1, tzinfo=UTC)
        ledger.mark_failed(
            connection, batch_id, run_id="r", error_class="transient", error="down", now=past
        )
        (request,) = evaluate(first.cursor).run_requests
        assert request.run_key == f"{batch_id}/2"
        assert {key.path[-1] for key in request.asset_selection} == {"second", "summary"}


def test_one_bad_request_does_not_stop_the_others(
    connection: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = filled(20)  # two batches
    selected = landed.asset_selection
    bad: list[str] = []

    def failing(files: LandedFiles, request: Request) -> Any:
        bad[:] = bad or [request.batch_id]
        if request.batch_id in bad:
            raise KeyError("no_such_asset")
        return selected(files, request)

    monkeypatch.setattr(landed, "asset_selection", failing)
    with sensor_of(bucket) as (evaluate, _):
        evaluate_all = evaluate()
        again = evaluate(evaluate_all.cursor)
    told = [*evaluate_all.run_requests, *again.run_requests]
    assert {request.tags["quintet/batch"] for request in told}.isdisjoint(bad)
    assert told, "the other one is asked for"
    noted = ledger.batch(connection, bad[0])
    assert noted.state == "failed_transient"
    assert noted.error is not None
    assert "no run can be asked for: KeyError: 'no_such_asset'" in noted.error
    assert noted.begun == 0


def test_a_request_for_a_sink_that_the_code_does_not_know_is_refused() -> None:
    request = Request(
        batch_id="b", partition_key="b", pipeline="model", attempt=1, sinks=("gone",),
        validate=False, whole=False, large=False, objects=1, bytes=1,
    )  # fmt: skip
    made, ((refused, why),) = landed.run_requests(MODEL, [request])
    assert (made, refused) == ([], request)
    assert why == "ValueError: model has no sink gone"


def test_a_large_batch_gets_processes(connection: psycopg.Connection[Any]) -> None:
    bucket = BucketModel(Clock())
    bucket.put("in/large.csv", b"x" * 2_600_000)
    with sensor_of(bucket) as (evaluate, _):
        (request,) = evaluate().run_requests
        assert request.run_config["execution"]["config"]["multiprocess"]["max_concurrent"] == 4


def test_a_failed_listing_fails_the_tick(connection: psycopg.Connection[Any]) -> None:
    class Broken(BucketModel):
        def list_page(
            self, prefix: str, after: str | None, limit: int, token: str | None = None
        ) -> Page:
            raise ConnectionError("unreachable")

    with (
        sensor_of(Broken(Clock())) as (evaluate, _),
        pytest.raises(ScanError, match="cannot list inbox/in/ from its start: unreachable"),
    ):
        evaluate()


def test_the_end_of_runs_is_read_from_the_instance() -> None:
    from dagster._core.test_utils import create_run_for_test

    with dg.DagsterInstance.ephemeral() as instance:
        runs = InstanceRuns(instance)
        assert runs.how_ended("batch/1") is None
        assert runs.give_up("unknown") == "began"
        tags = {"dagster/run_key": "batch/1"}
        started = dg.DagsterRunStatus.STARTED
        failed = create_run_for_test(
            instance, "model", tags=tags, status=dg.DagsterRunStatus.FAILURE
        )
        assert runs.how_ended("batch/1") == "never began"
        retried = create_run_for_test(instance, "model", tags=tags, status=started)
        assert runs.how_ended("batch/1") is None
        assert runs.give_up(retried.run_id) == "began"
        assert status_of(instance, retried) == dg.DagsterRunStatus.FAILURE
        canceling = dg.DagsterRunStatus.CANCELING
        last = create_run_for_test(instance, "model", tags=tags, status=canceling)
        assert runs.how_ended("batch/1") is None
        assert runs.give_up(last.run_id) == "cancelled"
        assert runs.how_ended("batch/1") == runs.give_up(last.run_id) == "cancelled"
        assert status_of(instance, failed) == dg.DagsterRunStatus.FAILURE


def status_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRunStatus:
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found.status


def month_of(version: ObjectVersion) -> str:
    found = re.match(r"in/updates/(\d{4}-\d\d)/", version.key)
    if not found:
        raise ValueError(version.key)
    return found[1]


MONTHS = replace(
    MODEL,
    pattern=r"updates/.*",
    unit=month_of,
    partitions=dg.MonthlyPartitionsDefinition(start_date="2025-01", fmt="%Y-%m"),
)


def test_a_run_works_on_the_unit_that_its_objects_name(
    connection: psycopg.Connection[Any],
) -> None:
    bucket = BucketModel(Clock())
    for key in ("2025-03/a", "2025-04/a", "2025-03/b", "soon/a"):
        bucket.put(f"in/updates/{key}", b"x")
    source = MONTHS.source("inbox", "in/")

    def ticked(cursor: str | None) -> Tick:
        return evaluate_tick(
            source, bucket, connection, cursor,
            now=bucket.clock, deadline=1.0, clock=lambda: 0.0, runs=ModelRuns(),
        )  # fmt: skip

    first = ticked(None)
    assert dict(first.scan.ignored) == {"no_unit": 1}
    bucket.clock.advance(31)
    both = ticked(first.cursor)
    told = landed.sensor_result(
        MONTHS, both, landed.run_requests(MONTHS, both.requests)[0], known_partitions=()
    )
    requests = sorted(told.run_requests or [], key=lambda one: one.partition_key or "")
    assert [one.partition_key for one in requests] == ["2025-03", "2025-04"]
    assert not told.dynamic_partitions_requests, "months are there without being added"
    for request, objects in zip(requests, (2, 1), strict=True):
        batch = ledger.batch(connection, request.tags["quintet/batch"])
        assert (batch.partition_key, batch.objects) == (request.partition_key, objects)
        assert request.run_key == f"{batch.batch_id}/1"
        # What a run from the UI or of a backfill, without a batch's tag, works on.
        found = ledger.batch_of_partition(connection, MONTHS.source_name, batch.partition_key)
        assert found == batch
    assert ledger.batch_of_partition(connection, MONTHS.source_name, "2025-05") is None
    assert ledger.batch_of_partition(connection, "another", "2025-03") is None
