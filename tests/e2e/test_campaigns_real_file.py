"""A file dropped into GCS, loaded by the sensor; then backfilled from the command line."""

from __future__ import annotations

import csv
import io
import json
import os
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from local.service import REPOSITORY
from samples.campaigns import Shape, write
from tests import processes
from tests.e2e.campaign_daemon import CampaignDaemon, campaign_daemon
from tests.faults.campaign_runs import SERVERS
from tests.faults.end_state import assert_same, end_state
from tests.faults.oracle import expected
from tests.servers import OpenAIAdmin

pytestmark = [pytest.mark.servers(*SERVERS), pytest.mark.xdist_group("daemon")]

#: What is known of the real file.
REAL = {
    "documents": 1_170, "rows": 1_170, "events": 1_170, "users": 1_000, "campaigns": 7,
    "performed": 1_170, "part_of": 894, "participated_in": 867, "vectors": 1_050, "profiles": 911,
}  # fmt: skip
REAL_MESSAGES = 15


def _file(directory: Path) -> tuple[bytes, bool]:
    """The real file, else a sample in its shape; and whether it is the real one."""
    data_dir = os.environ.get("QUINTET_DATA_DIR")
    real = Path(data_dir or "") / "campaigns" / "campaign_events.csv"
    if data_dir and real.is_file():
        return real.read_bytes(), True
    write(directory / "events.csv", Shape(), seed=1)
    return (directory / "events.csv").read_bytes(), False


def _dagster(env: Mapping[str, str], cwd: Path, *arguments: str) -> str:
    """A bare `dagster` command in an environment that has only the stack's variables."""
    command: list[str | Path] = [processes.BIN / "dagster", *arguments]
    return processes.output_of(command, env=processes.environment(env), cwd=cwd)


def _graphql(daemon: CampaignDaemon, query: str) -> Any:
    request = urllib.request.Request(
        f"{daemon.processes.url}/graphql",
        data=json.dumps({"query": query}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        answer = json.load(response)
    assert "errors" not in answer, answer
    return answer["data"]


def _wait_for_backfill(daemon: CampaignDaemon, batch_id: str, runs_before: int) -> None:
    """The run that the backfill queued has ended well, and the batch is loaded by it."""

    runs = daemon.wait_runs_ended(batch_id, runs_before + 1)
    assert runs[-1].is_success, daemon.processes.log_end("daemon", 60)
    assert "dagster/backfill" in runs[-1].tags
    assert {s.run_id for s in daemon.sinks(batch_id).values()} == {runs[-1].run_id}


@pytest.mark.timeout(1200)
def test_dropped_file_then_backfills_from_the_command_line(
    env: dict[str, str], openai_admin: OpenAIAdmin, tmp_path: Path
) -> None:
    data, is_real = _file(tmp_path)
    rows = list(csv.reader(io.StringIO(data.decode(), newline="")))[1:]
    oracle = expected(rows)
    with campaign_daemon(env, tmp_path / "logs", webserver=True) as daemon:
        daemon.land("campaign_events.csv", data)
        (batch,) = daemon.wait_loaded()

        found = end_state(env)
        assert_same(found, oracle)
        inputs = openai_admin.counters()["inputs"]
        assert inputs == len({row[2] for row in rows if row[2]})
        if is_real:
            counts = found.counts()
            assert {name: counts[name] for name in REAL} == REAL
            assert inputs == REAL_MESSAGES
        _assert_webserver_shows_it(daemon, batch.batch_id)

        partitions = ("--partitions", batch.batch_id)
        for number, selection in enumerate((("--all", "all"), partitions), start=1):
            _dagster(
                env, tmp_path, "job", "backfill", "--job", "campaigns", *selection, "--noprompt",
                "-w", str(REPOSITORY / "workspace.yaml"),
            )  # fmt: skip
            _wait_for_backfill(daemon, batch.batch_id, number)
            daemon.wait_loaded()
            assert_same(end_state(env), oracle)
        assert openai_admin.counters()["inputs"] == inputs  # nothing was paid for twice


def _assert_webserver_shows_it(daemon: CampaignDaemon, batch_id: str) -> None:
    daemon.processes.wait_ready()
    nodes = _graphql(daemon, "{ assetNodes { groupName assetKey { path } } }")["assetNodes"]
    names = {n["assetKey"]["path"][-1] for n in nodes if n["groupName"].startswith("campaigns_")}
    assert names == {
        "gcs_landing", "events", "raw_messages", "message_embeddings", "user_profiles",
        "engagement_graph", "engagement_analytics", "campaign_recommendations",
    }  # fmt: skip
    repository = '{repositoryName: "__repository__", repositoryLocationName: "quintet"}'
    sensors = _graphql(
        daemon,
        f"{{ sensorsOrError(repositorySelector: {repository}) {{ __typename ... on Sensors {{"
        " results { name sensorState { status } } } } }",
    )["sensorsOrError"]["results"]
    states = {sensor["name"]: sensor["sensorState"]["status"] for sensor in sensors}
    assert states["campaigns_gcs_sensor"] == "RUNNING"
    (run,) = daemon.wait_runs_ended(batch_id, 1)
    events = _graphql(
        daemon,
        f'{{ runOrError(runId: "{run.run_id}") {{ ... on Run {{ status assetCheckEvaluations:'
        " eventConnection(limit: 1000) { events { __typename ... on AssetCheckEvaluationEvent {"
        " evaluation { checkName success assetKey { path } } } } } } } }",
    )["runOrError"]
    assert events["status"] == "SUCCESS"
    checks = {
        (e["evaluation"]["assetKey"]["path"][-1], e["evaluation"]["checkName"]):
            e["evaluation"]["success"]
        for e in events["assetCheckEvaluations"]["events"]
        if e["__typename"] == "AssetCheckEvaluationEvent"
    }  # fmt: skip
    assert checks == {
        ("events", "rows_balance"): True,
        ("events", "rejected_share"): True,
        **{(sink, "holds_the_batch"): True for sink in names - {
            "gcs_landing", "events", "campaign_recommendations"}},
    }  # fmt: skip
