"""The database that domains reads, filled from files in the format of the real ones.

Belongs here: its two tables and loading them. Does not: what is read from them (the pipeline).
"""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psycopg

TABLES = """
CREATE TABLE IF NOT EXISTS domain_metrics (
    date date, country text, domain text, transactionrevenue numeric, transactions bigint,
    sessions bigint
);
CREATE TABLE IF NOT EXISTS domain_categories (domain text, category text, country text);
CREATE INDEX IF NOT EXISTS domain_metrics_date ON domain_metrics (date);
CREATE INDEX IF NOT EXISTS domain_categories_domain ON domain_categories (domain);
TRUNCATE domain_metrics, domain_categories
"""


def fill_if_empty(conn: psycopg.Connection[Any]) -> None:
    """Give a database without tables the generated shops, so that there is something to read."""
    if conn.execute("SELECT to_regclass('domain_metrics')").fetchone() != (None,):
        return
    from samples.domains import CATEGORIES_FILE, METRICS_FILE, write

    with tempfile.TemporaryDirectory(prefix="quintet-") as name:
        folder = Path(name)
        write(folder)
        load(conn, folder / METRICS_FILE, folder / CATEGORIES_FILE)


def load(conn: psycopg.Connection[Any], metrics: Path, categories: Path) -> None:
    """Replace what the database holds by the two files, CSV.GZ, in one transaction."""
    with conn.transaction():
        conn.execute(TABLES)
        for table, path in (("domain_metrics", metrics), ("domain_categories", categories)):
            with conn.cursor().copy(f"COPY {table} FROM STDIN (FORMAT csv, HEADER)") as copy:
                copy.write(gzip.decompress(path.read_bytes()))
        conn.execute("ANALYZE")
