"""A run of the campaigns job that is killed with -9 at a named point.

Belongs here: the points, and the process that runs into one. Product code has no hooks: its
functions are replaced in that process only, which is forked from a clean server process.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import dagster as dg

#: Rows per chunk, so that a small batch has several.
CHUNK_ROWS = 20

_PRELOAD = [
    "tests.faults.killed_run",
    "definitions",
    "polars",
    "pyarrow",
    "psycopg",
    "google.cloud.storage",
    "google.cloud.bigquery",
    "pymongo",
    "neo4j",
    "openai",
]


def run_until_killed(env: Mapping[str, str], request: dg.RunRequest, point: str) -> int | None:
    """Run the request in a process of its own up to the point; the process's exit code."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOAD)
    process = context.Process(target=_child, args=(dict(env), request, point), daemon=True)
    process.start()
    process.join(120)
    if process.is_alive():
        process.kill()
        process.join()
        raise TimeoutError(f"the run did not come to {point} in 120 s")
    return process.exitcode


def _child(env: dict[str, str], request: dg.RunRequest, point: str) -> None:
    os.environ.update(env)
    from tests.faults.campaign_runs import execute

    POINTS[point]()
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("campaigns_batches", [request.partition_key or ""])
        execute(instance, request)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _replace(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    setattr(owner, name, make(getattr(owner, name)))


def _after(owner: Any, name: str, *, call: int = 1) -> None:
    """Die when the function has returned for the n-th time."""
    calls = [0]

    def make(original: Any) -> Any:
        def dying(*args: Any, **kwargs: Any) -> Any:
            result = original(*args, **kwargs)
            calls[0] += 1
            if calls[0] == call:
                _die()
            return result

        return dying

    _replace(owner, name, make)


def _second_chunk_of(sink: str) -> None:
    """The first chunk is written, the second is being read."""
    from landing.delivery import Delivery

    def make(original: Any) -> Any:
        def chunks(self: Any, rows: int = CHUNK_ROWS) -> Iterator[Any]:
            for number, chunk in enumerate(original(self, CHUNK_ROWS)):
                if self.sink == sink and number == 1:
                    _die()
                yield chunk

        return chunks

    _replace(Delivery, "chunks", make)


def _before_done(sink: str) -> None:
    """All is written and read back; the ledger has not been told."""
    from landing import delivery

    def make(original: Any) -> Any:
        def mark_done(conn: Any, one: Any, *args: Any) -> None:
            if one.sink == sink:
                _die()
            original(conn, one, *args)

        return mark_done

    _replace(delivery, "_mark_done", make)


def _profiles_half_written() -> None:
    from assets.vector_store import VectorStore

    def make(original: Any) -> Any:
        def upsert(self: Any, rows: Any) -> None:
            if self.key == "user_id":
                original(self, rows[: len(rows) // 2])
                _die()
            original(self, rows)

        return upsert

    _replace(VectorStore, "upsert", make)


def _graph_statement(name: str) -> None:
    """After the statement's transaction: events without what is derived from them, for example."""
    from assets.campaigns import graph

    def make(original: Any) -> Any:
        def run(self: Any, statement: str, rows: Any = None) -> Any:
            result = original(self, statement, rows)
            if statement == getattr(graph, name):
                _die()
            return result

        return run

    _replace(graph.Graph, "run", make)


def _analytics_loaded() -> None:
    """BigQuery's staging table is loaded, nothing is merged."""
    from assets.campaigns import analytics

    _after(analytics, "_load")


def _analytics_merged() -> None:
    from assets.campaigns import analytics

    _after(analytics, "run")


def _validation_staged() -> None:
    """The parts are in the bucket, the transaction is open."""
    from landing.staging import StagingWriter

    _after(StagingWriter, "finish")


def _validation_decided() -> None:
    """The last statement before the commit: records, outcomes and parts are written."""
    from landing import validation

    _after(validation, "reset_sinks")


def _validation_committed() -> None:
    from assets.campaigns import events

    _after(events, "validate_batch")


POINTS: dict[str, Callable[[], None]] = {
    "validation: staged": _validation_staged,
    "validation: before the commit": _validation_decided,
    "validation: after the commit": _validation_committed,
    "raw_messages: half": lambda: _second_chunk_of("raw_messages"),
    "raw_messages: written": lambda: _before_done("raw_messages"),
    "message_embeddings: half": lambda: _second_chunk_of("message_embeddings"),
    "message_embeddings: written": lambda: _before_done("message_embeddings"),
    "user_profiles: half": _profiles_half_written,
    "user_profiles: written": lambda: _before_done("user_profiles"),
    "engagement_graph: half": lambda: _second_chunk_of("engagement_graph"),
    "engagement_graph: edges removed": lambda: _graph_statement("DELETE_STALE_PERFORMED"),
    "engagement_graph: participation": lambda: _graph_statement("SET_PARTICIPATION"),
    "engagement_graph: written": lambda: _before_done("engagement_graph"),
    "engagement_analytics: loaded": _analytics_loaded,
    "engagement_analytics: merged": _analytics_merged,
    "engagement_analytics: written": lambda: _before_done("engagement_analytics"),
}
