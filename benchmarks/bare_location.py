"""A code location of quintet's size that does nothing: what Dagster takes to load so much.

Belongs here: writing it as one module, with quintet's assets, dependencies, checks, jobs, sensors,
schedules and resources, in the shortest words that Dagster has for each. Does not: measuring
(``loading.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import dagster as dg

_HEAD = (
    "import dagster as dg\nfrom dagster import AssetCheckKey, AssetCheckSpec, AssetKey, EnvVar\n"
)
_FUNCTION = "def NAME(context):\n    pass\n"


def source(defs: dg.Definitions) -> str:
    """The module; its ``defs`` is the location."""
    repository: Any = defs.get_repository_def()
    graph = repository.asset_graph
    resources = {
        name: list(type(one).model_fields)
        for name, one in (defs.resources or {}).items()
        if isinstance(one, dg.ConfigurableResource)
    }
    made: dict[str, list[str]] = {"assets": [], "asset_checks": []}
    for number, one in enumerate(graph.assets_defs):
        kind = "assets" if one.keys else "asset_checks"
        made[kind] += _definitions(f"made_{number}", one, resources)
    parts = {
        **made,
        "jobs": [_job(one) for one in repository.get_all_jobs() if one.name != "__ASSET_JOB"],
        "sensors": [_sensor(one, graph) for one in repository.sensor_defs],
        "schedules": [_schedule(one) for one in repository.schedule_defs],
    }
    return "\n".join(_module(resources, parts))


def _module(
    resources: Mapping[str, Iterable[str]], parts: Mapping[str, Iterable[str]]
) -> Iterator[str]:
    yield _HEAD
    for name, fields in resources.items():
        yield f"class Resource_{name}(dg.ConfigurableResource):"
        yield from (f"    {field}: str = ''" for field in fields)
    names: dict[str, list[str]] = {kind: [] for kind in parts}
    for kind, texts in parts.items():
        for number, text in enumerate(texts):
            name = f"{kind}_{number}"
            names[kind].append(name)
            yield text.replace("NAME", name) if "NAME" in text else f"{name} = {text}"
    yield "defs = dg.Definitions("
    yield from (f"    {kind}=[{', '.join(made)}]," for kind, made in names.items())
    yield "    resources={"
    for name, fields in resources.items():
        told = ", ".join(f"{field}=EnvVar('{name}_{field}')" for field in fields)
        yield f"        {name!r}: Resource_{name}({told}),"
    yield "    },\n)"


def _definitions(name: str, one: Any, resources: Mapping[str, Any]) -> list[str]:
    """What makes assets, checks, or both; assets that nothing makes."""
    needs = sorted(one.required_resource_keys & resources.keys())
    more = f"name={name!r}, required_resource_keys=set({needs!r})"
    checks = ", ".join(
        f"AssetCheckSpec({spec.name!r}, asset={spec.asset_key!r})" for spec in one.check_specs
    )
    if not one.keys:
        return [f"@dg.multi_asset_check(specs=[{checks}], {more})\n{_FUNCTION}"]
    assets = [
        f"dg.AssetSpec({spec.key!r}, deps={[dep.asset_key for dep in spec.deps]!r})"
        for spec in one.specs
    ]
    if not one.is_executable:
        return assets
    specs = ", ".join(assets)
    return [f"@dg.multi_asset(specs=[{specs}], check_specs=[{checks}], {more})\n{_FUNCTION}"]


def _job(job: Any) -> str:
    layer = job.asset_layer
    assets, checks = sorted(layer.selected_asset_keys), sorted(layer.asset_graph.asset_check_keys)
    chosen = [f"dg.AssetSelection.assets(*{assets!r}).without_checks()"] if assets else []
    chosen += [f"dg.AssetSelection.checks(*{checks!r})"] if checks else []
    if chosen:
        return f"dg.define_asset_job({job.name!r}, selection={' | '.join(chosen)})\n"
    ops = [f"op_{job.name}_{number}" for number, _ in enumerate(job.graph.node_defs)]
    made = "".join(f"@dg.op\ndef {op}():\n    pass\n" for op in ops)
    calls = "".join(f"    {op}()\n" for op in ops)
    return f"{made}@dg.job(name={job.name!r})\ndef NAME():\n{calls}"


def _sensor(sensor: dg.SensorDefinition, graph: Any) -> str:
    if isinstance(sensor, dg.AutomationConditionSensorDefinition):
        keys = sorted(sensor.asset_selection.resolve(graph))
        return f"dg.AutomationConditionSensorDefinition({sensor.name!r}, target={keys!r})\n"
    return f"@dg.sensor(name={sensor.name!r}, job_name='maintenance')\n{_FUNCTION}"


def _schedule(schedule: Any) -> str:
    return (
        f"dg.ScheduleDefinition(name={schedule.name!r}, job_name={schedule.job_name!r}, "
        "cron_schedule='0 0 * * *')\n"
    )
