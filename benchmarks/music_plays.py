"""What loading a file of plays costs on top of copying it raw, and the memory that it takes.

A generated file of the taste profile's shape is loaded from the raw bucket: validated and archived
by bronze, then written by the sink, by a process of its own. Raw COPY brings the same file, as it
lies, into a table of the same columns, once without any index and once with the same indexes.
Memory is the largest resident set less that of a file of one line. Run:

    python -m benchmarks.music_plays [--rows 1000000] [--repetitions 1] [--stack DIRECTORY]
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from assets.music.bronze.archive import Archive
from assets.music.bronze.copies import copies_in
from assets.music.bronze.validation import validate_batch
from assets.music.gold.replacement import replace
from assets.music.gold.targets import TARGETS
from assets.music.pipeline import MUSIC
from assets.music.plays.load import load_batch
from landing.arrival import arrivals
from landing.batch.delivery import deliver
from landing.stores.minio import MinioStore
from local.stack import Stack
from resources.minio import MinioResource
from resources.postgres import PostgresResource
from tests.servers import isolated_environment, start

#: Seconds of raw COPY into a table of the same indexes over those of the sink.
GOAL = 0.3
_SONGS = 384_546
_PER_USER = 47
_COPY_BYTES = 1024 * 1024


def write(path: Path, rows: int) -> None:
    """A file of so many lines: users one after the other, songs the more the lower their number."""
    rng = random.Random(rows)
    with path.open("w", encoding="ascii") as file:
        for first in range(0, rows, _PER_USER):
            digest = hashlib.sha1(str(first).encode(), usedforsecurity=False).hexdigest()
            songs: set[int] = set()
            while len(songs) < min(_PER_USER, rows - first):
                songs.add(int(_SONGS * rng.random() ** 3))
            file.writelines(
                f"{digest}\tSO{number:016d}\t{rng.choice((1, 1, 1, 2, 5))}\n"
                for number in sorted(songs)
            )


def load(path: Path) -> tuple[float, float, float]:
    """Seconds of bronze, of the sink and of gold, of a file that is put into the raw bucket."""
    env = os.environ
    client = MinioResource(
        endpoint=env["MINIO_ENDPOINT"],
        access_key=env["MINIO_ACCESS_KEY"],
        secret_key=env["MINIO_SECRET_KEY"],
    ).client()
    raw, processed, quarantine = (
        MinioStore(client, env[f"MUSIC_{name}_BUCKET"])
        for name in ("RAW", "PROCESSED", "QUARANTINE")
    )
    pg = PostgresResource(url=env["POSTGRES_URL"])
    source, now = MUSIC.source(raw.bucket, ""), datetime.now(UTC)
    with path.open("rb") as stream:
        version = raw.put("train_triplets.txt", stream)
    with pg.connect() as conn:
        arrivals.record_versions(conn, source.name, [version], now)
        batch = arrivals.create_batch(conn, source, arrivals.unassigned(conn, source, 10), now)
    began = time.monotonic()
    log = logging.getLogger("benchmark")
    validate_batch(pg, raw, processed, quarantine, batch_id=batch, run_id="run", log=log)
    validated = time.monotonic()
    archive = Archive(raw, processed, copies_in(pg, raw.bucket))
    with (
        deliver(
            pg, processed, pipeline="music", batch_id=batch, sink="fact_play", run_id="run"
        ) as delivery,
        pg.connect() as conn,
    ):
        _, found = load_batch(conn, delivery, archive.open)
        if not found.ok:
            raise SystemExit(found.problem("fact_play"))
    written = time.monotonic()
    for name in ("song_plays", "artist_plays"):
        with pg.connect() as conn:
            replace(conn, TARGETS[name], batch)
    return validated - began, written - validated, time.monotonic() - written


def copy(url: str, path: Path, *, indexed: bool) -> float:
    """Seconds of a raw COPY of the file."""
    with psycopg.connect(url) as conn:
        conn.execute(
            "DROP TABLE IF EXISTS public.raw_play;"
            ' CREATE TABLE public.raw_play (user_id text COLLATE "C" NOT NULL,'
            ' song_id text COLLATE "C" NOT NULL, plays integer NOT NULL,'
            " file_id integer NOT NULL DEFAULT 1)"
        )
        if indexed:
            conn.execute("ALTER TABLE public.raw_play ADD PRIMARY KEY (user_id, song_id, file_id)")
            conn.execute("CREATE INDEX ON public.raw_play (song_id)")
            conn.execute("CREATE INDEX ON public.raw_play USING brin (file_id)")
        conn.commit()
        began = time.monotonic()
        statement = "COPY public.raw_play (user_id, song_id, plays) FROM STDIN"
        with conn.cursor() as cursor, cursor.copy(statement) as to, path.open("rb") as file:
            while data := file.read(_COPY_BYTES):
                to.write(data)
        conn.commit()
        return time.monotonic() - began


def _loads(stack: Stack, path: Path) -> Iterator[float]:
    """Of a process of its own seconds of bronze, sink and gold, and its peak in MiB; both COPYs."""
    home = Path(tempfile.mkdtemp(prefix="home-", dir=path.parent))
    with isolated_environment(stack, ["postgres", "s3"], home) as env:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.music_plays", "--load", str(path)],
            check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, **env},
        )  # fmt: skip
        yield from map(float, done.stdout.split())
        yield copy(env["POSTGRES_URL"], path, indexed=False)
        yield copy(env["POSTGRES_URL"], path, indexed=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repetitions", type=int, default=1)
    parser.add_argument("--stack", type=Path, help="a state directory; left running")
    parser.add_argument("--load", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.load:
        print(*load(arguments.load), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    scratch = Path(tempfile.mkdtemp(prefix="quintet-benchmark-"))
    scratch.chmod(0o755)  # Postgres may run as another user
    stack = Stack(arguments.stack or scratch / "stack")
    try:
        start(stack, ["postgres", "s3"])
        one, many = scratch / "one.txt", scratch / "many.txt"
        write(one, 1)
        write(many, arguments.rows)
        *_, least, _, _ = _loads(stack, one)
        for _ in range(arguments.repetitions):
            bronze, sink, gold, peak, bare, indexed = _loads(stack, many)
            print(
                f"{arguments.rows:,} rows: bronze {bronze:.1f} s, fact_play {sink:.1f} s"
                f" ({arguments.rows / sink:,.0f} rows/s), gold {gold:.1f} s;"
                f" raw COPY with the same indexes {indexed:.1f} s, {indexed / sink:.2f}x"
                f" (goal >= {GOAL}x), {indexed / (bronze + sink):.2f}x with bronze;"
                f" without indexes {bare:.1f} s, {bare / sink:.2f}x;"
                f" peak {peak:.0f} MiB ({peak - least:+.0f})",
                flush=True,
            )
    finally:
        if not arguments.stack:
            stack.reset()
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
