"""The sensor of a landing bucket: a thin shell around landing.arrival.tick, for all sources.

Belongs here: Dagster's words for a tick. Does not: any decision, or which sources there are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from landing.arrival.scan import DEADLINE_SECONDS

if TYPE_CHECKING:
    from landing.arrival.events import Listener, Status
    from landing.arrival.source import Source
    from landing.arrival.tick import Request, Tick
    from landing.stores.base import ObjectStore

#: Seconds that have to pass between two evaluations. The daemon looks every 5: with exactly 5 here
#: every other look comes some milliseconds too early, and what landed waits for the next.
INTERVAL_SECONDS = 4

#: Tags that a run carries, next to Dagster's own partition and run key.
BATCH_TAG = "quintet/batch"
ATTEMPT_TAG = "quintet/attempt"
SOURCE_TAG = "quintet/source"


@dataclass(frozen=True, slots=True)
class InstanceRuns:
    """landing.arrival.tick.Runs over a Dagster instance."""

    instance: dg.DagsterInstance

    def is_alive(self, run_id: str) -> bool:
        """Whether the run exists and has not finished."""
        run = self.instance.get_run_by_id(run_id)
        return run is not None and not run.is_finished

    def has_ended(self, run_key: str) -> bool:
        """Whether there are runs of this key and all have finished."""
        runs = self.instance.get_runs(dg.RunsFilter(tags={"dagster/run_key": run_key}))
        return bool(runs) and all(run.is_finished for run in runs)


def landing_sensor(
    *,
    name: str,
    job: Any,
    source: Callable[[Any], Source],
    store: Callable[[Any], ObjectStore],
    partitions_def: dg.DynamicPartitionsDefinition,
    landing_asset: dg.AssetKey,
    required_resource_keys: set[str],
    postgres_key: str = "postgres",
    validation: str = "events",
    derived: Sequence[str] = (),
    checks: Mapping[str, Sequence[str]],
    small_run: Mapping[str, Any],
    large_run: Mapping[str, Any],
    listener: Callable[[Any], Listener] | None = None,
    description: str | None = None,
) -> dg.SensorDefinition:
    """A sensor that asks for one run of ``job`` per batch of what arrives in ``source``.

    ``source`` and ``store`` are called with the sensor's resources at each tick, so that nothing
    is read from the environment or the network before. ``validation`` and the source's sinks name
    assets ``[pipeline, name]``; a retry selects those that are not done, and ``derived`` ones with
    them, and of ``checks`` (names by asset) those of the selected assets.
    ``landing_asset`` is the external asset on which the backlog is observed.
    ``small_run`` and ``large_run`` are the run configs of batches below and above the source's
    ``large_bytes``, where processes of their own pay for the sinks.
    ``listener`` gathers the keys of the store's events, if it has any: what they name is looked up
    at the next tick, wherever the scan stands.
    """

    @dg.sensor(
        name=name,
        job=job,
        minimum_interval_seconds=INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        required_resource_keys=required_resource_keys | {postgres_key},
        description=description,
    )
    def evaluate(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        from landing.arrival.tick import evaluate_tick

        deadline = time.monotonic() + DEADLINE_SECONDS
        declared = source(context.resources)
        listening = listener(context.resources) if listener else None
        hints = listening.keys.drain() if listening else ()
        with getattr(context.resources, postgres_key).connect(autocommit=True) as connection:
            tick = evaluate_tick(
                declared,
                store(context.resources),
                connection,
                context.cursor,
                now=lambda: datetime.now(UTC),
                deadline=deadline,
                clock=time.monotonic,
                runs=InstanceRuns(context.instance),
                hints=hints,
            )
        context.log.info(tick.message)
        events = None
        if listening:
            listening.keys.put_back(tick.hinted.unsettled)
            events = listening.status
            if events.last_error:
                context.log.warning("events: %s; the scan goes on alone", events.last_error)
        for batch_id in tick.lost:
            context.log.warning("gave up the run of batch=%s, it will be tried again", batch_id)
        return sensor_result(
            tick,
            declared,
            partitions_def=partitions_def,
            new_partitions=[
                request.batch_id
                for request in tick.requests
                if not context.instance.has_dynamic_partition(
                    partitions_def.name or "", request.batch_id
                )
            ],
            landing_asset=landing_asset,
            validation=validation,
            derived=derived,
            checks=checks,
            small_run=small_run,
            large_run=large_run,
            events=events,
        )

    return evaluate


def sensor_result(
    tick: Tick,
    source: Source,
    *,
    partitions_def: dg.DynamicPartitionsDefinition,
    new_partitions: Sequence[str],
    landing_asset: dg.AssetKey,
    validation: str,
    derived: Sequence[str],
    checks: Mapping[str, Sequence[str]],
    small_run: Mapping[str, Any],
    large_run: Mapping[str, Any],
    events: Status | None = None,
) -> dg.SensorResult:
    """What Dagster is told of a tick. Pure."""
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(
                run_key=request.run_key,
                partition_key=request.batch_id,
                tags={
                    BATCH_TAG: request.batch_id,
                    ATTEMPT_TAG: str(request.attempt),
                    SOURCE_TAG: source.name,
                },
                run_config=large_run if request.large else small_run,
                asset_selection=asset_selection(request, validation, derived),
                asset_check_keys=check_selection(request, validation, checks),
            )
            for request in tick.requests
        ],
        skip_reason=None if tick.requests else dg.SkipReason(tick.message),
        cursor=tick.cursor,
        dynamic_partitions_requests=(
            [partitions_def.build_add_request(list(new_partitions))] if new_partitions else []
        ),
        asset_events=[observation(tick, landing_asset, events)] if tick.changed else [],
    )


def asset_selection(
    request: Request, validation: str, derived: Sequence[str]
) -> list[dg.AssetKey] | None:
    """The assets that are not done; None, which is the whole job, when none is."""
    if request.whole:
        return None
    names = [*([validation] if request.validate else []), *request.sinks, *derived]
    return [dg.AssetKey([request.pipeline, name]) for name in names]


def check_selection(
    request: Request, validation: str, checks: Mapping[str, Sequence[str]]
) -> list[dg.AssetCheckKey] | None:
    """The batch's own checks of the selected assets; None, which is the job's, for the whole job.

    Left to itself Dagster adds every check of a selected asset, those of other jobs included.
    """
    if request.whole:
        return None
    names = [*([validation] if request.validate else []), *request.sinks]
    return [
        dg.AssetCheckKey(dg.AssetKey([request.pipeline, name]), check)
        for name in names
        for check in checks.get(name, ())
    ]


def observation(
    tick: Tick, landing_asset: dg.AssetKey, events: Status | None = None
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
        "scan_cycle": scan.position.cycle,
    }
    if scan.position.last_cycle_seconds is not None:
        metadata["scan_cycle_seconds"] = scan.position.last_cycle_seconds
    if events is not None:
        metadata["new_objects_by_event"] = tick.hinted.new
        metadata["events_received"] = events.received
        metadata["events_dropped"] = events.dropped
        metadata["events_failures"] = events.failures
    if oldest:
        metadata["oldest_unprocessed_at"] = dg.MetadataValue.timestamp(oldest)
    return dg.AssetObservation(asset_key=landing_asset, metadata=metadata)
