"""The ledger in Postgres with what the state machine's runs and operators do to it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import psycopg

from landing.arrival import ledger
from landing.arrival.identity import ObjectVersion
from landing.arrival.ledger_postgres import PostgresLedger
from landing.arrival.source import Source
from landing.arrival.states import ALL_STATES, LOADED, ErrorClass
from landing.batch.delivery import close_if_done
from landing.batch.holding import require_holder

TABLES = "landing.object_version, landing.batch_sink, landing.batch, landing.scan"
VERSION = "store, bucket, key, version, size, modified_at"


class PostgresLedgerDriver(PostgresLedger):
    """``holder`` is a second session: that of the runs, which hold their locks in it."""

    __slots__ = ("holder",)
    holder: psycopg.Connection[Any]

    def __init__(self, connection: psycopg.Connection[Any], holder: psycopg.Connection[Any]):
        super().__init__(connection)
        object.__setattr__(self, "holder", holder)
        connection.execute(f"TRUNCATE {TABLES} RESTART IDENTITY CASCADE")
        holder.execute("SELECT pg_advisory_unlock_all()")

    def batch(self, batch_id: str) -> ledger.Batch:
        return ledger.batch(self.connection, batch_id)

    def versions(self, batch_id: str) -> list[tuple[int, ObjectVersion]]:
        rows = self.connection.execute(
            f"SELECT seq, {VERSION} FROM landing.object_version WHERE batch_id = %s ORDER BY seq",
            (batch_id,),
        )
        return [(seq, ObjectVersion(*rest)) for seq, *rest in rows]

    def assignments(self) -> list[tuple[int, ObjectVersion, str | None]]:
        rows = self.connection.execute(
            f"SELECT seq, batch_id, {VERSION} FROM landing.object_version ORDER BY seq"
        )
        return [(seq, ObjectVersion(*rest), batch_id) for seq, batch_id, *rest in rows]

    def open_batches(self, source: Source) -> list[ledger.Batch]:
        states = [state for state in ALL_STATES if state not in LOADED]
        return sorted(
            ledger.batches(self.connection, states=states), key=lambda batch: batch.batch_id
        )

    def batch_ids(self) -> list[str]:
        # The physical order is that of creation only until an update: xmin is not enough either.
        rows = self.connection.execute(
            """SELECT v.batch_id FROM landing.object_version v JOIN landing.batch b USING (batch_id)
               WHERE b.split_from IS NULL GROUP BY v.batch_id ORDER BY min(v.seq)"""
        )
        return [row[0] for row in rows]

    def every_batch(self) -> list[str]:
        return [row[0] for row in self.connection.execute("SELECT batch_id FROM landing.batch")]

    def aside(self) -> set[int]:
        rows = self.connection.execute(
            "SELECT seq FROM landing.object_version WHERE outcome = 'rejected'"
        )
        return {row[0] for row in rows}

    def take_lock(self, run_id: str) -> None:
        self.holder.execute("SELECT pg_advisory_lock(81, hashtext(%s))", (run_id,))

    def mark_running(self, batch_id: str, run_id: str, now: datetime, key: str) -> None:
        ledger.mark_running(self.connection, batch_id, run_id, now, key=key)

    def release(self, run_id: str) -> None:
        self.holder.execute("SELECT pg_advisory_unlock(81, hashtext(%s))", (run_id,))

    def mark_waiting(self, batch_id: str, *, run_id: str, now: datetime) -> None:
        ledger.mark_waiting(
            self.connection, batch_id, run_id=run_id, why="somebody else's work", now=now
        )

    def mark_failed(
        self, batch_id: str, *, run_id: str, error_class: ErrorClass, now: datetime
    ) -> None:
        ledger.mark_failed(
            self.connection,
            batch_id,
            run_id=run_id,
            error_class=error_class,
            error="no reason",
            now=now,
        )

    def mark_validated(
        self, batch_id: str, run_id: str, now: datetime, outcomes: Mapping[int, str]
    ) -> None:
        with self.connection.transaction():
            require_holder(self.connection, batch_id, run_id)
            self.connection.cursor().executemany(
                "UPDATE landing.object_version SET outcome = %s WHERE seq = %s",
                [(outcome, seq) for seq, outcome in outcomes.items()],
            )
            self.connection.execute(
                "UPDATE landing.batch SET validated_at = %s WHERE batch_id = %s", (now, batch_id)
            )

    def mark_sink_done(self, batch_id: str, sink: str, run_id: str) -> None:
        with self.connection.transaction():
            require_holder(self.connection, batch_id, run_id)
            self.connection.execute(
                "UPDATE landing.batch_sink SET state = 'done' WHERE batch_id = %s AND sink = %s",
                (batch_id, sink),
            )
            self.connection.execute(
                "UPDATE landing.batch SET deaths = 0 WHERE batch_id = %s", (batch_id,)
            )
            close_if_done(self.connection, batch_id)

    def reopen(self, batch_id: str) -> None:
        ledger.reopen(self.connection, batch_id)
