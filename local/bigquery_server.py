"""Starts bqemulator 1.4.0 with six corrections.

Runs with the interpreter of the servers' environment:
``bigquery_server.py REST GRPC DATA GCS_ROOT``.

What is wrong in bqemulator 1.4.0, and what is done about it here:

1. *A query and an AppendRows that overlap lock the server up for good.* The REST side holds
   ``engine.write_lock()`` (asyncio) on the event loop and runs DuckDB there; the gRPC handlers of
   ``BigQueryWriteHandler`` run on a thread pool and call DuckDB on the same connection without
   that lock. DuckDB's connection lock is then held by the gRPC thread, which waits for the
   interpreter lock, while the event loop blocks in DuckDB. The handlers that touch the database
   are run on the event loop instead, the flush under ``write_lock()`` like every other writer.
2. *Every write copies the whole table.* ``SnapshotManager.capture`` keeps a full copy per write
   for time travel (``FOR SYSTEM_TIME AS OF``), so the cost of an append grows with the table.
   Nothing here uses time travel: capturing is switched off.
3. *PARSE_JSON takes numbers that no float holds.* DuckDB reads NaN, Infinity, 1e400 and 400 digits;
   BigQuery refuses the document. Such texts are kept from DuckDB.
4. *ALTER TABLE does not reach the catalog.* tables.get shows the schema of the CREATE; it is read
   anew.
5. *A load job that is refused leaves its table emptied or half loaded.* BigQuery takes all of a job
   or nothing, WRITE_TRUNCATE included: emptying and loading are one transaction.
6. *A job changes as many partitions as it likes.* BigQuery refuses one that would change more than
   4,000, and a table of more than 10,000 (https://cloud.google.com/bigquery/quotas). A statement or
   load that did is rolled back. Partitions are counted only where the table spans so many, and
   changed is one of which the number of rows is: an UPDATE in place is not seen.

The corrections are for exactly this version: another one is refused.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import math
import os
import re
import sys
import threading
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any

VERSION = "1.4.0"
#: What a text has in which a number is no float; most have nothing of it, and are not parsed here.
_SUSPECT = re.compile(r"nan|inf|e\+?\d{3}|\d{200}", re.IGNORECASE)


#: https://cloud.google.com/bigquery/quotas#partitioned_tables
MOST_CHANGED_PARTITIONS, MOST_PARTITIONS = 4_000, 10_000


def check_version(installed: str) -> None:
    """Raises SystemExit when ``installed`` is not the version that the corrections are for."""
    if installed != VERSION:
        raise SystemExit(
            f"bqemulator {installed} is installed, the corrections in local/bigquery_server.py "
            f"are for {VERSION}: install that version, or check whether they are still needed"
        )


def _write_on_the_event_loop() -> None:
    from bqemulator.grpc_api.write_servicer import BigQueryWriteHandler
    from bqemulator.storage.engine import DuckDBEngine

    loops: list[tuple[asyncio.AbstractEventLoop, int]] = []
    start = DuckDBEngine.start

    async def start_and_remember(self: Any) -> None:
        loops.append((asyncio.get_running_loop(), threading.get_ident()))
        await start(self)

    def move(name: str, *, locked: bool) -> None:
        stock = getattr(BigQueryWriteHandler, name)

        def moved(self: Any, *arguments: Any) -> Any:
            loop, thread = loops[-1]
            if threading.get_ident() == thread:
                return stock(self, *arguments)

            async def call() -> Any:
                if not locked:
                    return stock(self, *arguments)
                async with self._ctx.engine.write_lock():
                    return stock(self, *arguments)

            return asyncio.run_coroutine_threadsafe(call(), loop).result()

        setattr(BigQueryWriteHandler, name, moved)

    DuckDBEngine.start = start_and_remember
    move("_flush_to_target", locked=True)
    for name in (
        "_bind_stream_to_target",
        "_handle_create_write_stream",
        "_handle_get_write_stream",
    ):
        move(name, locked=False)


def _keep_no_snapshots() -> None:
    from bqemulator.versioning.snapshots import SnapshotManager

    SnapshotManager.capture = lambda *_arguments, **_options: None


def _finite(number: str) -> float:
    found = float(number)
    if not math.isfinite(found):
        raise ValueError(number)
    return found


def as_json(text: str) -> str:
    """The text, or none at all when it holds a number that BigQuery's JSON has not."""
    if _SUSPECT.search(text):
        try:
            # What else is wrong with it is DuckDB's to find.
            json.loads(
                text, parse_constant=_finite, parse_float=_finite, parse_int=_finite, strict=False
            )
        except ValueError:
            return ""
    return text


def _refuse_numbers_beyond_a_float() -> None:
    from bqemulator.sql import builtin_udfs
    from sqlglot import exp
    from sqlglot.dialects.duckdb import DuckDB

    register = builtin_udfs.register_builtin_udfs

    def register_ours_too(connection: Any) -> None:
        register(connection)
        connection.create_function("quintet_as_json", as_json, ["VARCHAR"], "VARCHAR")

    def generate(generator: Any, node: Any) -> str:
        return f"JSON(QUINTET_AS_JSON({generator.sql(node, 'this')}))"

    builtin_udfs.register_builtin_udfs = register_ours_too
    DuckDB.Generator.TRANSFORMS[exp.ParseJSON] = generate


def _know_altered_tables() -> None:
    from bqemulator.catalog.ddl_sync import _introspect_schema, _split_target
    from bqemulator.jobs import executor
    from sqlglot import exp, parse_one

    created = executor.sync_created_table

    def created_or_altered(statement: str, project: str, server: Any) -> None:
        created(statement, project, server)
        if statement.lstrip()[:5].upper() != "ALTER":
            return
        tree = parse_one(statement, read="bigquery")
        if not isinstance(tree, exp.Alter) or not isinstance(tree.this, exp.Table):
            return
        name = _split_target(tree.this, project)
        known = server.catalog.get_table(*name)
        if known is None:
            return
        # Descriptions and modes of the columns that stay are in the catalog only.
        declared = {field.name: field for field in known.schema_.fields}
        found = _introspect_schema(*name, server)
        fields = tuple(declared.get(field.name, field) for field in found.fields)
        schema = found.model_copy(update={"fields": fields})
        server.catalog.update_table(known.model_copy(update={"schema_": schema}))

    executor.sync_created_table = created_or_altered


class _Partitions:
    """The partitions of a table before a job in a transaction and in it."""

    def __init__(self, engine: Any, table: str, column: str, unit: str) -> None:
        # Another connection sees what was committed, which is what there was before.
        self._engine, self._committed = engine, engine.connection.cursor()
        self._rows = f"SELECT date_trunc('{unit}', \"{column}\"), COUNT(*) FROM {table} GROUP BY 1"
        self._span = (
            f'SELECT MIN("{column}") AS first, MAX("{column}") AS last FROM {table}',
            f"date_diff('{unit}', MIN(first), MAX(last)) + 1",
        )

    def changed_and_all(self) -> tuple[int, int]:
        """How many the job has changed, and how many there are; at most so many, if few."""
        ends = [one.execute(self._span[0]).fetchone() for one in (self._engine, self._committed)]
        bounds = [bound for pair in ends for bound in pair if bound is not None]
        if not bounds:
            return 0, 0
        (span,) = self._committed.execute(
            f"SELECT {self._span[1]} FROM (VALUES (?, ?)) AS bounds (first, last)",
            [min(bounds), max(bounds)],
        ).fetchone()
        if span <= MOST_CHANGED_PARTITIONS:
            return span, span
        before = dict(self._committed.execute(self._rows).fetchall())
        after = dict(self._engine.execute(self._rows).fetchall())
        changed = sum(before.get(day) != after.get(day) for day in {*before, *after})
        return changed, len(after)


def _require_few(changed: int, there: int, reason: str) -> None:
    from bqemulator.domain.errors import InvalidQueryError, QuotaExceededError

    if changed > MOST_CHANGED_PARTITIONS:
        refused = InvalidQueryError(
            f"Too many partitions produced by query, allowed {MOST_CHANGED_PARTITIONS}, "
            f"query produces at least {changed} partitions"
        )
        refused.bq_reason = reason
        raise refused
    if there > MOST_PARTITIONS:
        full = QuotaExceededError(
            "Quota exceeded: Your table exceeded quota for Number of partitions per "
            f"partitioned table: {there}, allowed {MOST_PARTITIONS}"
        )
        full.http_status = 403
        raise full


def _guarded(engine: Any, meta: Any, reference: str, work: Callable[[], Any], reason: str) -> Any:
    """What ``work`` gives, or nothing done at all when it changes too many partitions of a table.

    Nothing else runs meanwhile: the caller is on the event loop and waits for nothing.
    """
    engine.execute("BEGIN TRANSACTION")
    try:
        result = work()
        partitioning = meta.time_partitioning if meta else None
        if partitioning is not None and partitioning.field:
            partitions = _Partitions(engine, reference, partitioning.field, partitioning.type)
            _require_few(*partitions.changed_and_all(), reason)
        engine.execute("COMMIT")
    except BaseException:
        engine.execute("ROLLBACK")
        raise
    return result


#: The table that the statement of this task writes into: its catalog entry and its name.
_target: ContextVar[tuple[Any, str] | None] = ContextVar("_target", default=None)
_RUN = "_run_single_sql"
_WRITES = re.compile(r"\s*(MERGE|INSERT|UPDATE|DELETE)\b", re.IGNORECASE)


def _refuse_too_many_partitions() -> None:
    from bqemulator.catalog.ddl_sync import _split_target
    from bqemulator.domain.errors import DomainError
    from bqemulator.jobs import executor
    from bqemulator.storage.engine import DuckDBEngine
    from sqlglot import exp, parse_one

    run, fetch = getattr(executor, _RUN), DuckDBEngine.fetch_arrow

    async def run_towards(
        project: str, statement: str, parameters: Any, server: Any, **options: Any
    ) -> Any:
        if not _WRITES.match(statement):
            return await run(project, statement, parameters, server, **options)
        table = parse_one(statement, read="bigquery").this.find(exp.Table)
        name = _split_target(table, project)
        meta = server.catalog.get_table(*name)
        token = _target.set((meta, executor.quoted_table_ref(*name)))
        try:
            return await run(project, statement, parameters, server, **options)
        except DomainError as error:
            if isinstance(error.__cause__, DomainError):
                # Our own words, which the emulator puts words of its own before.
                raise error.__cause__ from None
            raise
        finally:
            _target.reset(token)

    def fetch_guarded(engine: Any, sql: str, parameters: Any = None) -> Any:
        target = _target.get()
        if target is None or target[0] is None or target[0].time_partitioning is None:
            return fetch(engine, sql, parameters)
        if not _WRITES.match(sql):  # what the rewriting of the statement asks
            return fetch(engine, sql, parameters)
        return _guarded(engine, *target, lambda: fetch(engine, sql, parameters), "invalidQuery")

    setattr(executor, _RUN, run_towards)
    DuckDBEngine.fetch_arrow = fetch_guarded


def _load_all_or_nothing() -> None:
    from bqemulator.jobs import executor
    from bqemulator.jobs.executor import (
        _apply_load_write_disposition,
        _load_path_into_target,
        _resolve_uri,
    )

    def empty_and_load(job: Any, ctx: Any) -> None:
        def load() -> None:
            _apply_load_write_disposition(job, ctx)
            for uri in job.source_uris:
                _load_path_into_target(_resolve_uri(uri, ctx), job, ctx)

        meta = ctx.catalog.get_table(job.project_id, job.dataset_id, job.table_id)
        _guarded(ctx.engine, meta, job.target_ref, load, "invalid")

    def loaded_already(*_arguments: Any) -> None:
        """What the caller does next for each file."""

    steps = {
        "_apply_load_write_disposition": empty_and_load,
        "_load_path_into_target": loaded_already,
    }
    for name, step in steps.items():
        setattr(executor, name, step)


def main(rest_port: str, grpc_port: str, data: Path, gcs_root: str) -> None:
    """Serve until SIGTERM."""
    check_version(importlib.metadata.version("bqemulator"))
    os.environ["BQEMU_GCS_LOCAL_ROOT"] = gcs_root
    os.environ["BQEMU_UPLOAD_STAGING_DIR"] = str(data / "uploads")
    # DuckDB looks for its extensions below HOME; these come from wheels, not from the network.
    os.environ["HOME"] = str(data)
    from duckdb_extensions import import_extension

    for extension in ("spatial", "avro"):
        import_extension(extension)
    _write_on_the_event_loop()
    _keep_no_snapshots()
    _refuse_numbers_beyond_a_float()
    _know_altered_tables()
    _load_all_or_nothing()
    _refuse_too_many_partitions()
    from bqemulator.cli import main as serve

    serve(
        [
            "start",
            "--rest-port",
            rest_port,
            "--grpc-port",
            grpc_port,
            "--persistent",
            "--data-dir",
            str(data),
            "--log-level",
            "warning",
        ]
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4])
