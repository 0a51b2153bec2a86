"""What the sensor of `docs/a-sixth-pipeline.md` asks for, run: started by test_a_sixth_pipeline.

Belongs here: a tick through the code location's own sensor, its runs. Does not: any expectation.
Prints one line of JSON.
"""

from __future__ import annotations

import json
from typing import Any

import dagster as dg

from definitions import build_defs


def main() -> None:
    definitions = build_defs(pipelines=["orders"])
    repository = definitions.get_repository_def()
    sensor = repository.get_sensor_def("orders_minio_sensor")
    resources = repository.get_top_level_resources()
    said: dict[str, Any] = {
        "sensors": sorted(one.name for one in repository.sensor_defs),
        "jobs": sorted(job.name for job in repository.get_all_jobs()),
        "checks": sorted(key.name for key in repository.asset_graph.asset_check_keys),
        "runs": [],
    }
    with dg.DagsterInstance.get() as instance:
        with dg.SensorEvaluationContext(
            instance_ref=instance.get_ref(),
            last_tick_completion_time=None,
            last_run_key=None,
            cursor=None,
            repository_name=repository.name,
            repository_def=repository,
            sensor_name=sensor.name,
            resources={name: resources[name] for name in sensor.required_resource_keys},
        ) as context:
            tick = sensor.evaluate_tick(context)
        for adding in tick.dynamic_partitions_requests or []:
            instance.add_dynamic_partitions(adding.partitions_def_name, adding.partition_keys)
        for request in tick.run_requests or []:
            result = definitions.resolve_job_def("orders").execute_in_process(
                instance=instance,
                partition_key=request.partition_key,
                tags=request.tags,
                raise_on_error=False,
            )
            said["runs"].append(
                {
                    "batch": request.partition_key,
                    "success": result.success,
                    "checks": {
                        found.check_name: found.passed
                        for found in result.get_asset_check_evaluations()
                    },
                }
            )
    print(json.dumps(said))


if __name__ == "__main__":
    main()
