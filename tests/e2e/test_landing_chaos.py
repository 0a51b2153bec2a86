"""A minute of bad luck under a real daemon; ``benchmarks/landing_chaos.py`` has hours of it."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from migrations.upgrade import upgrade
from tests import processes
from tests.landing_chaos import Killer, Uploader, ask_again, recount, waiting

pytestmark = [pytest.mark.servers("postgres", "s3"), pytest.mark.xdist_group("daemon")]

SECONDS = 50.0
BETWEEN_KILLS = 9.0
#: A strike meets nobody where what it aims at does not run at that moment.
KILLS = 4
RECOVERY = 300.0


@pytest.mark.timeout(900)
def test_nothing_is_lost_or_doubled_while_every_process_is_killed(
    env: dict[str, str], tmp_path: Path
) -> None:
    upgrade(env["POSTGRES_URL"])
    (logs := tmp_path / "logs").mkdir()
    dagster = processes.dagster(logs, env={"QUINTET_PIPELINES": "images"})
    uploader, killer = Uploader(env, seed=7), Killer(dagster, seed=7, spares_starting=True)
    over = threading.Event()

    def upload() -> None:
        while not over.is_set():
            uploader.step()

    uploading = threading.Thread(target=upload)
    dagster.start(webserver=False)
    try:
        uploading.start()
        end = time.monotonic() + SECONDS
        while time.monotonic() < end or sum(killer.killed.values()) < KILLS:
            assert time.monotonic() < end + RECOVERY, f"killed {dict(killer.killed)}"
            time.sleep(BETWEEN_KILLS)
            killer.strike()
        over.set()
        uploading.join()
        end = time.monotonic() + RECOVERY
        quiet = 0
        while quiet < 3:  # an object of the last second is not known yet
            assert time.monotonic() < end, f"{waiting(env['POSTGRES_URL'])} wait"
            time.sleep(2.0)
            ask_again(env["POSTGRES_URL"])
            quiet = 0 if waiting(env["POSTGRES_URL"]) else quiet + 1
    finally:
        over.set()
        dagster.stop()
    found = recount(env, uploader)
    print(f"{found}, killed {dict(killer.killed)}")
    assert found["loaded"] >= 10
