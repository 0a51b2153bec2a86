"""A real daemon and its runs, killed or cut off from MongoDB in the middle of a run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psutil
import pytest

from tests.e2e.campaign_daemon import campaign_daemon
from tests.faults.campaign_runs import SERVERS, SINKS
from tests.faults.end_state import assert_profiles_are_means, assert_same, end_state
from tests.faults.oracle import as_csv, expected, sample
from tests.tcp_proxy import TcpProxy

pytestmark = [pytest.mark.servers(*SERVERS), pytest.mark.xdist_group("daemon")]

#: Seconds from the restart in which everything must be loaded.
RECOVERY = 180.0


@pytest.fixture
def mongo(env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[TcpProxy]:
    """MongoDB behind a proxy, given up on after 5 s; ``env`` keeps the direct way."""
    parts = urlsplit(env["MONGO_URI"])
    user, at, _ = parts.netloc.rpartition("@")
    with TcpProxy((parts.hostname or "", parts.port or 27017)) as proxy:
        query = f"{parts.query}&timeoutMS=5000".removeprefix("&")
        uri = urlunsplit(parts._replace(netloc=f"{user}{at}{proxy.address}", query=query))
        monkeypatch.setenv("MONGO_URI", uri)
        yield proxy


@pytest.mark.timeout(1000)
def test_all_processes_killed_in_the_middle_of_a_run(
    env: dict[str, str], mongo: TcpProxy, tmp_path: Path
) -> None:
    rows = sample(rows=200)
    with campaign_daemon(env, tmp_path / "logs") as daemon:
        mongo.freeze()  # the run stays in the middle until it is killed
        daemon.land("a.csv", as_csv(rows))
        batch = daemon.wait_in_state("running")
        daemon.wait("the run to come to MongoDB", lambda: mongo.connections > 0)
        assert daemon.sinks(batch.batch_id)["raw_messages"].state != "done"
        doomed = daemon.children()
        commands = [" ".join(process.cmdline()) for process in doomed]
        assert len(doomed) >= 3, commands  # daemon, code server, run worker

        daemon.processes.kill()

        # All had the signal at once; a loaded machine takes a moment to bury them.
        _, alive = psutil.wait_procs(doomed, timeout=20)
        assert not [p for p in alive if p.status() != psutil.STATUS_ZOMBIE], commands
        mongo.cut()
        mongo.thaw()
        mongo.restore()
        daemon.land("b.csv", as_csv(second := sample(rows=20)[5:]))
        restarted = time.monotonic()
        daemon.processes.start(webserver=False)
        daemon.wait_loaded(2, RECOVERY)
        seconds = time.monotonic() - restarted

        print(f"everything loaded {seconds:.0f} s after the restart")
        assert seconds <= RECOVERY
        assert_same(end_state(env), expected(rows, second))
        assert_profiles_are_means(env)
        runs = daemon.wait_runs_ended(batch.batch_id, 2)
        attempts = [run.tags["dagster/run_key"].rpartition("/")[2] for run in runs]
        assert attempts == ["1", "2"]
        assert [run.status.value for run in runs] == ["FAILURE", "SUCCESS"]


@pytest.mark.timeout(1000)
def test_mongodb_unreachable_past_all_retries(
    env: dict[str, str], mongo: TcpProxy, tmp_path: Path
) -> None:
    rows = sample()
    with campaign_daemon(env, tmp_path / "logs") as daemon:
        mongo.cut()
        daemon.land("a.csv", as_csv(rows))
        batch = daemon.wait_in_state("failed_transient")

        assert batch.next_attempt_at is not None
        assert "raw_messages" in (batch.error or "")
        sinks = daemon.sinks(batch.batch_id)
        assert {name for name, sink in sinks.items() if sink.state == "done"} == (
            SINKS - {"raw_messages"}
        )
        assert sinks["raw_messages"].error_class == "transient"
        assert f"127.0.0.1:{mongo.port}" in (sinks["raw_messages"].error or "")
        (failed,) = daemon.runs(dagster__partition=batch.batch_id)
        with daemon.instance as instance:
            stats = {s.step_key: s for s in instance.get_run_step_stats(failed.run_id)}
        assert stats["campaigns__raw_messages"].attempts == 3
        documents_lost = expected(rows)
        found = end_state(env)
        assert found.documents == []
        assert found.rows == documents_lost.rows

        mongo.restore()
        daemon.reopen(batch.batch_id)  # rather than wait for the minute to pass
        daemon.wait_loaded()

        assert_same(end_state(env), expected(rows))
        _, again = daemon.wait_runs_ended(batch.batch_id, 2)
        assert again.is_success
        assert {key.path[-1] for key in again.asset_selection or ()} & {*SINKS, "events"} == {
            "raw_messages"
        }
