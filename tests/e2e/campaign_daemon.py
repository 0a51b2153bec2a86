"""Campaigns under a real Dagster daemon: files into the bucket, batches and runs watched.

Belongs here: starting the processes, waiting with time limits, asking ledger and instance. Does
not: reading the sinks (``tests.faults.end_state``) or expected figures (``tests.faults.oracle``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import psycopg

from landing.arrival import ledger
from local.dagster_processes import DagsterProcesses
from resources.gcs import GcsResource
from tests import processes

LOADED = {"loaded", "loaded_with_rejects"}

#: Seconds within which a batch that nothing holds up is loaded, on a machine with other work.
LOAD_TIMEOUT = 300.0


@dataclass
class CampaignDaemon:
    """The processes of one test with its variables."""

    env: Mapping[str, str]
    processes: DagsterProcesses
    job: str = "campaigns"

    @property
    def instance(self) -> dg.DagsterInstance:
        """The instance that the daemon works on; dispose of it by ``with``."""
        return dg.DagsterInstance.get()

    def land(self, name: str, data: bytes) -> None:
        client = GcsResource(project=self.env["GOOGLE_CLOUD_PROJECT"]).client()
        blob = client.bucket(self.env["CAMPAIGNS_BUCKET"]).blob(f"campaigns/{name}")
        blob.upload_from_string(data, content_type="text/csv")
        client.close()

    def batches(self) -> list[ledger.Batch]:
        """Oldest first."""
        with psycopg.connect(self.env["POSTGRES_URL"]) as connection:
            return ledger.batches(connection)[::-1]

    def sinks(self, batch_id: str) -> dict[str, ledger.SinkState]:
        with psycopg.connect(self.env["POSTGRES_URL"]) as connection:
            return {s.sink: s for s in ledger.sinks(connection, [batch_id])[batch_id]}

    def reopen(self, batch_id: str) -> None:
        """As `make replay` does."""
        with psycopg.connect(self.env["POSTGRES_URL"]) as connection:
            assert ledger.reopen(connection, batch_id)

    def wait(self, what: str, condition: Callable[[], Any], timeout: float = LOAD_TIMEOUT) -> Any:
        """The condition's first true value. Fails with the ledger and the daemon's log's end."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            self.processes.check_alive()
            if found := condition():
                return found
            time.sleep(0.5)
        raise AssertionError(
            f"{what}: not in {timeout:.0f} s\n"
            + "\n".join(f"{b.batch_id} {b.state} {b.attempt} {b.error}" for b in self.batches())
            + f"\n{self.processes.log_end('daemon', 60)}"
        )

    def wait_loaded(self, count: int = 1, timeout: float = LOAD_TIMEOUT) -> list[ledger.Batch]:
        """All batches, once there are so many and all are loaded."""

        def loaded() -> list[ledger.Batch]:
            found = self.batches()
            right = len(found) == count and all(b.state in LOADED for b in found)
            return found if right else []

        found: list[ledger.Batch] = self.wait(f"{count} batches loaded", loaded, timeout)
        return found

    def wait_in_state(self, state: str, timeout: float = LOAD_TIMEOUT) -> ledger.Batch:
        """The only batch, once it is in the state."""

        def there() -> ledger.Batch | None:
            found = self.batches()
            return found[0] if len(found) == 1 and found[0].state == state else None

        batch: ledger.Batch = self.wait(f"a batch {state}", there, timeout)
        return batch

    def runs(self, **tags: str) -> list[dg.DagsterRun]:
        """Runs of the job with these tags (``/`` written as ``__``), oldest first."""
        filters = dg.RunsFilter(
            job_name=self.job, tags={k.replace("__", "/"): v for k, v in tags.items()}
        )
        with self.instance as instance:
            return list(instance.get_runs(filters))[::-1]

    def wait_runs_ended(self, batch_id: str, count: int) -> list[dg.DagsterRun]:
        """The runs of a batch, once there are so many and all have ended.

        A batch is loaded before its run ends: what is derived from it comes last.
        """

        def ended() -> list[dg.DagsterRun]:
            found = self.runs(dagster__partition=batch_id)
            return found if len(found) == count and all(r.is_finished for r in found) else []

        found: list[dg.DagsterRun] = self.wait(f"{count} runs ended", ended)
        return found

    def children(self) -> list[psutil.Process]:
        """Every process of the daemon: itself, code servers, run workers."""
        found = []
        for pid in self.processes.pids().values():
            process = psutil.Process(pid)
            found += [process, *process.children(recursive=True)]
        return found


@contextmanager
def campaign_daemon(
    env: Mapping[str, str], logs: Path, *, webserver: bool = False, job: str = "campaigns"
) -> Iterator[CampaignDaemon]:
    """A daemon with the sensors running, until the block ends.

    Of the other pipelines, whose servers it has not, it holds nothing.
    """
    logs.mkdir(parents=True)
    dagster = processes.dagster(logs, env={"QUINTET_PIPELINES": job})
    dagster.start(webserver=webserver)
    try:
        yield CampaignDaemon(env, dagster, job)
    finally:
        dagster.stop()
