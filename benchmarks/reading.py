"""The reading stream: seconds to queryable, draining a backlog, memory with a large one.

    python -m benchmarks.reading [latency] [drain] [memory] [beam] [--stack DIRECTORY]

- latency: 1,000 messages published at once, from the moment that the publisher has all their ids
  until a query of ``user_interaction`` counts all 1,000; a query every 30 ms, 20 rounds. Then the
  same through Google's Pub/Sub emulator, where it is installed.
- drain: 100,000 messages that wait (5% duplicates under other ids, 5% days late, 0.1% poison), from
  the start of a session until the last is acknowledged, against a loop that pulls with the same
  client, reads the JSON, appends to the same table and acknowledges: no MERGE, nothing unique, no
  dead letters. In turn, the median of each.
- beam: fewer such messages, through a session and through apache-beam's DirectRunner, which is
  installed into an environment of its own and left out where it cannot be.
- memory: peak of a session's process with 1,000,000 messages waiting, less that of one with none.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
import queue
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from assets.reading.stream import writing
from assets.reading.stream.append import RowAppender, microseconds, row_class
from assets.reading.stream.serving import StreamLimits
from assets.reading.tables import INTERACTIONS_RAW, warehouse_of
from benchmarks.peers import interpreter
from local.stack import Stack
from tests.pubsub_servers import google_emulator, on_google_emulator
from tests.reading_stream import Event, Systems, payload, session
from tests.servers import isolated_environment, start

SERVICES = ["postgres", "bigquery", "pubsub"]
ROUNDS, BURST, POLL_SECONDS = 20, 1_000, 0.03
DRAINED, DRAIN_ROUNDS = 100_000, 3
DRAINED_BY_BEAM = 5_000
BACKLOG = 1_000_000
LATENCY_GOAL, GOOGLE_LATENCY_GOAL, DRAIN_GOAL, MEMORY_GOAL = 1.0, 2.0, 0.7, 250
BEAM = "apache-beam[gcp]==2.77.0"

LIMITS = StreamLimits(merge_milliseconds=0)


@contextlib.contextmanager
def systems(stack: Stack, google: str | None = None) -> Iterator[Systems]:
    """Topics, subscriptions, a dataset and a database of its own; ``google``: its emulator."""
    with (
        tempfile.TemporaryDirectory() as home,
        isolated_environment(stack, SERVICES, Path(home)) as env,
        on_google_emulator(env, google) if google else contextlib.nullcontext(env) as variables,
    ):
        found = Systems.of(variables)
        with found.bigquery.client() as client:
            warehouse_of(client, found.reading.dataset).ensure()
        yield found


def events(count: int, seed: int, *, late: float = 0.0) -> list[Event]:
    """Distinct events of today, some of them of the month before."""
    numbers = random.Random(seed)
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return [
        (
            numbers.randrange(2**40),
            seed * 10_000_000 + n,
            numbers.randrange(2_000) / 10,
            today
            - timedelta(days=numbers.randrange(1, 30) if numbers.random() < late else 0)
            + timedelta(microseconds=n),
        )
        for n in range(count)
    ]


def messages(count: int, seed: int) -> tuple[list[str], int]:
    """The payloads of the drain, and how many distinct events they hold."""
    numbers = random.Random(seed)
    poison, again = count // 1_000, count // 20
    distinct = events(count - poison - again, seed, late=0.05)
    payloads = [payload(event) for event in distinct]
    payloads += numbers.choices(payloads, k=again)
    payloads += ['{"user_id": "nobody"}'] * poison
    numbers.shuffle(payloads)
    return payloads, len(distinct)


def latency(stack: Stack) -> None:
    """Through our server, then through Google's."""
    _latency(stack, "latency", LATENCY_GOAL)
    google = google_emulator()
    if google is None:
        print("latency: Google's Pub/Sub emulator is not installed")
    else:
        _latency(stack, "latency, Google's emulator", GOOGLE_LATENCY_GOAL, google)


def _latency(stack: Stack, name: str, goal: float, google: str | None = None) -> None:
    """Publish, then ask until everything is there."""
    seconds = []
    with (
        systems(stack, google) as found,
        session(found, limits=LIMITS),
        found.bigquery.client() as client,
    ):
        table = f"{found.reading.dataset}.user_interaction"
        for number in range(ROUNDS + 1):
            made = events(BURST, number + 1)
            first = made[0][1]
            counting = (
                f"SELECT COUNT(*) AS n FROM {table} "
                f"WHERE content_id BETWEEN {first} AND {first + BURST}"
            )
            found.publish(found.reading.interaction_topic, map(payload, made))
            began = time.perf_counter()
            while next(iter(client.query_and_wait(counting))).n < BURST:
                time.sleep(POLL_SECONDS)
            if number:  # the first round opens connections
                seconds.append(time.perf_counter() - began)
            time.sleep(0.3)
    seconds.sort()
    p95 = seconds[int(0.95 * len(seconds)) - 1]
    print(
        f"{name}: {BURST} messages, {ROUNDS} rounds: p50 {statistics.median(seconds):.2f} s, "
        f"p95 {p95:.2f} s, max {seconds[-1]:.2f} s (goal: p95 ≤ {goal} s)"
    )


def drain(stack: Stack) -> None:
    """A session and the bare loop, in turn."""
    taken: dict[str, list[float]] = {"bare": [], "session": []}
    for number in range(DRAIN_ROUNDS):
        for name, run in (("bare", bare_loop), ("session", whole_session)):
            with systems(stack) as found:
                payloads, distinct = messages(DRAINED, number + 1)
                found.publish(found.reading.interaction_topic, payloads)
                seconds = run(found, len(payloads))
                taken[name].append(seconds)
                if name == "session":
                    rows = found.query("SELECT COUNT(*) FROM {d}.user_interaction")[0][0]
                    assert rows == distinct, f"{rows} rows of {distinct} events"
                print(f"drain: {name} {DRAINED / seconds:,.0f} messages/s", flush=True)
    ratio = statistics.median(taken["bare"]) / statistics.median(taken["session"])
    print(f"drain: {ratio:.2f}x of the bare loop (goal: ≥ {DRAIN_GOAL}x)")


def beam(stack: Stack) -> None:
    """A session and apache-beam, in turn."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            python = interpreter(Path(folder) / "venv", BEAM)
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"beam: not measured, {BEAM} cannot be installed: {error}")
            return
        taken: dict[str, list[float]] = {"beam": [], "session": []}
        runs: dict[str, Callable[[Systems, int], float]] = {
            "beam": functools.partial(_beam, python),
            "session": whole_session,
        }
        for number in range(DRAIN_ROUNDS):
            for name, run in runs.items():
                with systems(stack) as found:
                    payloads, _ = messages(DRAINED_BY_BEAM, number + 1)
                    found.publish(found.reading.interaction_topic, payloads)
                    taken[name].append(run(found, len(payloads)))
                print(
                    f"beam: {name} {DRAINED_BY_BEAM / taken[name][-1]:,.0f} messages/s", flush=True
                )
    ratio = statistics.median(taken["beam"]) / statistics.median(taken["session"])
    print(f"beam: {ratio:.2f}x of apache-beam's DirectRunner, {DRAINED_BY_BEAM:,} messages")


def _beam(python: Path, found: Systems, count: int) -> float:
    script = Path(__file__).with_name("reading_beam.py")
    subscription = found.pubsub.subscription_path(found.reading.interaction_subscription)
    done = subprocess.run(
        [python, script, subscription, f"{found.reading.dataset}.{INTERACTIONS_RAW}", str(count)],
        env=found.env(),
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return float(done.stdout.splitlines()[-1])


def whole_session(found: Systems, count: int) -> float:
    """Seconds until a session has acknowledged ``count`` deliveries."""
    done, acknowledged = threading.Event(), 0
    original = writing.acknowledge

    def counting(writer: Any, batch: Any) -> None:
        nonlocal acknowledged
        deliveries = len(batch.open())
        original(writer, batch)
        acknowledged += deliveries
        if acknowledged >= count:
            done.set()

    writing.acknowledge = counting
    try:
        began = time.perf_counter()
        with session(found, limits=LIMITS) as running:
            while not done.wait(1.0):
                assert not running.errors, running.errors
            return time.perf_counter() - began
    finally:
        writing.acknowledge = original


def bare_loop(found: Systems, count: int) -> float:
    """Seconds until ``count`` deliveries are appended, where they can be read, and acknowledged."""
    from google.cloud.pubsub_v1.types import FlowControl

    arrived: queue.SimpleQueue[Any] = queue.SimpleQueue()
    row = row_class(INTERACTIONS_RAW)
    began = time.perf_counter()
    with (
        found.bigquery.client() as client,
        found.bigquery_write.client() as write_client,
        found.pubsub.subscriber() as subscriber,
    ):
        table = warehouse_of(client, found.reading.dataset).table(INTERACTIONS_RAW.name)
        appender = RowAppender(write_client, table, row)
        pulling = subscriber.subscribe(
            found.pubsub.subscription_path(found.reading.interaction_subscription),
            callback=arrived.put,
            flow_control=FlowControl(max_messages=LIMITS.max_outstanding_messages),
        )
        while count > 0:
            batch = [arrived.get()]
            closes_at = time.monotonic() + LIMITS.batch_milliseconds / 1000
            while len(batch) < LIMITS.batch_rows and (left := closes_at - time.monotonic()) > 0:
                with contextlib.suppress(queue.Empty):
                    batch.append(arrived.get(timeout=left))
            appender.append(_bare_rows(batch, row))
            for message in batch:
                message.ack()
            count -= len(batch)
        seconds = time.perf_counter() - began
        pulling.cancel()
        pulling.result(timeout=30)
        appender.close()
    return seconds


def _bare_rows(batch: list[Any], row: Callable[..., Any]) -> list[bytes]:
    now = microseconds(datetime.now(UTC))
    rows = []
    for message in batch:
        event = json.loads(message.data)
        if "updated_at" not in event:
            continue
        at = datetime.fromisoformat(event["updated_at"]).replace(tzinfo=UTC)
        rows.append(
            row(
                message_id=message.message_id,
                publish_time=microseconds(message.publish_time),
                user_id=event["user_id"],
                content_id=event["content_id"],
                read_percent=event["read_percent"],
                updated_at=microseconds(at),
                session_id="bare",
                micro_batch="bare",
                appended_at=now,
            ).SerializeToString()
        )
    return rows


def memory(stack: Stack) -> None:
    """Peaks of two processes, each a session for half a minute."""
    peaks = []
    for count in (0, BACKLOG):
        with systems(stack) as found:
            for start_at in range(0, count, DRAINED):
                payloads, _ = messages(DRAINED, start_at // DRAINED + 1)
                found.publish(found.reading.interaction_topic, payloads)
            peaks.append(_peak_of_session(found))
    above = peaks[1] - peaks[0]
    print(
        f"memory: {peaks[0]:.0f} MB idle, {peaks[1]:.0f} MB with {BACKLOG:,} messages waiting: "
        f"{above:.0f} MB (goal: ≤ {MEMORY_GOAL} MB)"
    )


def _peak_of_session(found: Systems) -> float:
    command = [sys.executable, "-m", "benchmarks.reading", "session"]
    printed = subprocess.run(
        command, env=found.env(), capture_output=True, text=True, check=True
    ).stdout
    peak, accepted = map(float, printed.split())
    print(f"memory: peak {peak:.0f} MB, {accepted:,.0f} messages accepted", flush=True)
    return peak


def one_session(seconds: float = 30.0) -> None:
    """Serve with the variables' systems; print the peak in MB, and the messages accepted."""
    found = Systems.of(os.environ)
    report = found.serve(stopping=threading.Event(), seconds=seconds, limits=LIMITS)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(peak, sum(one.accepted for one in report.streams))


def main() -> None:
    """Run what is asked for."""
    measures = {"latency": latency, "drain": drain, "memory": memory, "beam": beam}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="*", default=list(measures), help=" ".join(measures))
    parser.add_argument("--stack", type=Path, help="state directory of a running stack")
    arguments = parser.parse_args()
    if arguments.what == ["session"]:
        one_session()
        return
    root = arguments.stack or Path(tempfile.mkdtemp(prefix="quintet-benchmark-"))
    stack = Stack(root)
    try:
        start(stack, SERVICES)
        for name in arguments.what:
            measures[name](stack)
    finally:
        if arguments.stack is None:
            stack.reset()
            shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()
