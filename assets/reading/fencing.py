"""One job at a time into a table, whoever sends it and however the last sender ended.

Belongs here: fencing a MERGE, or a load job that replaces a staging table. Does not: the jobs.

BigQuery documents that a MERGE which only inserts conflicts with no other statement: two that run
at once may both find an event missing, and both insert it. A lock alone is not enough, since the
job of a killed sender goes on without it. So the job's id, the fencing token, is written down
before the job starts, and whoever has the lock next waits for that job first. Source:
https://cloud.google.com/bigquery/docs/data-manipulation-language ("DML statement conflicts"). And
a load job that its sender gave up would replace what a later one has loaded for its own MERGE.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from resources.advisory_locks import Lock, held

if TYPE_CHECKING:
    import psycopg


@contextmanager
def fencing_token(
    conn: psycopg.Connection[Any], table: str, wait_for: Callable[[str], None]
) -> Iterator[str]:
    """Hold the lock of ``table`` (its full name) and give the id that the job must have.

    ``conn`` must be in autocommit mode. ``wait_for`` is called with the id of a job that an earlier
    sender may have left running, and returns when that job has ended or never started. When the
    body raises, the id stays: whether its job still runs is not known. Raises what ``wait_for`` and
    psycopg raise.
    """
    with held(conn, Lock.MERGE, table):
        row = conn.execute(
            "SELECT job_id FROM reading.merge_fence WHERE table_name = %s", (table,)
        ).fetchone()
        if row:
            wait_for(row[0])
        job_id = f"quintet-merge-{uuid.uuid4()}"
        conn.execute(
            """
            INSERT INTO reading.merge_fence (table_name, job_id) VALUES (%s, %s)
            ON CONFLICT (table_name) DO UPDATE SET job_id = excluded.job_id, started_at = now()
            """,
            (table, job_id),
        )
        yield job_id
        conn.execute("DELETE FROM reading.merge_fence WHERE table_name = %s", (table,))
