"""What loading reading history costs on top of the bare load job of the same rows.

On the same servers, in the same run: a CSV file lies on GCS, and two bare jobs load it into an
empty table with the same columns and partitions: one from there, one as an upload of the file.
Then the pipeline takes it: its assets validate every row, stage, load and merge them, and read all
of them back; Dagster's steps are in the time, the start of a process is not. A second delivery of
the same rows, which must add nothing, is timed, too. Every repetition has a database, buckets and a
dataset of its own. Run:

    python -m benchmarks.reading_history [--rows 1000000 --repetitions 3] [--stack DIRECTORY]

Without ``--stack`` the servers are started in a temporary directory and stopped at the end. With
``QUINTET_DATA_DIR`` the rows are those of ``reading/user_interaction_calibrated.csv.gz`` there.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
from google.cloud.bigquery import (
    LoadJobConfig,
    SourceFormat,
    Table,
    TimePartitioning,
    WriteDisposition,
)

from assets.reading.tables import EVENT
from assets.sinks.bigquery import schema_fields
from local.stack import Stack
from resources.bigquery import run
from samples.reading import write_events as write_sample
from tests.integration.reading.history_world import HistoryWorld
from tests.servers import isolated_environment, start

SERVICES = ["postgres", "gcs", "bigquery"]
GOAL = 0.7


@dataclass(frozen=True)
class Repetition:
    """Seconds. ``merged`` is until the rows can be queried, ``loaded`` until all were read back.

    ``steps`` are from the start of the run to the end of each step.
    """

    bare: float
    uploaded: float
    merged: float
    loaded: float
    again: float
    steps: dict[str, float]


@contextlib.contextmanager
def environment(stack: Stack) -> Iterator[HistoryWorld]:
    """Fresh databases, buckets and a dataset."""
    home = Path(tempfile.mkdtemp(prefix="quintet-benchmark-"))
    try:
        with isolated_environment(stack, SERVICES, home) as variables:
            os.environ.update(variables)
            with dg.DagsterInstance.ephemeral() as instance:
                world = HistoryWorld(instance, variables)
                world.warehouse.ensure()
                yield world
    finally:
        shutil.rmtree(home, ignore_errors=True)


def bare(world: HistoryWorld, csv: Path, name: str, *, upload: bool) -> float:
    """Seconds of one load job into a table of its own."""
    client, table_id = world.warehouse.client, world.warehouse.table(name)
    fields = schema_fields(EVENT)
    table = Table(table_id, schema=fields)
    table.time_partitioning = TimePartitioning(field="updated_at")
    table.clustering_fields = ["user_id"]
    client.create_table(table)
    config = LoadJobConfig(
        schema=fields,
        source_format=SourceFormat.CSV,
        skip_leading_rows=1,
        write_disposition=WriteDisposition.WRITE_APPEND,
    )
    world.store.put(f"bare/{csv.name}", csv.read_bytes())
    uri = f"gs://{world.settings.bucket}/bare/{csv.name}"
    started = time.monotonic()
    if upload:
        with csv.open("rb") as file:
            client.load_table_from_file(file, table_id, job_config=config).result(timeout=600)
    else:
        client.load_table_from_uri(uri, table_id, job_config=config).result(timeout=600)
    return time.monotonic() - started


def load(world: HistoryWorld, csv: Path, key: str) -> tuple[float, dict[str, float], float]:
    """Land the file and run its batch; seconds, those of the steps, and until it was merged."""
    world.store.put(world.settings.prefix + key, csv.read_bytes())
    batch = world.tick()
    began, started = time.time(), time.monotonic()
    result = world.load(batch)
    seconds = time.monotonic() - started
    if not result.success:
        raise RuntimeError(f"run {result.run_id} failed")
    stats = world.instance.get_run_step_stats(result.run_id)
    steps = {one.step_key: (one.start_time, one.end_time) for one in stats}
    begun = steps["reading__interaction_history"][0]
    (event,) = result.asset_materializations_for_node("reading__interaction_history")[-1:]
    merged = event.metadata["merged_seconds"].value
    if begun is None or not isinstance(merged, float):
        raise TypeError("the step says nothing of its merge")
    ends = {key: end - began for key, (_, end) in steps.items() if end}
    return seconds, ends, begun - began + merged


def repeat(stack: Stack, csv: Path, rows: int, *, bare_first: bool) -> Repetition:
    """One repetition."""
    with environment(stack) as world:
        jobs: dict[bool, float] = {}

        def both() -> None:
            jobs.update({way: bare(world, csv, f"bare_{way}", upload=way) for way in (False, True)})

        if bare_first:
            both()
        loaded, steps, merged = load(world, csv, "events.csv")
        again, _, _ = load(world, csv, "again.csv")
        if not bare_first:
            both()
        counted = "SELECT COUNT(*) AS n FROM `{user_interaction}`"
        ((count,),) = run(world.warehouse.client, world.warehouse.sql(counted))
        if count != rows:
            raise RuntimeError(f"{count} rows in the table, not {rows}")
    return Repetition(jobs[False], jobs[True], merged, loaded, again, steps)


def report(rows: int, size: int, repetitions: Sequence[Repetition]) -> None:
    """The figures of all repetitions, medians of ratios last."""
    print(f"\n{rows:,} rows, {size / 1e6:.0f} MB of CSV; {os.cpu_count()} cores, "
          f"{datetime.now(UTC):%Y-%m-%d}")  # fmt: skip
    for number, one in enumerate(repetitions, start=1):
        print(f"\nrepetition {number}")
        for what, seconds in (
            ("bare load job from GCS", one.bare),
            ("bare load job of an upload", one.uploaded),
            ("pipeline until merged", one.merged),
            ("pipeline until read back and loaded", one.loaded),
            ("the same rows again", one.again),
        ):
            print(f"  {what:<38} {seconds:7.2f} s {rows / seconds:12,.0f} rows/s")
        for step, end in sorted(one.steps.items(), key=lambda item: item[1]):
            print(f"    {step:<36} ended at {end:6.2f} s")
    print("\nrows/s of the pipeline over a bare load job (median)")
    for what, ratios in (
        ("from GCS, until merged", [one.bare / one.merged for one in repetitions]),
        ("from GCS, until read back and loaded", [one.bare / one.loaded for one in repetitions]),
        ("upload, until merged", [one.uploaded / one.merged for one in repetitions]),
        ("upload, until read back and loaded", [one.uploaded / one.loaded for one in repetitions]),
    ):
        each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        print(f"  {what:<38} {statistics.median(ratios):6.2f}x  (goal ≥ {GOAL}x; each: {each})")


def sample(folder: Path, rows: int) -> tuple[Path, int]:
    """The file, and how many different events it has."""
    csv = folder / "events.csv"
    if data := os.environ.get("QUINTET_DATA_DIR"):
        real = Path(data) / "reading" / "user_interaction_calibrated.csv.gz"
        with gzip.open(real, "rb") as source, csv.open("wb") as file:
            for _, line in zip(range(rows + 1), source, strict=False):
                file.write(line)
    else:
        write_sample(csv, rows, seed=1)
    with csv.open("rb") as file:
        next(file)
        return csv, len({line.rstrip(b"\n") for line in file})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--stack", type=Path, help="a state directory; left running")
    arguments = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="quintet-benchmark-"))
    scratch.chmod(0o755)  # Postgres may run as another user
    stack = Stack(arguments.stack or scratch / "stack")
    try:
        start(stack, SERVICES)
        csv, events = sample(scratch, arguments.rows)
        repetitions = [
            repeat(stack, csv, events, bare_first=number % 2 == 0)
            for number in range(arguments.repetitions)
        ]
        report(arguments.rows, csv.stat().st_size, repetitions)
    finally:
        if arguments.stack is None:
            stack.reset()
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
