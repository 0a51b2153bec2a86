"""dlt merging the tables of silver, for ``benchmarks.music_silver``; run in a venv of its own.

    python music_peer.py URL KEYS FOLDER [FOLDER ...]

A folder holds a Parquet file of each table's rows; KEYS is a JSON object of their primary keys.
The first folder is for empty tables, which get their keys after it; the others merge into them.
Prints the seconds of each folder as a JSON array. Imports nothing of the repository: its
environment is not this one's.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import dlt
import psycopg2
import pyarrow.parquet as pq

_DATASET = "peer_dlt"
_ROWS = 50_000


def _table(file: Path, key: Sequence[str], name: str) -> Any:
    def batches() -> Iterator[Any]:
        with pq.ParquetFile(file) as reader:
            yield from reader.iter_batches(_ROWS)

    return dlt.resource(
        batches,
        name=name,
        primary_key=list(key),
        write_disposition={"disposition": "merge", "strategy": "upsert"},
    )


def merge(url: str, keys: Mapping[str, Sequence[str]], folders: Sequence[Path]) -> list[float]:
    """Seconds of each folder, from its files until dlt has committed them."""
    seconds = []
    with tempfile.TemporaryDirectory() as home:
        pipeline = dlt.pipeline(
            "peer",
            pipelines_dir=home,
            destination=dlt.destinations.postgres(url),
            dataset_name=_DATASET,
        )
        for number, folder in enumerate(folders):
            began = time.monotonic()
            tables = [
                _table(file, keys[name], name)
                for name in keys
                if pq.read_metadata(file := folder / f"{name}.parquet").num_rows
            ]
            pipeline.run(tables, loader_file_format="csv").raise_on_failed_jobs()
            if number == 0:
                _add_keys(url, keys)
            seconds.append(time.monotonic() - began)
    return seconds


def _add_keys(url: str, keys: Mapping[str, Sequence[str]]) -> None:
    with psycopg2.connect(url) as conn, conn.cursor() as cursor:
        for name, key in keys.items():
            cursor.execute("SELECT to_regclass(%s)", (f"{_DATASET}.{name}",))
            if cursor.fetchone()[0]:
                columns = ", ".join(f'"{one}"' for one in key)
                cursor.execute(f'ALTER TABLE {_DATASET}."{name}" ADD PRIMARY KEY ({columns})')


if __name__ == "__main__":
    print(json.dumps(merge(sys.argv[1], json.loads(sys.argv[2]), [Path(p) for p in sys.argv[3:]])))
