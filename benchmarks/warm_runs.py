"""What a run costs as a fork of the run server, next to one in a fresh interpreter; and a soak.

The run is of one step that does a little with each kind of library that has native threads or
connections: polars, BLAS, a Postgres connection, a BigQuery client with its channel. CPU seconds
(user + system) of the whole process, wall seconds from the launch to the end of its process. Run:

    python -m benchmarks.warm_runs [--runs 20] [--soak 1000]

The soak launches so many runs, four at a time, and compares the server before and after.
"""

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import psutil
from dagster._core.launcher.base import LaunchRunContext

from jobs.warm import protocol
from jobs.warm.launcher import WarmRunLauncher
from local.stack import Stack
from tests.servers import isolated_environment, start

ROOT = Path(__file__).parents[1]
SIDE_BY_SIDE = 4
_COLD = "import sys; from jobs.warm.executing import run_and_exit; run_and_exit(sys.argv[1])"


@dg.op
def touch_everything() -> None:
    """Use what does not survive every fork."""
    import numpy as np
    import polars as pl
    import psycopg
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import bigquery
    from google.cloud.bigquery_storage_v1 import BigQueryWriteClient

    frame = pl.DataFrame({"key": np.arange(200_000) % 97, "value": np.random.rand(200_000)})
    total = frame.group_by("key").agg(pl.col("value").sum()).height
    square = np.random.rand(300, 300)
    with psycopg.connect(os.environ["POSTGRES_URL"]) as connection:
        row = connection.execute("SELECT %s::int", (total,)).fetchone()
    bigquery.Client(project="nobody", credentials=AnonymousCredentials()).close()
    BigQueryWriteClient(credentials=AnonymousCredentials()).transport.close()
    if row != (97,) or not np.isfinite(square @ square).all():
        raise AssertionError(row)


@dg.job(executor_def=dg.in_process_executor)
def touching() -> None:
    """One step."""
    touch_everything()


@dataclass(frozen=True)
class Cost:
    """Seconds of one run."""

    cpu: float
    wall: float


@dataclass
class Bench:
    """An instance and its run server."""

    instance: dg.DagsterInstance
    server: psutil.Process

    def __post_init__(self) -> None:
        self.launcher = WarmRunLauncher()
        self.launcher.register_instance(self.instance)
        self._job = dg.reconstructable(touching)

    def create(self) -> dg.DagsterRun:
        """A run that Dagster knows and nobody has started."""
        return self.instance.create_run_for_job(
            job_def=touching, job_code_origin=self._job.get_python_origin()
        )

    def launch(self) -> str:
        """Have a run forked; its id."""
        run = self.create()
        self.launcher.launch_run(LaunchRunContext(run, workspace=None))
        return run.run_id

    def ended(self, run_id: str) -> bool:
        """Its process has, and was collected."""
        return protocol.ask(directory(self.instance), "status", run_id)[0] == "unknown"

    def warm(self) -> Cost:
        """A run as a fork."""
        before, began = self._collected(), time.monotonic()
        run_id = self.launch()
        while not self.ended(run_id):
            time.sleep(0.01)
        return Cost(self._collected() - before, time.monotonic() - began)

    def cold(self) -> Cost:
        """A run in an interpreter of its own."""
        run = self.create()
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        subprocess.run([sys.executable, "-c", _COLD, run.run_id], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return Cost(cpu, time.monotonic() - began)

    def soak(self, count: int) -> list[int]:
        """Unshared bytes of some of the forks, on the way."""
        unshared: list[int] = []
        going: list[str] = []
        for number in range(count):
            going.append(self.launch())
            if number % 20 == 0:
                time.sleep(0.2)
                with suppress(psutil.NoSuchProcess):  # it may have ended meanwhile
                    unshared += [one.memory_full_info().uss for one in self.server.children()[:1]]
            while len(going) >= SIDE_BY_SIDE:
                going = [run_id for run_id in going if not self.ended(run_id)]
                time.sleep(0.01)
        while going:
            going = [run_id for run_id in going if not self.ended(run_id)]
        return unshared

    def state(self) -> str:
        """What the server holds."""
        memory = self.server.memory_full_info()
        return (
            f"{memory.uss / 2**20:.0f} MiB of its own, {memory.rss / 2**20:.0f} MiB resident, "
            f"{self.server.num_fds()} files, {self.server.num_threads()} threads"
        )

    def _collected(self) -> float:
        times = self.server.cpu_times()
        return times.children_user + times.children_system


def directory(instance: dg.DagsterInstance) -> Path:
    return protocol.directory_of(instance.root_directory)


@contextmanager
def server_of(instance: dg.DagsterInstance, log: Path) -> Iterator[psutil.Process]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "jobs.warm.server"], cwd=ROOT, stdout=output, stderr=output
        )
        try:
            while True:
                try:
                    protocol.ask(directory(instance), "status", "nobody's")
                    break
                except protocol.NoRunServer:
                    time.sleep(0.2)
                    if process.poll() is not None:
                        raise
            yield psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait()


def report(bench: Bench, runs: int, soak: int) -> None:
    bench.warm(), bench.cold()
    pairs = [(bench.warm(), bench.cold()) for _ in range(runs)]
    for name in ("cpu", "wall"):
        warm, cold = (statistics.median(getattr(pair[n], name) for pair in pairs) for n in (0, 1))
        print(
            f"{name:5} s a run: forked {warm:6.2f}, fresh interpreter {cold:6.2f}: "
            f"{cold / warm:.1f}x"
        )
    if soak:
        print(f"server before: {bench.state()}")
        before, began = count(bench, dg.DagsterRunStatus.SUCCESS), time.monotonic()
        unshared = bench.soak(soak)
        good = count(bench, dg.DagsterRunStatus.SUCCESS) - before
        seconds = time.monotonic() - began
        print(f"soak: {good} of {soak} runs succeeded in {seconds:.0f} s, {SIDE_BY_SIDE} at once")
        print(f"server after:  {bench.state()}")
        if unshared:
            most = max(unshared) / 2**20
            print(f"a fork's own memory: median {statistics.median(unshared) / 2**20:.0f} MiB, "
                  f"most {most:.0f} MiB")  # fmt: skip


def count(bench: Bench, status: dg.DagsterRunStatus) -> int:
    return bench.instance.get_runs_count(dg.RunsFilter(statuses=[status]))


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--soak", type=int, default=1_000)
    given = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="quintet-warm-"))
    scratch.chmod(0o755)  # Postgres may run as another user
    stack = Stack(scratch / "stack")
    try:
        start(stack, ["postgres"])
        (home := scratch / "home").mkdir()
        with isolated_environment(stack, ["postgres"], home) as env:
            os.environ.update(env)
            os.environ["PYTHONPATH"] = str(ROOT)
            with dg.DagsterInstance.get() as instance, server_of(instance, scratch / "log") as one:
                instance.get_runs_count()
                report(Bench(instance, one), given.runs, given.soak)
    finally:
        stack.reset()
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    # Forks find the job by the module's name, not as __main__.
    from benchmarks.warm_runs import main as named

    named()
