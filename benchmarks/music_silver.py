"""What loading silver costs on top of copying the finished tables.

Generated songs, staged as Parquet, are loaded into the star schema; then the bytes of every table
that the load wrote are copied, raw, into the same tables of another database on the same server, in
one transaction. ``replace`` fills empty tables; ``upsert`` brings a batch of which half the records
are new and half replace others, and its raw COPY finds the tables without the replaced rows. Run:

    python -m benchmarks.music_silver [--songs 1000000 --upsert 100000 --repetitions 3]
        [--terms 0] [--peers] [--stack DIRECTORY]

``--peers`` brings the same rows of the same tables with dlt (merge by their keys), in a virtual
environment made for it.
Without ``--stack`` the server is started in a temporary directory and stopped at the end.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import psycopg

from assets.music import tables as music
from assets.music.registry.silver import UNKNOWN_KEY
from assets.music.silver.load import load_batch
from benchmarks.music_songs import Staged
from benchmarks.peers import interpreter
from local.stack import Stack
from tests.servers import isolated_environment, start

#: Seconds of the other over ours.
GOALS = {
    ("replace", "copy"): 0.9,
    ("upsert", "copy"): 0.5,
    ("replace", "dlt"): 1.0,
    ("upsert", "dlt"): 0.7,
}

#: In the order in which references allow them.
TABLES = (
    "song_source", "dim_artist", "dim_album", "dim_genre", "dim_date", "fact_song",
    "bridge_song_artist", "bridge_album_artist", "bridge_artist_term", "song_lyrics", "touched",
)  # fmt: skip
#: Without the members that a migrated database has from the start.
KNOWN = {
    "dim_date": "WHERE year_key <> 0",
    "dim_artist": f"WHERE artist_key <> '{UNKNOWN_KEY}'",
    "dim_album": f"WHERE album_key <> '{UNKNOWN_KEY}'",
    "dim_genre": f"WHERE genre_key <> '{UNKNOWN_KEY}'",
}
_COPY_BYTES = 1024 * 1024


# -- the peer ----------------------------------------------------------------------------------

_PACKAGES = ("dlt[postgres]", "psycopg2-binary", "pyarrow")
#: Polars' types of Postgres' own; everything else is a text to the peer.
_TYPES = {
    "bigint": pl.Int64,
    "integer": pl.Int64,
    "smallint": pl.Int64,
    "boolean": pl.Boolean,
    "double precision": pl.Float64,
    "real": pl.Float64,
}


def peer_seconds(python: Path, url: str, folders: Sequence[Path], home: Path) -> list[float]:
    """Seconds that dlt takes for the tables of each folder, one after the other."""
    keys = {table: music.TABLES[table].key for table in TABLES}
    script = Path(__file__).with_name("music_peer.py")
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "DLT_TELEMETRY": "0",
                   "RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "ERROR"}  # fmt: skip
    done = subprocess.run(
        [python, script, url, json.dumps(keys), *folders], env=environment, check=True,
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    seconds: list[float] = json.loads(done.stdout.splitlines()[-1])
    return seconds


def columns_of(conn: psycopg.Connection[Any], table: str) -> list[tuple[str, str]]:
    """The table's columns and their types, but those that the database makes of others."""
    return conn.execute(
        "SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = 'music'"
        " AND table_name = %s AND is_generated = 'NEVER' ORDER BY ordinal_position",
        (table,),
    ).fetchall()


def as_parquet(url: str, folder: Path) -> None:
    """A Parquet file beside every dumped table, with the types that the peer is to know."""
    with psycopg.connect(url) as conn:
        for table in TABLES:
            schema = {name: _TYPES.get(kind, pl.String) for name, kind in columns_of(conn, table)}
            booleans = [name for name, kind in schema.items() if kind == pl.Boolean]
            read = {name: pl.String if name in booleans else kind for name, kind in schema.items()}
            pl.scan_csv(folder / table, has_header=False, schema=read).with_columns(
                pl.col(booleans) == "t"
            ).sink_parquet(folder / f"{table}.parquet")


# -- both sides --------------------------------------------------------------------------------


def load(url: str, batch: Staged) -> float:
    """Seconds until silver has committed the batch."""
    with psycopg.connect(url) as conn:
        began = time.monotonic()
        _, found = load_batch(conn, batch)  # type: ignore[arg-type]
        seconds = time.monotonic() - began
    assert found.ok, found
    return seconds


def given(conn: psycopg.Connection[Any], table: str) -> str:
    """The columns that a COPY of the table brings."""
    return ", ".join(f'"{name}"' for name, _ in columns_of(conn, table))


def dump(url: str, folder: Path, where: Mapping[str, str]) -> int:
    """The bytes of the tables, as CSV; how many."""
    folder.mkdir()
    total = 0
    with psycopg.connect(url) as conn, conn.cursor() as cursor:
        for table in TABLES:
            path = folder / table
            query = f"SELECT {given(conn, table)} FROM music.{table} {where.get(table, '')}"
            with path.open("wb") as out, cursor.copy(f"COPY ({query}) TO STDOUT (FORMAT csv)") as c:
                for data in c:
                    out.write(data)
            total += path.stat().st_size
    return total


def copy(url: str, folder: Path) -> float:
    """Seconds until a raw COPY of the files, in one transaction, is committed."""
    with psycopg.connect(url) as conn, conn.cursor() as cursor:
        began = time.monotonic()
        for table in TABLES:
            with (
                (folder / table).open("rb") as file,
                cursor.copy(
                    f"COPY music.{table} ({given(conn, table)}) FROM STDIN (FORMAT csv)"
                ) as into,
            ):
                while data := file.read(_COPY_BYTES):
                    into.write(data)
        conn.commit()
        return time.monotonic() - began


@contextlib.contextmanager
def database(stack: Stack) -> Iterator[str]:
    """A migrated database of its own."""
    home = Path(tempfile.mkdtemp(prefix="quintet-benchmark-"))
    try:
        with isolated_environment(stack, ["postgres"], home) as variables:
            yield variables["POSTGRES_URL"]
    finally:
        shutil.rmtree(home, ignore_errors=True)


def settle(url: str) -> None:
    """Nothing that an earlier step left to the server is paid for by the next."""
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("VACUUM ANALYZE")
        conn.execute("CHECKPOINT")


@dataclass
class Sizes:
    """Songs at first, records of the batch after it, terms per artist."""

    songs: int
    upsert: int
    terms: int


def repeat(
    stack: Stack, sizes: Sizes, scratch: Path, python: Path | None
) -> dict[str, dict[str, float]]:
    """Seconds of the load (``silver``), the raw COPY (``copy``) and ``dlt``, by scenario."""
    half = sizes.upsert // 2
    everything = np.arange(sizes.songs)
    spread = np.linspace(0, sizes.songs - 1, half).astype(np.int64)  # over all artists
    fresh = np.arange(sizes.songs, sizes.songs + sizes.upsert - half)
    first = Staged.of("b1", [everything], version=1, terms=sizes.terms)
    second = Staged.of("b2", [spread, fresh], version=2, terms=sizes.terms)
    measured: dict[str, dict[str, float]] = {"replace": {}, "upsert": {}}
    with database(stack) as loaded:
        seconds = load(loaded, first)
        whole, part = scratch / "whole", scratch / "part"
        shown("replace", dump(loaded, whole, KNOWN), first.rows)
        with database(stack) as bare:
            settle(bare)
            measured["replace"] |= {"silver": seconds, "copy": copy(bare, whole)}
        settle(loaded)
        seconds = load(loaded, second)
        of_batch = {
            "song_source": "WHERE seq = 2",
            "fact_song": "WHERE base_source IN (SELECT record_key FROM music.song_source"
            " WHERE seq = 2)",
            "touched": "WHERE batch_id = 'b2'",
            "dim_date": "WHERE false",
        }
        of_songs = "WHERE song_key IN (SELECT song_key FROM music.song_source WHERE seq = 2)"
        of_batch |= {"bridge_song_artist": of_songs, "song_lyrics": of_songs}
        last = sizes.songs // 22
        artist = f"artist_key > 'AR{last:014d}'"
        of_batch["dim_artist"] = f"{KNOWN['dim_artist']} AND {artist}"
        of_batch["bridge_artist_term"] = f"WHERE {artist}"
        album = (
            "WHERE CASE WHEN starts_with(album_key, 'r-')"
            f" THEN substr(album_key, 3)::bigint > {(sizes.songs - 1) // 8 + 1} END"
        )
        of_batch["dim_album"] = of_batch["bridge_album_artist"] = album
        of_batch["dim_genre"] = "WHERE false"
        shown("upsert", dump(loaded, part, of_batch), second.rows)
        with database(stack) as bare:
            load(bare, first)
            with psycopg.connect(bare) as conn:
                keys = [f"hdf5:TR{number:014d}" for number in spread]
                for table, name in (("fact_song", "base_source"), ("song_source", "record_key")):
                    conn.execute(f"DELETE FROM music.{table} WHERE {name} = ANY (%s)", (keys,))
            settle(bare)
            measured["upsert"] |= {"silver": seconds, "copy": copy(bare, part)}
    if python:
        with database(stack) as other:
            as_parquet(other, whole)
            as_parquet(other, part)
            settle(other)
            found = peer_seconds(python, other, [whole, part], scratch)
        for scenario, seconds in zip(measured, found, strict=True):
            measured[scenario]["dlt"] = seconds
    shutil.rmtree(whole)
    shutil.rmtree(part)
    return measured


def shown(scenario: str, size: int, rows: int) -> None:
    print(f"  {scenario}: {rows:,} records, {size / 1e6:.1f} MB in the tables", flush=True)


def report(repetitions: Sequence[Mapping[str, Mapping[str, float]]], sizes: Sizes) -> None:
    """Medians, and the medians of the ratios within the repetitions."""
    for scenario, rows in (("replace", sizes.songs), ("upsert", sizes.upsert)):
        measured = [one[scenario] for one in repetitions]
        ours = statistics.median(one["silver"] for one in measured)
        print(f"{scenario}: silver {ours:.1f} s, {rows / ours:,.0f} records/s")
        for other in list(measured[0])[1:]:
            seconds = statistics.median(one[other] for one in measured)
            ratio = statistics.median(one[other] / one["silver"] for one in measured)
            goal = f"  (goal ≥ {goals}x)" if (goals := GOALS.get((scenario, other))) else ""
            print(f"    {other:8} {seconds:7.1f} s   {ratio:5.2f}x{goal}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--songs", type=int, default=1_000_000)
    parser.add_argument("--upsert", type=int, default=100_000)
    parser.add_argument("--terms", type=int, default=0)
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--stack", type=Path, help="a state directory; left running")
    arguments = parser.parse_args()
    sizes = Sizes(arguments.songs, arguments.upsert, arguments.terms)
    scratch = Path(tempfile.mkdtemp(prefix="quintet-benchmark-"))
    scratch.chmod(0o755)  # Postgres may run as another user
    stack = Stack(arguments.stack or scratch / "stack")
    try:
        start(stack, ["postgres"])
        python = interpreter(scratch / "peers", *_PACKAGES) if arguments.peers else None
        report([repeat(stack, sizes, scratch, python) for _ in range(arguments.repetitions)], sizes)
    finally:
        if not arguments.stack:
            stack.reset()
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
