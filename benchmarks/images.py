"""Images through a whole task, next to bare loops of Pillow over the same store.

Generated photos of 1800x2400 are cropped at random and made 256x256 by a task (manifest, workers,
outcomes in Postgres, metadata and result on the store), by as many bare processes with the same
decoding over the same store and over local files, by the plain decode, crop, resize, encode, and by
one Celery task an image on RabbitMQ. Then small images (the real ones of $QUINTET_DATA_DIR, if
there are), the memory of parent and workers by the number of items, and the bookkeeping of a
million items whose images are a constant. Run:

    python -m benchmarks.images [--images 5000 --distinct 200 --rounds 2 --workers 2]
"""

from __future__ import annotations

import argparse
import io
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import psutil

from assets.images.processing.engine import process
from assets.images.processing.operation import Item, Limits, Operation
from assets.images.processing.store import ObjectStore
from benchmarks import images_celery
from benchmarks.images_task import Tasks
from local.services.s3 import create_bucket
from local.stack import Stack
from resources.minio_client import Access
from samples.photos import photo
from tests.rabbitmq import running
from tests.servers import start

SOURCE, TARGET = "benchmark-images", "benchmark-results"
LIMITS = Limits(most_pixels=100_000_000, most_bytes=64 << 20, seconds=30.0)
OPERATION = Operation(crop=0.8, width=256, height=256, quality=90)


@dataclass(frozen=True)
class Place:
    """What a row works with. ``keys`` are of the photos, ``small`` of the small images."""

    access: Access
    directory: Path
    workers: int
    keys: list[str]
    small: list[str]
    tasks: Tasks
    celery: Mapping[str, str]


@dataclass
class Measured:
    """Seconds of each round, and CPU seconds of this process and those it started."""

    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def rate(self, count: int) -> float:
        """Images a second, in the median round."""
        return count / statistics.median(self.seconds)


def ours(place: Place) -> None:
    place.tasks.run(len(place.keys))


def engine(place: Place) -> None:
    run(place, place.keys, OPERATION)


def celery_each(place: Place) -> None:
    images_celery.send(dict(place.celery), uuid.uuid4().hex, place.keys)


def bare_store(place: Place) -> None:
    bare(place, "store")


def bare_files(place: Place) -> None:
    bare(place, "files")


def naive(place: Place) -> None:
    bare(place, "naive")


#: What is measured over the photos, in turn; with the goal of ours against it.
ROWS: dict[str, tuple[Callable[[Place], None], float | None]] = {
    "ours": (ours, None),
    "its engine alone": (engine, None),
    "bare processes, same store": (bare_store, 1.0),
    "bare processes, local files": (bare_files, 0.85),
    "decode, crop, resize, encode": (naive, 2.2),
    "one Celery task an image": (celery_each, 2.0),
}
WORKER = "assets.images.processing.worker"
SMALL_GOAL, MEMORY_GOAL = 400.0, 1.1


def run(place: Place, keys: Iterable[str], operation: Operation) -> None:
    """By our engine. Raises AssertionError unless each is ok."""
    items = (Item(n, n, key, f"{key}.jpg") for n, key in enumerate(keys))
    outcomes = process(
        items, operation, LIMITS, source=SOURCE, target=TARGET, access=place.access,
        workers=place.workers,
    )  # fmt: skip
    counts = Counter(outcome.status for outcome in outcomes)
    assert counts.keys() <= {"ok"}, counts


def bare(place: Place, kind: str) -> None:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        "AWS_ACCESS_KEY_ID": place.access.access_key,
        "AWS_SECRET_ACCESS_KEY": place.access.secret_key,
    }
    arguments = [str(place.workers), str(place.directory), place.access.endpoint, SOURCE, TARGET]
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.images_bare", kind, str(part), *arguments],
            env=environment,
        )
        for part in range(place.workers)
    ]
    codes = [process.wait() for process in processes]
    assert not any(codes), codes


def encoded(number: int, width: int, height: int) -> bytes:
    out = io.BytesIO()
    photo(number, width, height).save(out, "JPEG", quality=90)
    return out.getvalue()


def small_images() -> list[bytes]:
    """The real ones where they are, else as many of their size."""
    folder = os.environ.get("QUINTET_DATA_DIR")
    real = sorted((Path(folder) / "products" / "images").glob("*.jpg")) if folder else []
    if real:
        return [path.read_bytes() for path in real]
    return [encoded(number, 60, 80) for number in range(500)]


def prepared(stack: Stack, directory: Path, given: argparse.Namespace, broker_url: str) -> Place:
    """The images in the store, and the photos as files too."""
    for name in (SOURCE, TARGET):
        create_bucket(stack.place(), name)
    variables = stack.services["s3"].variables(stack.place())
    access = Access(*(variables[f"MINIO_{n}"] for n in ("ENDPOINT", "ACCESS_KEY", "SECRET_KEY")))
    store = ObjectStore(access, SOURCE, patience=30)
    for name in ("in", "out"):
        (directory / name).mkdir()
    distinct = min(given.distinct, given.images)
    keys = [f"photo-{number:06}" for number in range(given.images)]
    with ProcessPoolExecutor(given.workers) as pool:
        made = list(pool.map(encoded, range(distinct), [1800] * distinct, [2400] * distinct))
    for number, key in enumerate(keys):
        data = made[number % distinct]
        store.put(key, data, "image/jpeg")
        (directory / "in" / key).write_bytes(data)
    (directory / "keys").write_text("\n".join(keys))
    size = sum(map(len, made)) / len(made)
    print(f"{len(keys)} photos ({distinct} distinct) of {size / 1e3:.0f} kB", flush=True)
    small = small_images()
    for number, data in enumerate(small):
        store.put(f"small-{number}", data, "image/jpeg")
    url = stack.services["postgres"].variables(stack.place())["POSTGRES_URL"]
    tasks = Tasks(url, access, SOURCE, TARGET, LIMITS, given.workers)
    tasks.prepare(keys)
    broker = images_celery.environment(broker_url, url, access, (SOURCE, TARGET))
    names = [f"small-{number}" for number in range(len(small))]
    return Place(access, directory, given.workers, keys, names, tasks, broker)


def cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def measure(place: Place, rounds: int) -> dict[str, Measured]:
    """All rows in turn, each round beginning with another, so that none has the quiet times."""
    measured = {name: Measured() for name in ROWS}
    names = list(ROWS)
    for number in range(rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            before, started = cpu(), time.monotonic()
            ROWS[name][0](place)
            measured[name].seconds.append(time.monotonic() - started)
            measured[name].cpu.append(cpu() - before)
    return measured


def report(measured: dict[str, Measured], count: int) -> None:
    mine = measured["ours"].rate(count)
    for name, one in measured.items():
        goal = ROWS[name][1]
        against = f"ours {mine / one.rate(count):.2f}x (goal ≥ {goal}x)" if goal else ""
        rounds = ", ".join(f"{count / seconds:.1f}" for seconds in one.seconds)
        cost = 1e3 * statistics.median(one.cpu) / count
        print(f"{name:30} {one.rate(count):7.1f}/s ({rounds}) {cost:5.1f} CPU-ms  {against}")


def small(place: Place, at_least: int) -> None:
    """The small images, again and again until there are ``at_least``."""
    keys = place.small * -(-at_least // len(place.small))
    place.tasks.prepare(keys)
    before, started = cpu(), time.monotonic()
    place.tasks.run(len(keys), size=64)
    rate = len(keys) / (time.monotonic() - started)
    cost = 1e3 * (cpu() - before) / len(keys)
    goal = f"goal ≥ {SMALL_GOAL:.0f}/s"
    print(f"{len(keys)} small images: {rate:.0f}/s ({goal}), {cost:.2f} CPU-ms", flush=True)


@contextmanager
def watched() -> Iterator[list[tuple[int, int]]]:
    """Resident bytes of this process and of its workers, a few times a second."""
    seen: list[tuple[int, int]] = []
    over = threading.Event()
    me = psutil.Process()

    def watch() -> None:
        while not over.wait(0.1):
            children = 0
            for child in me.children():
                try:
                    if WORKER in child.cmdline():
                        children += child.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            seen.append((me.memory_info().rss, children))

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield seen
    finally:
        over.set()
        watching.join()


def memory(place: Place, counts: Sequence[int]) -> None:
    """Peaks by the number of items, of small images so that 20,000 take less than a minute."""
    peaks = []
    for count in counts:
        repeated = (place.small[n % len(place.small)] for n in range(count))
        with watched() as seen:
            place.tasks.prepare(list(islice(repeated, count)))
            place.tasks.run(count, size=64)
        parent, children = (max(values) for values in zip(*seen, strict=True))
        peaks.append(parent + children)
        print(
            f"{count} items: parent {parent / 1e6:.0f} MB (all that the benchmark imports),"
            f" {place.workers} workers {children / 1e6:.0f} MB",
            flush=True,
        )
    ratio = peaks[-1] / peaks[0]
    print(f"{counts[-1]} against {counts[0]} items: {ratio:.3f}x (goal ≤ {MEMORY_GOAL}x)")


def books(place: Place, items: int) -> None:
    """A million items, of which only the rows are real."""
    with watched() as seen:
        seconds = place.tasks.keep_books(items)
    told = ", ".join(f"{name} {one:.0f} s" for name, one in seconds.items())
    peak = max(parent for parent, _ in seen) / 1e6
    rate = items / sum(seconds.values())
    print(f"bookkeeping of {items} items: {told}; {rate:.0f}/s, {peak:.0f} MB", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=5_000)
    parser.add_argument("--distinct", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--small", type=int, default=4_000, help="small images, at least")
    parser.add_argument("--memory", type=int, nargs="+", default=[1_000, 20_000])
    parser.add_argument("--books", type=int, default=1_000_000)
    parser.add_argument("--stack", type=Path, help="a state directory; left running")
    given = parser.parse_args(arguments)
    scratch = Path(tempfile.mkdtemp(prefix="quintet-images-"))
    stack = Stack(given.stack or scratch / "stack")
    try:
        start(stack, ["s3", "postgres"])
        load = os.getloadavg()[0]
        print(f"{os.cpu_count()} cores, load {load:.1f}, {datetime.now(UTC):%Y-%m-%d}")
        with running(scratch / "rabbitmq") as broker:
            place = prepared(stack, scratch, given, broker.url)
            worker = images_celery.start_worker(dict(place.celery), given.workers)
            try:
                report(measure(place, given.rounds), len(place.keys))
            finally:
                worker.terminate()
                worker.wait()
        small(place, given.small)
        memory(place, given.memory)
        books(place, given.books)
    finally:
        if given.stack is None:
            stack.reset()
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
