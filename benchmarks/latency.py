"""From an object's put to the first sink that has it, through a real daemon, part by part.

Small files, one after another, each awaited; in turn with objects that start a run of an asset
that does nothing (``noop_location``), through the same daemon. Both runs are forks of the run
server; the no-op's sensor looks every 5 s, ours waits in its tick. Run:

    python -m benchmarks.latency [--pipeline music] [--files 20] [--stack DIRECTORY]

Parts, from the run's own events: tick (put → run requested), queue (→ launched), start (→ first
step: the interpreter, loading definitions, locks), work (→ the first sink's rows are committed,
read back and noted in the ledger; for the no-op → the step's end).
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.noop_location import INTERVAL_SECONDS, PREFIX
from local.dagster_processes import DagsterProcesses
from local.stack import Stack
from resources.environment import DAGSTER_VARIABLES
from samples.campaigns import Shape
from samples.campaigns import write as write_sample
from samples.music import write_songs
from tests.servers import isolated_environment, start

ROOT = Path(__file__).parents[1]
PARTS = ("tick", "queue", "start", "work", "total")
ROWS = 50
SERVICES = [
    "postgres", "gcs", "bigquery", "mongo", "bolt", "milvus", "openai", "s3", "typesense",
    "music_services",
]  # fmt: skip
TIMEOUT = 180.0

NOOP = f"""load_from:
  - python_module:
      module_name: benchmarks.noop_location
      working_directory: {ROOT}
      location_name: noop
"""


@dataclass(frozen=True)
class Latency:
    """Seconds of each part of one object's way."""

    tick: float
    queue: float
    start: float
    work: float

    @property
    def total(self) -> float:
        """From the put to the end."""
        return self.tick + self.queue + self.start + self.work


def processes(home: Path) -> DagsterProcesses:
    """Run server and daemon as the embedded stack has them, with a second location.

    Not in the repository: the commands of Dagster let the ``.env`` of their directory, which may
    name another stack, win over their environment.
    """
    noop = home / "noop.yaml"
    noop.write_text(NOOP)
    variables = {**os.environ, **DAGSTER_VARIABLES, "PYTHONPATH": str(ROOT)}
    return DagsterProcesses(variables, home / "dagster", home, more=[noop])


class Timeline:
    """One object after another, put and followed to its end."""

    def __init__(self, instance: Any, daemon: DagsterProcesses, seed: int) -> None:
        self._instance, self._daemon = instance, daemon
        self._random = random.Random(seed)
        self._seen: set[str] = set()

    def follow(self, put: Callable[[], object], job: str) -> Latency:
        """Put an object at a random moment of the sensor's interval; what its run took."""
        time.sleep(self._random.uniform(0, INTERVAL_SECONDS))
        put()
        put_at = time.time()
        record = self._await_run(job)
        times = self._event_times(record.dagster_run.run_id)
        requested = record.create_timestamp.timestamp()
        end = self._first_sink(record) if job in FILES else times["STEP_SUCCESS"]
        return Latency(
            tick=requested - put_at,
            queue=times["PIPELINE_STARTING"] - requested,
            start=times["STEP_START"] - times["PIPELINE_STARTING"],
            work=end - times["STEP_START"],
        )

    def _await_run(self, job: str) -> Any:
        import dagster as dg

        end = time.monotonic() + TIMEOUT
        while time.monotonic() < end:
            self._daemon.check_alive()
            records = self._instance.get_run_records(dg.RunsFilter(job_name=job), limit=5)
            for record in records:
                run = record.dagster_run
                if run.run_id in self._seen or not run.is_finished:
                    continue
                self._seen.add(run.run_id)
                if not run.is_success:
                    raise RuntimeError(f"run {run.run_id} of {job} is {run.status}")
                return record
            time.sleep(0.5)
        raise TimeoutError(f"no run of {job}:\n{self._daemon.log_end('daemon')}")

    def _event_times(self, run_id: str) -> dict[str, float]:
        """When each type of event came first."""
        times: dict[str, float] = {}
        for entry in self._instance.all_logs(run_id):
            if entry.dagster_event is not None:
                times.setdefault(entry.dagster_event.event_type_value, entry.timestamp)
        return times

    def _first_sink(self, record: Any) -> float:
        import psycopg

        batch = record.dagster_run.tags["dagster/partition"]
        with psycopg.connect(os.environ["POSTGRES_URL"]) as connection:
            row = connection.execute(
                "SELECT min(s.done_at), b.state FROM landing.batch b JOIN landing.batch_sink s"
                " USING (batch_id) WHERE b.batch_id = %s GROUP BY b.state",
                [batch],
            ).fetchone()
        if row is None or row[1] != "loaded":
            raise RuntimeError(f"batch {batch} is {row}")
        done: datetime = row[0]
        return done.timestamp()


def put_campaigns(folder: Path, number: int) -> Callable[[], object]:
    """Of new events, with GCS's own client."""
    from resources.gcs import GcsResource

    path = folder / "events.csv"
    write_sample(path, Shape(rows=ROWS), seed=number + 1)
    client = GcsResource(project=os.environ["GOOGLE_CLOUD_PROJECT"]).client()
    blob = client.bucket(os.environ["CAMPAIGNS_BUCKET"]).blob(
        os.environ["CAMPAIGNS_PREFIX"] + f"{number:04}.csv"
    )
    return lambda: blob.upload_from_filename(path)


def put_music(folder: Path, number: int) -> Callable[[], object]:
    """Of new songs, with MinIO's own client."""
    from resources.minio import MinioResource

    path = folder / "songs.json"
    write_songs(path, ROWS, seed=number + 1)
    client = MinioResource(
        endpoint=os.environ["MINIO_ENDPOINT"],
        access_key=os.environ["MINIO_ACCESS_KEY"],
        secret_key=os.environ["MINIO_SECRET_KEY"],
    ).client()
    key = os.environ.get("MUSIC_RAW_PREFIX", "") + f"{number:04}.json"
    return lambda: client.fput_object(os.environ["MUSIC_RAW_BUCKET"], key, str(path))


#: What puts a small file of its own, by pipeline, which is also the job's name.
FILES = {"campaigns": put_campaigns, "music": put_music}


def put_noop(number: int) -> None:
    """Where the no-op's sensor looks."""
    from resources.gcs import GcsResource

    client = GcsResource(project=os.environ["GOOGLE_CLOUD_PROJECT"]).client()
    client.bucket(os.environ["CAMPAIGNS_BUCKET"]).blob(f"{PREFIX}{number:04}").upload_from_string(
        b"x"
    )


def measure(
    stack: Stack, home: Path, pipeline: str, files: int, minutes: float
) -> tuple[list[Latency], list[Latency]]:
    """Latencies of the pipeline and of the no-op, in turn, one warm-up of each left out.

    Nothing new is put once ``minutes`` have passed.
    """
    import dagster as dg

    ours: list[Latency] = []
    noop: list[Latency] = []
    with isolated_environment(stack, SERVICES, home) as variables:
        os.environ.update(variables)
        daemon = processes(home)
        try:
            daemon.start(webserver=False)
            daemon.wait_ready()
            with dg.DagsterInstance.get() as instance:
                timeline = Timeline(instance, daemon, seed=1)
                end = time.monotonic() + minutes * 60
                for number in range(files + 1):
                    if time.monotonic() > end:
                        break
                    ours.append(timeline.follow(FILES[pipeline](home, number), pipeline))
                    noop.append(timeline.follow(partial(put_noop, number), "nothing_job"))
                    print(
                        f"  {number}: {ours[-1].total:.1f} s, no-op {noop[-1].total:.1f} s",
                        flush=True,
                    )
        finally:
            daemon.stop()
    return ours[1:], noop[1:]


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that ``share`` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered)) - 1))]


def report(pipeline: str, ours: Sequence[Latency], noop: Sequence[Latency]) -> None:
    """p50 and p95 of every part, side by side."""
    print(
        f"\n{len(ours)} files of {ROWS} rows, sensor interval {INTERVAL_SECONDS} s, "
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {datetime.now(UTC):%Y-%m-%d}\n"
        f"  seconds     {pipeline:>9} p50    p95      no-op p50    p95     ratio of p50"
    )
    for part in PARTS:
        a, b = [getattr(x, part) for x in ours], [getattr(x, part) for x in noop]
        mine, theirs = statistics.median(a), statistics.median(b)
        print(
            f"  {part:<10} {mine:14.2f} {percentile(a, 0.95):7.2f} {theirs:13.2f} "
            f"{percentile(b, 0.95):7.2f} {mine / theirs if theirs > 0 else 0:13.2f}x"
        )
    print("  goal: total p50 ≤ 3 s, p95 ≤ 5 s on two cores that have nothing else to do")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pipeline", choices=[*FILES], default="campaigns")
    parser.add_argument("--files", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=60, help="put no file after that")
    parser.add_argument("--stack", type=Path, help="a state directory; left running")
    arguments = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="quintet-latency-"))
    scratch.chmod(0o755)  # Postgres may run as another user
    stack = Stack(arguments.stack or scratch / "stack")
    try:
        start(stack, SERVICES)
        (home := scratch / "home").mkdir()
        found = measure(stack, home, arguments.pipeline, arguments.files, arguments.minutes)
        report(arguments.pipeline, *found)
    finally:
        if arguments.stack is None:
            stack.reset()
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
