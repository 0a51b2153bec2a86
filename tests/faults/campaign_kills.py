"""The points at which a run of the campaigns job is killed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tests.faults.killed_run import die, die_after, replace

#: Rows per chunk, so that a small batch has several.
CHUNK_ROWS = 20


def _second_chunk_of(sink: str) -> None:
    """The first chunk is written, the second is being read."""
    from landing.batch.delivery import Delivery

    def make(original: Any) -> Any:
        def chunks(self: Any, rows: int = CHUNK_ROWS) -> Iterator[Any]:
            for number, chunk in enumerate(original(self, CHUNK_ROWS)):
                if self.sink == sink and number == 1:
                    die()
                yield chunk

        return chunks

    replace(Delivery, "chunks", make)


def _before_done(sink: str) -> None:
    """All is written and read back; the ledger has not been told."""
    from landing.batch import delivery

    def make(original: Any) -> Any:
        def mark_done(conn: Any, one: Any, *args: Any) -> None:
            if one.sink == sink:
                die()
            original(conn, one, *args)

        return mark_done

    replace(delivery, "_mark_done", make)


def _profiles_half_written() -> None:
    from assets.sinks.milvus import VectorStore

    def make(original: Any) -> Any:
        def upsert(self: Any, rows: Any) -> None:
            if self.key == "user_id":
                original(self, rows[: len(rows) // 2])
                die()
            original(self, rows)

        return upsert

    replace(VectorStore, "upsert", make)


def _graph_statement(name: str) -> None:
    """After the statement's transaction: events without what is derived from them, for example."""
    from assets.campaigns import graph
    from assets.sinks.neo4j import Graph

    def make(original: Any) -> Any:
        def run(self: Any, statement: str, rows: Any = None) -> Any:
            result = original(self, statement, rows)
            if statement == getattr(graph, name):
                die()
            return result

        return run

    replace(Graph, "run", make)


def _analytics_loaded() -> None:
    """BigQuery's staging table is loaded, as by a large batch; nothing is merged."""
    from assets.sinks import bigquery, bigquery_merging

    bigquery_merging.STATEMENT_ROWS = 0
    die_after(bigquery, "_load")


def _analytics_merged() -> None:
    from assets.campaigns import analytics

    die_after(analytics, "merge_rows")


def _validation_staged() -> None:
    """The parts are in the bucket, the transaction is open."""
    from landing.batch.staging import StagingWriter

    die_after(StagingWriter, "finish")


def _validation_decided() -> None:
    """The last statement before the commit: records, outcomes and parts are written."""
    from landing.batch import validation

    die_after(validation, "reset_sinks")


def _validation_committed() -> None:
    from landing.batch import validation

    die_after(validation, "validate")


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
