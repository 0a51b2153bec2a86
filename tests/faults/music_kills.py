"""The points at which a run of the music job is killed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from landing.stores.minio import MinioStore
from tests.faults.killed_run import die, die_after, replace


def _copied() -> None:
    """Copies are in the processed bucket, nothing is committed."""
    from landing.batch import validation

    die_after(validation, "reset_sinks")


def _silver_copying() -> None:
    """Records are in a temporary table of an open transaction."""
    from assets.music.silver import intake

    die_after(intake, "copy_records")


def _silver_before_commit() -> None:
    from landing.batch.delivery import Delivery

    def make(original: Any) -> Any:
        def done_in(self: Any, *args: Any, **kwargs: Any) -> None:
            original(self, *args, **kwargs)
            if self.sink == "silver_songs":
                die()

        return done_in

    replace(Delivery, "done_in", make)


def _first_removal() -> None:
    """One object is gone from raw, the ledger has not been told."""
    die_after(MinioStore, "remove")


def _before_index() -> None:
    """Postgres is complete, neither index has begun."""
    from assets.sinks.typesense import DocumentStore

    def make(_original: Any) -> Any:
        def ensure(*_args: Any) -> None:
            die()

        return ensure

    replace(DocumentStore, "ensure", make)


def _imported() -> None:
    """Documents are in Typesense, the ledger has not been told."""
    from assets.music.search import song_documents

    die_after(song_documents, "write")


def _vectors_upserted() -> None:
    """Some passages are in Milvus, unflushed."""
    from assets.sinks.milvus import VectorStore

    die_after(VectorStore, "upsert")


POINTS: dict[str, Callable[[], None]] = {
    "bronze: copied, not committed": _copied,
    "silver: copying": _silver_copying,
    "silver: before the commit": _silver_before_commit,
    "raw: one removed": _first_removal,
    "search: before": _before_index,
    "search: imported": _imported,
    "vectors: upserted": _vectors_upserted,
}
