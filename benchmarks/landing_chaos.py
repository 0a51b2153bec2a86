"""Bad luck by the hour: objects put, rewritten and deleted while every process is killed.

No figure to reach but one: nothing is lost, doubled or out of order. A real daemon runs the
catalogue of images; every few seconds a random process of it dies by kill -9 (run worker, code
server, daemon, all at once, a daemon in the first loop of its sensors). When the time is over the
killing ends, what was put must be loaded, and a recount that knows no code of landing compares the
ledger and the table with what was put. Run:

    python -m benchmarks.landing_chaos [--minutes 10 --between-kills 12 --seed 1]

The recovery is not helped: what failed waits for its own next attempt.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import threading
import time
from pathlib import Path

from local.dagster_processes import DagsterProcesses
from local.stack import Stack
from migrations.upgrade import upgrade
from tests.landing_chaos import Killer, Uploader, recount, waiting
from tests.servers import isolated_environment, start

SERVICES = ["postgres", "s3"]
#: Seconds after which what is still not loaded counts as lost: an hour's backoff and a start.
RECOVERY = 2 * 60 * 60.0


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--between-kills", type=float, default=12.0, help="seconds")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="quintet-chaos-"))
    scratch.chmod(0o755)  # Postgres may run as another user
    stack = Stack(scratch / "stack")
    try:
        start(stack, SERVICES)
        (home := scratch / "home").mkdir()
        with isolated_environment(stack, SERVICES, home) as env:
            upgrade(env["POSTGRES_URL"])
            _run(env, scratch / "dagster", given)
    finally:
        stack.reset()
        shutil.rmtree(scratch, ignore_errors=True)


def _run(env: dict[str, str], logs: Path, given: argparse.Namespace) -> None:
    logs.mkdir()
    variables = {**os.environ, **env, "QUINTET_PIPELINES": "images"}
    dagster = DagsterProcesses(env=variables, state=logs, cwd=logs)
    uploader, killer = Uploader(env, given.seed), Killer(dagster, given.seed)
    over = threading.Event()

    def upload() -> None:
        while not over.is_set():
            uploader.step()

    uploading = threading.Thread(target=upload)
    dagster.start(webserver=False)
    try:
        uploading.start()
        end = time.monotonic() + 60 * given.minutes
        while time.monotonic() < end:
            time.sleep(given.between_kills)
            killer.strike()
        over.set()
        uploading.join()
        began = time.monotonic()
        quiet = 0
        while quiet < 3:  # an object of the last second is not known yet
            if time.monotonic() - began > RECOVERY:
                raise SystemExit(f"{waiting(env['POSTGRES_URL'])} still wait")
            time.sleep(2.0)
            quiet = 0 if waiting(env["POSTGRES_URL"]) else quiet + 1
    finally:
        over.set()
        dagster.stop()
    print(f"all loaded {time.monotonic() - began:.0f} s after the last kill")
    print(f"killed: {dict(killer.killed)}")
    print(f"recounted, none lost, doubled or out of order: {recount(env, uploader)}")


if __name__ == "__main__":
    main()
