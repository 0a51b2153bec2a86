"""Peak memory of one campaigns run by the size of its file.

The run's process alone (its maximum resident set), all assets in it, on servers of its own, less
that of a run on a file with only a header. Rows carry long messages (``--message-characters``), so
that a gigabyte is not days of upserts on the stand-ins; ``--short`` has rows of real length and
stops after validation.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SERVERS = ["postgres", "gcs", "bigquery", "mongo", "bolt", "milvus", "openai"]
MEGABYTE = 1_000_000
KIBIBYTE = 1024
#: Bytes of a row without its message, about.
ROW_BYTES = 110


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, nargs="+", default=[0, 100, 1_000])
    parser.add_argument("--message-characters", type=int, default=20_000)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        _run(arguments.run, only_validation=arguments.short)
        return
    from local.stack import Stack

    stack = Stack(Path(tempfile.mkdtemp(prefix="quintet-memory-")))
    errors = [started.error for started in stack.up(SERVERS) if started.error]
    if errors:
        sys.exit("\n".join(errors))
    try:
        _measure(stack, arguments)
    finally:
        stack.reset()


def _measure(stack: object, arguments: argparse.Namespace) -> None:
    from samples.campaigns import Shape, write
    from tests.servers import isolated_environment

    characters = 0 if arguments.short else arguments.message_characters
    least = 0.0
    for megabytes in arguments.megabytes:
        with tempfile.TemporaryDirectory(prefix="quintet-memory-") as folder:
            home = Path(folder) / "home"
            home.mkdir()
            file = Path(folder) / "events.csv"
            rows = megabytes * MEGABYTE // (ROW_BYTES + int(0.9 * characters))
            write(file, Shape(rows=rows, message_characters=characters), seed=1)
            with isolated_environment(stack, SERVERS, home) as variables:  # type: ignore[arg-type]
                command = [sys.executable, "-m", "benchmarks.memory", "--run", str(file)]
                started = time.monotonic()
                answer = subprocess.run(
                    [*command, *(["--short"] if arguments.short else [])],
                    env={**os.environ, **variables},
                    stdout=subprocess.PIPE,
                    text=True,
                    check=True,
                )
            seconds = time.monotonic() - started
            peak = float(answer.stdout.split()[-1])
            least = least or peak
            print(
                f"{file.stat().st_size / MEGABYTE:8,.0f} MB {rows:10,} rows   peak {peak:6.0f} MiB"
                f"   over the first {peak - least:6.0f} MiB   {seconds:6.1f} s",
                flush=True,
            )


def _run(file: Path, *, only_validation: bool) -> None:
    """Land the file, run its batch as the sensor asks for it, print the peak in MiB."""
    import dagster as dg

    from assets.campaigns.pipeline import BATCHES, PIPELINE
    from assets.campaigns.source import campaigns_source
    from definitions import build_defs
    from landing.stores.gcs import GcsStore
    from landing.tick import evaluate_tick
    from resources.gcs import GcsResource
    from resources.postgres import PostgresResource
    from sensors.landing import InstanceRuns

    definitions = build_defs()
    client = GcsResource(project=os.environ["GOOGLE_CLOUD_PROJECT"]).client()
    bucket = client.bucket(os.environ["CAMPAIGNS_BUCKET"])
    bucket.blob(f"campaigns/{file.name}").upload_from_filename(str(file))
    with dg.DagsterInstance.ephemeral() as instance:
        with PostgresResource(url=os.environ["POSTGRES_URL"]).connect(autocommit=True) as ledger:
            from datetime import UTC, datetime

            tick = evaluate_tick(
                campaigns_source(bucket.name, "campaigns/"),
                GcsStore(client, bucket.name),
                ledger,
                None,
                now=lambda: datetime.now(UTC),
                deadline=time.monotonic() + 20,
                clock=time.monotonic,
                runs=InstanceRuns(instance),
            )
        (request,) = tick.requests
        instance.add_dynamic_partitions(BATCHES.name or "", [request.batch_id])
        events = [dg.AssetKey([PIPELINE, "events"])] if only_validation else None
        result = definitions.resolve_job_def(PIPELINE).execute_in_process(
            instance=instance, partition_key=request.batch_id, asset_selection=events
        )
    if not result.success:
        sys.exit("the run failed")
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIBIBYTE)


if __name__ == "__main__":
    main()
