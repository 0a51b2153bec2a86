"""What loading reading history costs next to the two bare jobs that load and merge the same rows.

On the same servers, in the same run: a CSV file lies on GCS. The peer, which looks at no row, loads
it from there into a table without partitions and merges that into an empty one with the pipeline's
columns and partitions, each event once: two jobs, which is what it takes to deliver a file twice
and have its rows once. The load job alone is timed beside it. Then the pipeline takes the file: its
assets validate every row, stage, load, merge and verify; Dagster's steps are in the time, the start
of a process is not. A second delivery of the same rows, which must add nothing, is timed for both.
CPU-seconds are those of this process and of all servers: what they tell is the same on a busy
machine, where seconds are the neighbours' too.
Every repetition has a database, buckets and a dataset of its own. Run:

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
import psutil
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
GOAL = 0.5
_COLUMNS = ", ".join(column.name for column in EVENT)
#: What a loader that knows its trade would send: no event has its days named.
_MERGE = f"""
MERGE `{{target}}` AS t
USING (SELECT DISTINCT {_COLUMNS} FROM `{{staging}}`) AS s
ON {" AND ".join(f"t.{column.name} = s.{column.name}" for column in EVENT)}
WHEN NOT MATCHED THEN INSERT ({_COLUMNS}) VALUES ({_COLUMNS})
"""


@dataclass(frozen=True)
class Repetition:
    """Seconds, the second ones of a further delivery of the same rows.

    ``cpu`` are the CPU-seconds of the first delivery, of the peer and of the pipeline. ``merged``
    is until the rows can be queried, ``loaded`` until they were verified. ``steps`` are from the
    start of the run to the end of each step.
    """

    load_job: float
    peer: tuple[float, float]
    merged: float
    loaded: tuple[float, float]
    steps: dict[str, float]
    cpu: tuple[float, float]


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


def spent(stack: Stack) -> float:
    """CPU-seconds of this process and of the servers, those of their children that ended, too."""
    servers = [psutil.Process(one.pid) for one in stack.status() if one.pid]
    processes = [child for one in servers for child in one.children(recursive=True)]
    total = 0.0
    for process in [psutil.Process(), *servers, *processes]:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


class Peer:
    """Two tables, and the two bare jobs."""

    def __init__(self, world: HistoryWorld, csv: Path) -> None:
        self._client, fields = world.warehouse.client, schema_fields(EVENT)
        self._staging, self._target = (world.warehouse.table(f"bare_{n}") for n in ("in", "out"))
        target = Table(self._target, schema=fields)
        target.time_partitioning = TimePartitioning(field="updated_at")
        target.clustering_fields = ["user_id"]
        self._client.create_table(target)
        self._client.create_table(Table(self._staging, schema=fields))
        self._config = LoadJobConfig(
            schema=fields,
            source_format=SourceFormat.CSV,
            skip_leading_rows=1,
            write_disposition=WriteDisposition.WRITE_TRUNCATE,
        )
        world.store.put(f"bare/{csv.name}", csv.read_bytes())
        self._uri = f"gs://{world.settings.bucket}/bare/{csv.name}"

    def load(self) -> float:
        """Seconds of the load job."""
        started = time.monotonic()
        job = self._client.load_table_from_uri(self._uri, self._staging, job_config=self._config)
        job.result(timeout=600)
        return time.monotonic() - started

    def deliver(self) -> float:
        """Seconds of both jobs."""
        loaded, started = self.load(), time.monotonic()
        run(self._client, _MERGE.format(target=self._target, staging=self._staging))
        return loaded + time.monotonic() - started


def land(world: HistoryWorld, csv: Path, key: str) -> str:
    """Land the file; its batch."""
    world.store.put(world.settings.prefix + key, csv.read_bytes())
    return world.tick()


def load(world: HistoryWorld, batch: str) -> tuple[float, dict[str, float], float]:
    """Run a batch; seconds, those of the steps, and until it was merged."""
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


def repeat(stack: Stack, csv: Path, rows: int, *, peer_first: bool) -> Repetition:
    """One repetition."""
    with environment(stack) as world:

        def bare() -> tuple[float, float, float, float]:
            peer = Peer(world, csv)
            alone, before = peer.load(), spent(stack)
            first = peer.deliver()
            return alone, first, spent(stack) - before, peer.deliver()

        times = bare() if peer_first else None
        batch, before = land(world, csv, "events.csv"), spent(stack)
        loaded, steps, merged = load(world, batch)
        cpu = spent(stack) - before
        again, _, _ = load(world, land(world, csv, "again.csv"))
        alone, first, peer_cpu, second = times or bare()
        for name in ("user_interaction", "bare_out"):
            table = world.warehouse.table(name)
            ((count,),) = run(world.warehouse.client, f"SELECT COUNT(*) AS n FROM `{table}`")
            if count != rows:
                raise RuntimeError(f"{count} rows in {table}, not {rows}")
    return Repetition(alone, (first, second), merged, (loaded, again), steps, (peer_cpu, cpu))


def report(rows: int, size: int, repetitions: Sequence[Repetition]) -> None:
    """The figures of all repetitions, medians of ratios last."""
    print(f"\n{rows:,} rows, {size / 1e6:.0f} MB of CSV; {os.cpu_count()} cores, "
          f"{datetime.now(UTC):%Y-%m-%d}")  # fmt: skip
    for number, one in enumerate(repetitions, start=1):
        print(f"\nrepetition {number}")
        for what, seconds in (
            ("load job alone", one.load_job),
            ("load job and MERGE", one.peer[0]),
            ("load job and MERGE, again", one.peer[1]),
            ("pipeline until merged", one.merged),
            ("pipeline until verified", one.loaded[0]),
            ("pipeline, the same rows again", one.loaded[1]),
        ):
            print(f"  {what:<38} {seconds:7.2f} s {rows / seconds:12,.0f} rows/s")
        for step, end in sorted(one.steps.items(), key=lambda item: item[1]):
            print(f"    {step:<36} ended at {end:6.2f} s")
        for what, seconds in zip(("load job and MERGE", "pipeline"), one.cpu, strict=True):
            print(f"  {what + ', CPU':<38} {seconds:7.2f} s")
    print("\nrows/s of the pipeline over load job and MERGE (median)")
    for what, goal, ratios in (
        ("until merged", "", [one.peer[0] / one.merged for one in repetitions]),
        ("until verified", f"goal ≥ {GOAL}x; ",
         [one.peer[0] / one.loaded[0] for one in repetitions]),
        ("the same rows again", "", [one.peer[1] / one.loaded[1] for one in repetitions]),
        ("by CPU-seconds", "", [one.cpu[0] / one.cpu[1] for one in repetitions]),
    ):  # fmt: skip
        each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        print(f"  {what:<38} {statistics.median(ratios):6.2f}x  ({goal}each: {each})")


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
            repeat(stack, csv, events, peer_first=number % 2 == 0)
            for number in range(arguments.repetitions)
        ]
        report(arguments.rows, csv.stat().st_size, repetitions)
    finally:
        if arguments.stack is None:
            stack.reset()
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
