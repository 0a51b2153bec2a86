"""Other loaders of the same records, for ``benchmarks.music_silver``; run in a venv of their own.

    python music_peers.py dlt|to_sql URL FILE.parquet [FILE.parquet ...]

The files hold flat records (lists as JSON text), the first for an empty table, the others for
batches after it. They fill one table, ``song_source``, where silver fills eleven. Prints the
seconds of each file as a JSON array. Imports nothing of the repository: its environment is not
this one's.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_CHUNK = 10_000
_KEY = "record_key"
_TABLE = "song_source"


def dlt_merge(url: str, files: list[Path]) -> list[float]:
    """Arrow tables through dlt, as CSV, merged by key."""
    import dlt
    import pyarrow.parquet as pq

    def run(pipeline: Any, file: Path) -> float:
        def tables() -> Iterator[Any]:
            with pq.ParquetFile(file) as reader:
                yield from reader.iter_batches(_CHUNK)

        resource = dlt.resource(tables, name=_TABLE, primary_key=_KEY, write_disposition="merge")
        began = time.monotonic()
        pipeline.run(resource, loader_file_format="csv").raise_on_failed_jobs()
        return time.monotonic() - began

    with tempfile.TemporaryDirectory() as folder:
        pipeline = dlt.pipeline(
            "peer",
            pipelines_dir=folder,
            destination=dlt.destinations.postgres(url),
            dataset_name="peer_dlt",
        )
        return [run(pipeline, file) for file in files]


def to_sql(url: str, files: list[Path]) -> list[float]:
    """pandas: to_sql into the empty table; into a staging table, then ON CONFLICT, after that."""
    import pandas as pd
    import pyarrow.parquet as pq
    import sqlalchemy as sa

    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg2://", 1))

    def write(conn: Any, file: Path, table: str) -> list[str]:
        columns: list[str] = []
        with pq.ParquetFile(file) as reader:
            for batch in reader.iter_batches(_CHUNK):
                frame: pd.DataFrame = batch.to_pandas()
                columns = list(frame.columns)
                frame.to_sql(table, conn, schema="peer_sql", if_exists="append", index=False)
        return columns

    def run(number: int, file: Path) -> float:
        began = time.monotonic()
        with engine.begin() as conn:
            if number == 0:
                conn.execute(sa.text("CREATE SCHEMA peer_sql"))
                write(conn, file, _TABLE)
                conn.execute(sa.text(f"ALTER TABLE peer_sql.{_TABLE} ADD PRIMARY KEY ({_KEY})"))
            else:
                columns = write(conn, file, "staging")
                listed = ", ".join(f'"{name}"' for name in columns)
                updates = ", ".join(f'"{name}" = excluded."{name}"' for name in columns)
                conn.execute(
                    sa.text(
                        f"INSERT INTO peer_sql.{_TABLE} ({listed}) SELECT {listed}"
                        f" FROM peer_sql.staging ON CONFLICT ({_KEY}) DO UPDATE SET {updates}"
                    )
                )
                conn.execute(sa.text("DROP TABLE peer_sql.staging"))
        return time.monotonic() - began

    return [run(number, file) for number, file in enumerate(files)]


if __name__ == "__main__":
    peer = {"dlt": dlt_merge, "to_sql": to_sql}[sys.argv[1]]
    print(json.dumps(peer(sys.argv[2], [Path(name) for name in sys.argv[3:]])))
