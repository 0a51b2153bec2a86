"""The sensor of a landing prefix: a thin shell around landing.arrival.tick, for every declaration.

Belongs here: Dagster's words for a tick. Does not: any decision, or which sources there are.
"""

import os
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from assets.frame.buckets import StoreResource, opened
from assets.frame.declared import LandedFiles
from assets.frame.execution import BATCH_TAG, in_process, multiprocess
from landing.arrival import endings
from landing.arrival.events import LISTENERS, Listener
from landing.arrival.identity import StoreKind
from landing.arrival.scan import DEADLINE_SECONDS
from resources.gcs import GcsResource
from resources.minio import MinioResource
from resources.postgres import PostgresResource
from resources.s3 import S3Resource
from sensors.reaper import report_dead

if TYPE_CHECKING:
    from landing.arrival.events import Status
    from landing.arrival.requests import Request
    from landing.arrival.source import Source
    from landing.arrival.tick import Ended, Tick
    from landing.stores.base import ObjectStore

#: Seconds that have to pass between two evaluations. The daemon looks every 5: with exactly 5 here
#: every other look comes some milliseconds too early, and what landed waits for the next.
INTERVAL_SECONDS = 4

#: Seconds without any sign of life, which MinIO gives twice a second, after which a subscription
#: is broken; and between two attempts to subscribe, so that a server that hangs up is not hammered.
SILENCE = 15.0
PACE = 1.0

#: Seconds after its start until which a tick waits for what lands; Dagster cuts ticks at 60.
WAIT_SECONDS = 30.0
#: And until which it lists what has landed meanwhile.
LAST_SECONDS = 40.0

#: A file in DAGSTER_HOME.
STOPPING = "stopping"

#: The threads of the code server, and those of the proxy before it (``dagster code-server``).
_THREADS = ("DAGSTER_GRPC_MAX_WORKERS", "DAGSTER_CODE_SERVER_MAX_WORKERS")

#: Threads of either that no waiting tick takes: for runs, the UI and other ticks.
THREADS_LEFT = 6


def _seats() -> int:
    """How many ticks may wait at once: those for which code server and proxy have threads.

    None where nobody says how many they have: by default they are too few.
    """
    threads = min(int(os.environ.get(name) or 0) for name in _THREADS)
    return max(threads - THREADS_LEFT, 0)


_SEATS = threading.Semaphore(_seats())


def _stopping() -> bool:
    """Whether who stops Dagster has said so: it need not wait for ticks that only wait."""
    home = os.environ.get("DAGSTER_HOME")
    return home is not None and Path(home, STOPPING).exists()


@dataclass(frozen=True, slots=True)
class InstanceRuns:
    """landing.arrival.tick.Runs over a Dagster instance."""

    instance: dg.DagsterInstance

    def how_ended(self, run_key: str) -> "Ended | None":
        """How the run of this key ended; None when there is none, or one that has not."""
        # The last one first.
        records = self.instance.get_run_records(dg.RunsFilter(tags={"dagster/run_key": run_key}))
        if not records or not all(record.dagster_run.is_finished for record in records):
            return None
        if records[0].dagster_run.status == dg.DagsterRunStatus.CANCELED:
            return "cancelled"
        return "began" if records[0].start_time is not None else "never began"

    def has_succeeded(self, run_id: str) -> bool:
        """Whether the run has ended, and well."""
        run = self.instance.get_run_by_id(run_id)
        return run is not None and run.status == dg.DagsterRunStatus.SUCCESS

    def give_up(self, run_id: str) -> "Ended":
        """Report the run failed unless it has ended, for its process is gone; how it ended."""
        ended = report_dead(self.instance, run_id)
        return "cancelled" if ended == dg.DagsterRunStatus.CANCELED else "began"


def landed_sensor(files: LandedFiles) -> dg.SensorDefinition:
    """Asks for one run of the pipeline's job per batch of what arrives.

    A store that tells of new objects is listened to: what it names is looked up at the next tick,
    wherever the scan stands.
    """

    def on_gcs(
        context: dg.SensorEvaluationContext, postgres: PostgresResource, gcs: GcsResource
    ) -> dg.SensorResult:
        return _evaluate(files, context, postgres, gcs, None)

    def on_minio(
        context: dg.SensorEvaluationContext, postgres: PostgresResource, minio: MinioResource
    ) -> dg.SensorResult:
        return _evaluate(files, context, postgres, minio, _minio_listener(files, minio))

    def on_s3(
        context: dg.SensorEvaluationContext, postgres: PostgresResource, s3: S3Resource
    ) -> dg.SensorResult:
        return _evaluate(files, context, postgres, s3, None)

    decorate = dg.sensor(
        name=files.sensor,
        job_name=files.job,
        minimum_interval_seconds=INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Requests one run of `{files.job}` for every batch of what lands: "
        f"{files.description}",
    )
    on_store: dict[StoreKind, Callable[..., dg.SensorResult]]
    on_store = {"gcs": on_gcs, "minio": on_minio, "s3": on_s3}
    return decorate(on_store[files.store])


def _minio_listener(files: LandedFiles, minio: MinioResource) -> Listener:
    places = files.places()

    def subscribe() -> Iterator[str]:
        from landing.stores.minio_events import created_keys

        client = minio.client(read_timeout=SILENCE, retries=0, pace=PACE)
        yield from created_keys(client, places.bucket, places.prefix)

    return LISTENERS.get(f"{minio.endpoint}/{places.bucket}/{places.prefix}", subscribe)


def _evaluate(
    files: LandedFiles,
    context: dg.SensorEvaluationContext,
    postgres: PostgresResource,
    resource: StoreResource,
    listener: Listener | None,
) -> dg.SensorResult:
    places = files.places()
    source = files.source(places.bucket, places.prefix)
    with opened(resource, source.bucket) as store:
        tick = _ticked(source, store, context, postgres, listener)
    context.log.info(tick.message)
    events = None
    if listener:
        events = listener.status
        if events.last_error:
            context.log.warning("events: %s; the scan goes on alone", events.last_error)
    for batch_id in tick.lost:
        context.log.warning("gave up the run of batch=%s", batch_id)
    for warning in tick.warnings:
        context.log.warning(warning)
    for sink, count in tick.lacking.items():
        context.log.warning(
            "%d loaded batches were never in %s: `%s`", count, sink, backfill_command(files)
        )
    known = (
        set(context.instance.get_dynamic_partitions(files.partition_set))
        if files.partition_set and tick.requests
        else set()
    )
    made, refused = run_requests(files, tick.requests)
    if refused:
        with postgres.connect() as connection:
            for request, why in refused:
                context.log.warning("no run can be asked for: batch=%s %s", request.batch_id, why)
                endings.note_refused(
                    connection,
                    request.batch_id,
                    request.attempt,
                    error=f"no run can be asked for: {why}",
                    now=datetime.now(UTC),
                )
    return sensor_result(files, tick, made, known_partitions=known, events=events)


def _ticked(
    source: "Source",
    store: "ObjectStore",
    context: dg.SensorEvaluationContext,
    postgres: PostgresResource,
    listener: Listener | None,
) -> "Tick":
    """A tick; the last of several, where there was nothing to do until something landed."""
    from landing.arrival.tick import evaluate_tick
    from landing.arrival.waiting import (
        LOOK_SECONDS,
        RARE_LOOK_SECONDS,
        UNSETTLED_SECONDS,
        nothing_to_do,
        something_new,
        wait,
    )

    began = time.monotonic()

    def now() -> datetime:
        return datetime.now(UTC)

    def evaluate(cursor: str | None, deadline: float) -> "Tick":
        with postgres.connect(autocommit=True) as connection:
            tick = evaluate_tick(
                source,
                store,
                connection,
                cursor,
                now=now,
                deadline=deadline,
                clock=time.monotonic,
                runs=InstanceRuns(context.instance),
                hints=listener.keys.drain() if listener else (),
            )
        if listener:
            listener.keys.put_back(tick.hinted.unsettled)
        return tick

    tick = evaluate(context.cursor, began + DEADLINE_SECONDS)
    if not _SEATS.acquire(blocking=False):
        return tick
    try:
        while nothing_to_do(tick):
            if tick.hinted.unsettled:  # its key is in the queue again
                if _stopping() or time.monotonic() > began + WAIT_SECONDS:
                    break
                time.sleep(UNSETTLED_SECONDS)
            elif not wait(
                partial(something_new, store, source, tick.scan, now),
                lambda: listener is not None and len(listener.keys) > 0,
                _stopping,
                until=began + WAIT_SECONDS,
                clock=time.monotonic,
                sleep=time.sleep,
                look_seconds=RARE_LOOK_SECONDS if listener and listener.works else LOOK_SECONDS,
            ):
                break
            tick = evaluate(tick.cursor, began + LAST_SECONDS)
    finally:
        _SEATS.release()
    return tick


def run_requests(
    files: LandedFiles, requests: "Sequence[Request]"
) -> "tuple[list[dg.RunRequest], list[tuple[Request, str]]]":
    """Each request in Dagster's words, and those that could not be put so, with the reason."""
    made: list[dg.RunRequest] = []
    refused: list[tuple[Request, str]] = []
    for request in requests:
        try:
            made.append(_run_request(files, request))
        except Exception as error:  # noqa: BLE001 - one bad request must not stop the others
            refused.append((request, f"{type(error).__name__}: {error}"))
    return made, refused


def _run_request(files: LandedFiles, request: "Request") -> dg.RunRequest:
    if unknown := sorted(set(request.sinks) - set(files.sinks)):
        message = f"{files.pipeline} has no sink {', '.join(unknown)}"
        raise ValueError(message)
    return dg.RunRequest(
        run_key=request.run_key,
        partition_key=request.partition_key,
        tags={BATCH_TAG: request.batch_id},
        # Where processes of their own pay for the sinks.
        run_config=multiprocess() if request.large else in_process(),
        asset_selection=asset_selection(files, request),
        asset_check_keys=check_selection(files, request),
    )


def sensor_result(
    files: LandedFiles,
    tick: "Tick",
    requests: Sequence[dg.RunRequest],
    *,
    known_partitions: Collection[str],
    events: "Status | None" = None,
) -> dg.SensorResult:
    """What Dagster is told of a tick, with these of its requests. Pure."""
    requested = dict.fromkeys(request.partition_key or "" for request in requests)
    new = [key for key in requested if key not in known_partitions]
    added = files.partitions if new else None
    return dg.SensorResult(
        run_requests=list(requests),
        skip_reason=None if requests else dg.SkipReason(tick.message),
        cursor=tick.cursor,
        dynamic_partitions_requests=(
            [added.build_add_request(new)]
            if isinstance(added, dg.DynamicPartitionsDefinition)
            else []
        ),
        asset_events=[observation(tick, files.landing_key, events)] if tick.changed else [],
    )


def backfill_command(files: LandedFiles) -> str:
    """What writes every batch to every sink again; the new one among them."""
    return f"dagster job backfill --job {files.job} --all all --noprompt"


def asset_selection(files: LandedFiles, request: "Request") -> list[dg.AssetKey] | None:
    """The assets that are not done; None, which is the whole job, when none is."""
    if request.whole:
        return None
    derived = files.derived if request.complete else ()
    return [files.key(name) for name in (*_undone(files, request), *derived)]


def check_selection(files: LandedFiles, request: "Request") -> list[dg.AssetCheckKey] | None:
    """The batch's own checks of the selected assets; None, which is the job's, for the whole job.

    Left to itself Dagster adds every check of a selected asset, those of other jobs included.
    """
    return None if request.whole else files.check_keys(_undone(files, request))


def _undone(files: LandedFiles, request: "Request") -> list[str]:
    return [*([files.validation] if request.validate else []), *request.sinks]


def observation(
    tick: "Tick", landing_asset: dg.AssetKey, events: "Status | None" = None
) -> dg.AssetObservation:
    """The ledger's counts on the bucket's asset, as numbers that the UI plots."""
    backlog, scan = tick.backlog, tick.scan
    oldest = backlog.oldest_seen_at
    age = (datetime.now(UTC) - oldest).total_seconds() if oldest else 0.0
    metadata: dict[str, Any] = {
        "new_objects": scan.new + tick.hinted.new,
        "unassigned_objects": backlog.unassigned,
        "oldest_unprocessed_seconds": max(round(age, 1), 0.0),
        "batches_waiting": backlog.waiting,
        "batches_in_flight": backlog.in_flight,
        "batches_to_retry": backlog.failed,
        "batches_for_operator": backlog.stopped,
        "batches_for_others": backlog.elsewhere,
        "scan_cycle": scan.position.cycle,
    }
    if scan.position.last_cycle_seconds is not None:
        metadata["scan_cycle_seconds"] = scan.position.last_cycle_seconds
    if tick.lacking:
        metadata["loaded_batches_without_new_sinks"] = sum(tick.lacking.values())
    if events is not None:
        metadata["new_objects_by_event"] = tick.hinted.new
        metadata["events_received"] = events.received
        metadata["events_dropped"] = events.dropped
        metadata["events_failures"] = events.failures
    if oldest:
        metadata["oldest_unprocessed_at"] = dg.MetadataValue.timestamp(oldest)
    return dg.AssetObservation(asset_key=landing_asset, metadata=metadata)
