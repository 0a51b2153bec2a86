"""Domains under a real daemon: a marker, a backfill from the command line, and what people hear."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from pathlib import Path

import dagster as dg
import pytest

from landing.stores.s3 import S3Store
from local.service import REPOSITORY
from resources.s3 import S3Resource
from tests import processes
from tests.e2e.campaign_daemon import CampaignDaemon, campaign_daemon
from tests.integration.domains.month_world import BEFORE, MONTH, MonthWorld
from tests.integration.domains.test_month import DOMAINS, categories, rows
from tests.servers import OpenAIAdmin

pytestmark = [
    pytest.mark.servers("postgres", "s3", "openai"),
    pytest.mark.xdist_group("daemon"),
]


def put(env: dict[str, str], key: str) -> None:
    s3 = S3Resource(endpoint=env["AWS_ENDPOINT_URL_S3"], region="us-east-1")
    with closing(s3.client()) as client:
        S3Store(client, env["DOMAINS_BUCKET"]).put(key, b"")


def told(admin: OpenAIAdmin, words: str) -> list[str]:
    return [one["text"] for one in admin.messages() if words in one["text"]]


def succeeded(daemon: CampaignDaemon, months: set[str]) -> bool:
    with daemon.instance as instance:
        runs = instance.get_runs(
            dg.RunsFilter(job_name="domains", statuses=[dg.DagsterRunStatus.SUCCESS])
        )
    return {run.tags["dagster/partition"] for run in runs} == months


@pytest.mark.timeout(900)
def test_a_marker_is_published_and_told_and_so_is_a_failure(
    env: dict[str, str], openai_admin: OpenAIAdmin, tmp_path: Path
) -> None:
    world = MonthWorld(env)
    world.fill([*rows("2025-01"), *rows(BEFORE, scale=3), *rows()], categories())
    with campaign_daemon(env, tmp_path / "logs", job="domains") as daemon:
        put(env, f"updates/{MONTH}/metrics.done")
        daemon.wait_loaded()
        assert {row["domain"] for row in world.published()[1]} == DOMAINS
        daemon.wait("the good news", lambda: told(openai_admin, f"domains {MONTH} published"))

        openai_admin.set_faults(rates={"401": 1.0}, endpoints=["chat"])
        openai_admin.clear_counters()
        put(env, f"updates/{BEFORE}/metrics.done")
        daemon.wait("the bad news", lambda: told(openai_admin, f"domains {BEFORE} failed"))
        (bad,) = told(openai_admin, f"domains {BEFORE} failed")
        assert "domain_summaries" in bad
        assert "AskingRefusedError" in bad
        assert "OPENAI_API_KEY" in bad
        assert env["OPENAI_API_KEY"] not in bad
        assert openai_admin.counters()["calls"]["chat"] == 1
        openai_admin.end_faults()

        # As docs/domains.md has it: what a person started needs no marker.
        processes.output_of(
            [
                Path(sys.executable).with_name("dagster"), "job", "backfill",
                "-w", REPOSITORY / "workspace.yaml",
                "--job", "domains", "--from", "2025-01", "--to", MONTH, "--noprompt",
            ],
            env={**os.environ, "QUINTET_PIPELINES": "domains"},
            cwd=tmp_path,
            timeout=180,
        )  # fmt: skip
        daemon.wait("three months", lambda: succeeded(daemon, {"2025-01", BEFORE, MONTH}))
        for month in ("2025-01", BEFORE, MONTH):
            assert {row["domain"] for row in world.published(month)[1]} == DOMAINS
        daemon.wait("no news of a month", lambda: told(openai_admin, "domains 2025-01 published"))
        assert len(told(openai_admin, f"domains {BEFORE} failed")) == 1
