"""A MERGE that is alone in its table, run under an id that is known before it starts.

Belongs here: running the statement under a fencing token, and finding out what became of a job
whose sender died. Does not: fencing itself (``fencing.py``) or any statement (``stream/merge.py``,
the history's).

Two rules for the statements that run here, both of BigQuery itself: the source must have one row
per key, and a FLOAT64 cannot stand in PARTITION BY, so sources are made unique by GROUP BY.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakKeyDictionary

from assets.reading.fencing import fencing_token
from resources.bigquery import JOB_TIMEOUT, REQUEST_TIMEOUT

if TYPE_CHECKING:
    import psycopg
    from google.cloud.bigquery import Client, QueryJob

    from assets.frame.tables import Table
    from assets.sinks.bigquery import Warehouse

#: Seconds that the client itself goes on trying one request. The callers have retries of their
#: own, between which a session can be told to stop.
RETRY_SECONDS = 20.0

#: Seconds between two looks at another sender's job.
_LOOK_SECONDS = 0.25

_locations: WeakKeyDictionary[Any, dict[str, str]] = WeakKeyDictionary()


def run_merge(
    warehouse: Warehouse,
    conn: psycopg.Connection[Any],
    table: Table,
    template: str,
    parameters: Sequence[Any] = (),
    *,
    billed: Callable[[int], None] | None = None,
) -> int:
    """Run a MERGE into ``table`` under a fencing token; how many rows it changed.

    ``billed`` is told the bytes that the statement is billed for.

    ``conn`` must be in autocommit mode; it holds the lock while the statement runs. After an error
    it is not known whether the statement took effect, and it may be sent again: the next call waits
    for a job that still runs. Raises google.api_core.exceptions and psycopg errors,
    concurrent.futures.TimeoutError past JOB_TIMEOUT.
    """
    client, target = warehouse.client, warehouse.table(table.name)
    location = location_of(client, target)
    with fencing_token(conn, target, partial(settle, client, location=location)) as job_id:
        job = _start(client, warehouse.sql(template), parameters, job_id, location)
        job.result(timeout=JOB_TIMEOUT, retry=_retry(), job_retry=None)
        if job.num_dml_affected_rows is None:
            job.reload(timeout=REQUEST_TIMEOUT)
        if job.num_dml_affected_rows is None:
            raise RuntimeError(f"BigQuery does not say how many rows job {job_id} changed")
        if billed:
            billed(job.total_bytes_billed or 0)
        return int(job.num_dml_affected_rows)


def ask(warehouse: Warehouse, template: str, parameters: Sequence[Any] = ()) -> Any:
    """The rows of a query beside a MERGE, given up as soon as the MERGE would be.

    Raises google.api_core.exceptions errors, concurrent.futures.TimeoutError past JOB_TIMEOUT.
    """
    from google.cloud.bigquery import QueryJobConfig

    job = warehouse.client.query(
        warehouse.sql(template),
        job_config=QueryJobConfig(query_parameters=list(parameters)),
        retry=_retry(),
        timeout=REQUEST_TIMEOUT,
        job_retry=None,
    )
    return job.result(timeout=JOB_TIMEOUT, retry=_retry(), job_retry=None)


def settle(client: Client, job_id: str, *, location: str | None = None) -> None:
    """Return when the job with this id has ended, however it ended, or can no longer start.

    A job that is not found may be on its way: its sender died with the request in the network. So
    the id is used up by a statement that does nothing; when that is refused because the id is
    taken, the job did start, and is waited for. Raises google.api_core.exceptions errors,
    TimeoutError when the job does not end within JOB_TIMEOUT.
    """
    from google.api_core.exceptions import Conflict, NotFound

    try:
        job = _get(client, job_id, location)
    except NotFound:
        try:
            job = _query(client, "SELECT 1 AS one", (), job_id, location)
        except Conflict:
            job = _get(client, job_id, location)
    give_up_at = time.monotonic() + JOB_TIMEOUT
    while not job.done(retry=_retry(), timeout=REQUEST_TIMEOUT):
        if time.monotonic() > give_up_at:
            raise TimeoutError(f"BigQuery job {job_id} of an earlier sender does not end")
        time.sleep(_LOOK_SECONDS)


def location_of(client: Client, table: str) -> str | None:
    """Where jobs over ``table`` run; a job can only be found when its location is named.

    Asked once per client and table. Raises google.api_core.exceptions errors.
    """
    known = _locations.setdefault(client, {})
    if table not in known:
        found = client.get_table(table, retry=_retry(), timeout=REQUEST_TIMEOUT)
        known[table] = found.location or client.location or ""
    return known[table] or None


def _start(
    client: Client, sql: str, parameters: Sequence[Any], job_id: str, location: str | None
) -> QueryJob:
    from google.api_core.exceptions import Conflict

    try:
        return _query(client, sql, parameters, job_id, location)
    except Conflict:  # the request was sent twice, because the first answer got lost
        return _get(client, job_id, location)


def _query(
    client: Client, sql: str, parameters: Sequence[Any], job_id: str, location: str | None
) -> QueryJob:
    from google.cloud.bigquery import QueryJobConfig

    return client.query(
        sql,
        job_config=QueryJobConfig(query_parameters=list(parameters)),
        job_id=job_id,
        location=location,
        retry=_retry(),
        timeout=REQUEST_TIMEOUT,
        job_retry=None,  # another id would be outside the fencing
    )


def _get(client: Client, job_id: str, location: str | None) -> QueryJob:
    job = client.get_job(job_id, location=location, retry=_retry(), timeout=REQUEST_TIMEOUT)
    return cast("QueryJob", job)  # the id is one of ours, and only queries get one


def _retry() -> Any:
    from google.cloud.bigquery.retry import DEFAULT_RETRY

    return DEFAULT_RETRY.with_timeout(RETRY_SECONDS).with_delay(initial=0.2, maximum=2.0)
