"""What the campaigns pipeline costs on top of its clients.

On the same servers, in the same run: the whole pipeline for one large file, four bare client
loaders side by side that write the same rows, vectors and edges in the same batch sizes, the same
content delivered again under another key, and one user's recommendation against the calls it is
made of. A small course goes before, so that all servers are warm. Every repetition has databases,
buckets, collections and a dataset of its own. Run:

    python -m benchmarks.campaigns [--rows 200000 --repetitions 3] [--stack DIRECTORY]

Without ``--stack`` the servers are started in a temporary directory and stopped at the end.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.answers import answers
from benchmarks.bare_loaders import floor, prepare_floor
from local.stack import Stack
from samples.campaigns import Shape
from samples.campaigns import write as write_sample
from tests.servers import isolated_environment, start

ROOT = Path(__file__).parents[1]
SERVICES = ["postgres", "gcs", "bigquery", "mongo", "bolt", "milvus", "openai"]

GOAL_THROUGHPUT, GOAL_UNCHANGED, GOAL_ANSWER = 0.85, 20.0, 1.2
#: Rows of a course before the first that counts: servers on a Java machine are slow until then.
WARM_UP_ROWS = 20_000


@dataclass
class Run:
    """One run of the job. Seconds; ``steps`` from their start to their end."""

    from_launch: float
    from_start: float
    rows: dict[str, int]
    sinks: dict[str, float]
    steps: dict[str, tuple[float, float]]


@dataclass
class Repetition:
    """What one repetition measured, in seconds."""

    first: Run
    again: Run
    floor: dict[str, float]
    answer: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    bare_given_vector: list[float] = field(default_factory=list)

    @property
    def floor_seconds(self) -> float:
        """Until the slowest loader is done."""
        return max(self.floor.values())


# -- the pipeline ------------------------------------------------------------------------------


def land(path: Path, key: str) -> dict[str, Any]:
    """Put the file and take one tick of the sensor's core; what the run is to be told."""
    import dagster as dg

    from assets.campaigns.pipeline import CAMPAIGNS
    from assets.frame.execution import in_process, multiprocess
    from landing.arrival.tick import evaluate_tick
    from landing.stores.gcs import GcsStore
    from resources.gcs import GcsResource
    from resources.postgres import PostgresResource
    from sensors.landed import InstanceRuns

    env = os.environ
    client = GcsResource(project=env["GOOGLE_CLOUD_PROJECT"]).client()
    bucket = client.bucket(env["CAMPAIGNS_BUCKET"])
    bucket.blob(env["CAMPAIGNS_PREFIX"] + key).upload_from_filename(str(path))
    source = CAMPAIGNS.source(bucket.name, env["CAMPAIGNS_PREFIX"])
    with (
        dg.DagsterInstance.get() as instance,
        PostgresResource(url=env["POSTGRES_URL"]).connect(autocommit=True) as connection,
    ):
        tick = evaluate_tick(
            source,
            GcsStore(client, bucket.name),
            connection,
            None,
            now=lambda: datetime.now(UTC),
            deadline=time.monotonic() + 30,
            clock=time.monotonic,
            runs=InstanceRuns(instance),
        )
        (request,) = tick.requests
        instance.add_dynamic_partitions(CAMPAIGNS.partition_set or "", [request.batch_id])
    client.close()
    return {
        "batch": request.batch_id,
        "large": request.large,
        "run_config": multiprocess() if request.large else in_process(),
    }


def run_batch(request: Mapping[str, Any]) -> None:
    """In a process of its own: the job, without the recommendations, as a run worker runs it."""
    import dagster as dg
    from dagster._core.definitions.reconstruct import ReconstructableRepository

    from assets.campaigns.pipeline import CAMPAIGNS

    repository = ReconstructableRepository.for_module("definitions", "defs", str(ROOT))
    names = (CAMPAIGNS.validation, *CAMPAIGNS.sinks)
    job = repository.get_reconstructable_job(CAMPAIGNS.job).get_subset(
        asset_selection=frozenset(map(CAMPAIGNS.key, names)),
        # Named, for a selection of assets would bring the hourly audits with it.
        asset_check_selection=frozenset(CAMPAIGNS.check_keys(names)),
    )
    with dg.DagsterInstance.get() as instance:
        result = dg.execute_job(
            job,
            instance=instance,
            run_config=request["run_config"],
            tags={"dagster/partition": request["batch"]},
        )
    print(json.dumps({"run_id": result.run_id, "success": result.success}))


def pipeline(path: Path, key: str, log: Path) -> Run:
    """Land the file and run its batch; the whole time ends when the last step has ended."""
    request = land(path, key)
    launched = time.time()
    command = [sys.executable, "-m", "benchmarks.campaigns", "--run-batch", json.dumps(request)]
    with log.open("ab") as stderr:
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=stderr, check=False)
    if done.returncode:
        raise RuntimeError(f"the run failed, see {log}")
    answer = json.loads(done.stdout.splitlines()[-1])
    if not answer["success"]:
        raise RuntimeError(f"run {answer['run_id']} failed, see {log}")
    return _measured(answer["run_id"], request["batch"], launched)


def _measured(run_id: str, batch_id: str, launched: float) -> Run:
    import dagster as dg

    from resources.postgres import PostgresResource

    with dg.DagsterInstance.get() as instance:
        stats = instance.get_run_step_stats(run_id)
        record = instance.get_run_record_by_id(run_id)
    if record is None or record.start_time is None:
        raise RuntimeError(f"run {run_id} never started")
    began = record.start_time
    with PostgresResource(url=os.environ["POSTGRES_URL"]).connect() as connection:
        state = connection.execute(
            "SELECT state FROM landing.batch WHERE batch_id = %s", [batch_id]
        ).fetchone()
        sinks = connection.execute(
            "SELECT sink, seconds FROM landing.batch_sink WHERE batch_id = %s ORDER BY sink",
            [batch_id],
        ).fetchall()
        counts = connection.execute(
            "SELECT sum(rows_read), sum(rows_written), sum(rows_unchanged)"
            " FROM landing.object_version WHERE batch_id = %s",
            [batch_id],
        ).fetchone()
    if state != ("loaded",):
        raise RuntimeError(f"batch {batch_id} is {state}")
    steps = {
        step.step_key.removeprefix("campaigns__"): (step.start_time - began, step.end_time - began)
        for step in stats
        if step.start_time and step.end_time
    }
    end = max(end for _, end in steps.values()) + began
    names = ("read", "written", "unchanged")
    return Run(
        from_launch=end - launched,
        from_start=end - began,
        rows={name: int(count) for name, count in zip(names, counts or (), strict=True)},
        sinks={sink: float(seconds or 0.0) for sink, seconds in sinks},
        steps=steps,
    )


# -- the report --------------------------------------------------------------------------------


def report(shape: Shape, repetitions: Sequence[Repetition]) -> None:
    """The figures of all repetitions, medians of ratios last."""
    print(
        f"\n{shape.rows:,} rows, {shape.users:,} users (Zipf {shape.zipf}), {shape.messages:,} "
        f"messages, {shape.campaigns} campaigns, {shape.empty:.0%} empty; "
        f"{os.cpu_count()} cores, {datetime.now(UTC):%Y-%m-%d}"
    )
    for number, rep in enumerate(repetitions, start=1):
        first, again = rep.first, rep.again
        print(f"\nrepetition {number}")
        print(f"  pipeline, run start to loaded   {first.from_start:8.1f} s   {first.rows}")
        print(f"  pipeline, process start-up incl.{first.from_launch:8.1f} s")
        for step, (begin, end) in sorted(first.steps.items(), key=lambda item: item[1]):
            sink = first.sinks.get(step)
            work = f"   {sink:8.1f} s by the ledger" if sink is not None else ""
            print(f"    {step:<28} {begin:7.1f} → {end:7.1f} s{work}")
        print(f"  four bare loaders side by side  {rep.floor_seconds:8.1f} s")
        for name, seconds in sorted(rep.floor.items(), key=lambda item: -item[1]):
            print(f"    {name:<28} {seconds:17.1f} s")
        print(f"  same content, another key       {again.from_start:8.1f} s   {again.rows}")
        for step, (begin, end) in sorted(again.steps.items(), key=lambda item: item[1]):
            print(f"    {step:<28} {begin:7.1f} → {end:7.1f} s")
        print(f"  same, process start-up incl.    {again.from_launch:8.1f} s")
        print(f"  recommend(), median of {len(rep.answer):<3}      "
              f"{statistics.median(rep.answer) * 1000:8.1f} ms")  # fmt: skip
        print(f"  the bare calls                  {statistics.median(rep.bare) * 1000:8.1f} ms")
        print(f"  without reading the vector      "
              f"{statistics.median(rep.bare_given_vector) * 1000:8.1f} ms")  # fmt: skip

    def line(what: str, ratios: list[float], goal: str) -> None:
        each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        print(f"  {what:<46} {statistics.median(ratios):7.2f}x  ({goal}; each: {each})")

    print("\nreached (median)")
    line(
        "throughput of the pipeline / of the bare loaders",
        [r.floor_seconds / r.first.from_start for r in repetitions],
        f"goal ≥ {GOAL_THROUGHPUT}x",
    )
    line(
        "same, process start-up included",
        [r.floor_seconds / r.first.from_launch for r in repetitions],
        "no goal",
    )
    line(
        "unchanged re-delivery, times faster",
        [r.first.from_start / r.again.from_start for r in repetitions],
        f"goal ≥ {GOAL_UNCHANGED:.0f}x",
    )
    line(
        "same, process start-up included",
        [r.first.from_launch / r.again.from_launch for r in repetitions],
        "no goal",
    )
    line(
        "validation alone of the re-delivery, times faster",
        [r.first.from_start / (r.again.steps["events"][1] - r.again.steps["events"][0])
         for r in repetitions],
        "no goal",
    )  # fmt: skip
    line(
        "one recommendation / its bare calls",
        [statistics.median(r.answer) / statistics.median(r.bare) for r in repetitions],
        f"goal ≤ {GOAL_ANSWER}x",
    )
    line(
        "same, the bare calls given the vector",
        [statistics.median(r.answer) / statistics.median(r.bare_given_vector) for r in repetitions],
        "no goal",
    )


# -- the course --------------------------------------------------------------------------------


@contextlib.contextmanager
def environment(stack: Stack) -> Iterator[Path]:
    """Fresh databases, buckets, collections and a dataset in ``os.environ``; a scratch folder."""
    home = Path(tempfile.mkdtemp(prefix="quintet-benchmark-"))
    try:
        with isolated_environment(stack, SERVICES, home) as variables:
            os.environ.update(variables)
            yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


def repeat(stack: Stack, csv: Path, number: int, log: Path, *, answers_too: bool) -> Repetition:
    """One repetition; the bare loaders come first in every second one."""
    measured: dict[str, float] = {}

    def bare() -> None:
        with environment(stack) as folder:
            data = prepare_floor(csv, folder)
            measured.update(floor(data))
        print(f"  bare loaders: {measured}", flush=True)

    if number % 2 == 0:
        bare()
    with environment(stack):
        first = pipeline(csv, "events.csv", log)
        print(f"  pipeline: {first}", flush=True)
        again = pipeline(csv, "delivered-again.csv", log)
        print(f"  again: {again}", flush=True)
        repetition = Repetition(first, again, measured)
        if answers_too:
            answers(repetition.answer, repetition.bare, repetition.bare_given_vector)
    if number % 2:
        bare()
    return repetition


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--messages", type=int, default=2_000)
    parser.add_argument("--campaigns", type=int, default=50)
    parser.add_argument("--empty", type=float, default=0.1)
    parser.add_argument("--zipf", type=float, default=1.1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--stack", type=Path, help="a state directory; left running")
    parser.add_argument("--run-batch", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run_batch:
        run_batch(json.loads(arguments.run_batch))
        return
    shape = Shape(
        arguments.rows, arguments.users, arguments.messages, arguments.campaigns,
        arguments.empty, arguments.zipf,
    )  # fmt: skip
    scratch = Path(tempfile.mkdtemp(prefix="quintet-benchmark-"))
    scratch.chmod(0o755)  # Postgres may run as another user
    stack = Stack(arguments.stack or scratch / "stack")
    try:
        start(stack, SERVICES)
        csv, log = scratch / "events.csv", scratch / "run.log"
        write_sample(csv, replace(shape, rows=min(shape.rows, WARM_UP_ROWS)), arguments.seed)
        repeat(stack, csv, 1, log, answers_too=False)
        write_sample(csv, shape, arguments.seed)
        print(f"{csv.stat().st_size / 1e6:.1f} MB; runs log to {log}", flush=True)
        repetitions = [
            repeat(stack, csv, number, log, answers_too=True)
            for number in range(1, arguments.repetitions + 1)
        ]
        report(shape, repetitions)
    except BaseException:
        if (scratch / "run.log").exists():
            print((scratch / "run.log").read_text()[-5_000:], file=sys.stderr)
        raise
    finally:
        if arguments.stack is None:
            stack.reset()
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
