"""The code location: wires assets, checks, jobs, sensors and resources together.

Belongs here: wiring, and nothing else. Does not: any behaviour; it is the only module that knows
all the others.
"""

from __future__ import annotations

import functools
import gc
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

# Dagster's own modules stay for good: the collector need not walk them while ours are loaded (that
# is a third of the time), nor write to their pages in forked steps.
gc.freeze()

from assets.frame.apart import require_apart
from assets.frame.checks import audits
from assets.frame.code_references import with_code_references
from assets.frame.declared import Pipeline
from assets.pipelines import apply_defaults, chosen_pipelines, declaration
from jobs.batches import audit_schedule, batch_job
from jobs.executor import guarded_executor
from jobs.maintenance import maintenance_job, maintenance_schedule
from resources.configured import build_resources
from sensors.alerts import alert_delivery, run_alerts
from sensors.image_tasks import image_task_endings
from sensors.landed import landed_sensor
from sensors.outcomes import batch_run_canceled, batch_run_failed
from sensors.reaper import dead_run_reaper
from sensors.session import reading_session_sensor
from sensors.silence import schedule_watch, sensor_watch
from sensors.summary_batches import summary_batch_sensor
from sensors.trouble import trouble_alerts

#: Sensors that do not follow from a declaration, by pipeline.
OTHER_SENSORS: Mapping[str, Sequence[dg.SensorDefinition]] = {
    "reading": [reading_session_sensor],
    "domains": [summary_batch_sensor],
    "images": [image_task_endings],
}


def pipeline_defs(pipeline: Pipeline) -> dg.Definitions:
    """What a pipeline declares, and what follows from it."""
    own = pipeline.definitions()
    checks = audits(pipeline, own)
    return dg.Definitions(
        assets=[
            *with_code_references(own.assets or ()),
            *(files.landing_spec() for files in pipeline.landed),
        ],
        asset_checks=checks,
        jobs=[*(own.jobs or ()), *(batch_job(files) for files in pipeline.landed)],
        schedules=[*(own.schedules or ()), audit_schedule(pipeline, checks)],
        sensors=[
            *(own.sensors or ()),
            *(landed_sensor(files) for files in pipeline.landed),
            *OTHER_SENSORS.get(pipeline.name, ()),
        ],
    )


def build_defs(
    *,
    pipelines: Sequence[str] | None = None,
    resource_overrides: Mapping[str, Any] | None = None,
) -> dg.Definitions:
    """The code location with these pipelines, or those that QUINTET_PIPELINES names.

    Tests and commands replace resources by name. Raises assets.pipelines.UnknownPipelineError, and
    assets.frame.apart.OverlappingSourcesError when one object could belong to two sources.
    """
    apply_defaults()
    chosen = [declaration(name) for name in (pipelines or chosen_pipelines())]
    landed = [files for pipeline in chosen for files in pipeline.landed]
    require_apart(landed)
    settings = {one.name: one.settings.from_variables() for one in chosen}
    shared = dg.Definitions(
        jobs=[maintenance_job(landed)],
        schedules=[maintenance_schedule, sensor_watch],
        sensors=[
            batch_run_failed,
            batch_run_canceled,
            dead_run_reaper,
            schedule_watch,
            *run_alerts([one.name for one in chosen]),
            trouble_alerts(chosen),
            alert_delivery,
        ],
        resources={**build_resources(), **settings, **(resource_overrides or {})},
        executor=guarded_executor,
    )
    return dg.Definitions.merge(shared, *map(pipeline_defs, chosen))


@functools.cache
def code_location() -> dg.Definitions:
    """The code location, built once in a process: the run server's forks find it there."""
    return build_defs()


@dg.definitions
def defs() -> dg.Definitions:
    """What Dagster loads."""
    return code_location()
