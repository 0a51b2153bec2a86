"""A batch given to the sink that an asset is, and what waits for that sink beside it.

Belongs here: writing, reading back and settling one delivery, of the run's own batch or of one that
it takes along. Does not: what Dagster is told of the run's own (``step.py``), which batches are
taken along (``landing/arrival/companions.py``).
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from assets.frame.declared import LandedFiles
from assets.sinks.result import SinkResult, Verification
from landing.arrival.companions import catch_up
from landing.batch.delivery import Delivery, deliver
from landing.batch.failures import TransientError
from landing.stores.base import ObjectStore
from resources.postgres import PostgresResource


class SinkMismatchError(TransientError):
    """A sink was written and does not hold what it was given."""


@dataclass(frozen=True, slots=True)
class Giving:
    """How the asset that runs gives a batch to its sink; ``store`` holds the staging."""

    files: LandedFiles
    context: dg.AssetExecutionContext
    postgres: PostgresResource
    store: ObjectStore
    take: Callable[[Delivery], tuple[SinkResult, Verification]]

    @property
    def sink(self) -> str:
        """The last part of the asset's key."""
        sink: str = self.context.asset_key.path[-1]
        return sink

    def delivery(self, batch_id: str) -> AbstractContextManager[Delivery]:
        """See :func:`landing.batch.delivery.deliver`."""
        return deliver(
            self.postgres,
            self.store,
            pipeline=self.files.pipeline,
            batch_id=batch_id,
            sink=self.sink,
            run_id=self.context.run.run_id,
            records=self.files.records,
        )

    def taken(self, delivery: Delivery) -> tuple[SinkResult, Verification]:
        """What the sink took, and holds; it is not asked where there is nothing to take."""
        if delivery.empty:
            return SinkResult(0, 0, 0, 0.0), Verification()
        return self.take(delivery)

    def settle(self, delivery: Delivery, result: SinkResult, found: Verification) -> None:
        """The sink has the batch. Raises SinkMismatchError."""
        if not found.ok:
            raise SinkMismatchError(found.problem(self.sink))
        delivery.done(rows_written=result.rows_written)

    def catch_up(self, leader: str) -> None:
        """Give the sink what waits for it beside ``leader``.

        Each batch that it takes is materialized under its own partition; an observation of the
        leader's says how many there were.
        """
        if not self._leads:
            return
        done = catch_up(
            self.postgres,
            leader=leader,
            sink=self.sink,
            before=self.files.sinks[: self.files.sinks.index(self.sink)],
            run_id=self.context.run.run_id,
            give=lambda batch_id: self._give(batch_id, leader),
            now=lambda: datetime.now(UTC),
            clock=time.monotonic,
        )
        if not done:
            return
        taken, failed = len(done.taken), len(done.failed)
        self.context.log.info("caught_up sink=%s batches=%d failed=%d", self.sink, taken, failed)
        metadata: dict[str, Any] = {"batches_caught_up": taken, "batches_failed_beside": failed}
        if done.taken:
            metadata |= {"first_caught_up": done.taken[0], "last_caught_up": done.taken[-1]}
        self.context.log_event(
            dg.AssetObservation(self.context.asset_key, partition=leader, metadata=metadata)
        )

    @property
    def _leads(self) -> bool:
        """Whether the run may take batches along: what follows them has to be in it, too.

        One that validates has a new batch, whose other sinks wait for nobody.
        """
        selected = self.context.run.asset_selection
        return (
            self.files.partition_set is not None
            and selected is not None
            and self.files.key(self.files.validation) not in selected
            and all(self.files.key(name) in selected for name in self.files.derived)
        )

    def _give(self, batch_id: str, leader: str) -> int:
        with self.delivery(batch_id) as delivery:
            result, found = self.taken(delivery)
            self.settle(delivery, result, found)
        metadata = {**figures(result), **refused(delivery), "caught_up_in_the_run_of": leader}
        self.context.log_event(
            dg.AssetMaterialization(self.context.asset_key, partition=batch_id, metadata=metadata)
        )
        return delivery.row_count


def refused(delivery: Delivery) -> dict[str, Any]:
    """How many rows the sink refused, if any; what becomes of them is the ledger's."""
    words = delivery.refuse.words
    return {"rows_refused": len(words)} if words else {}


def figures(result: SinkResult) -> dict[str, Any]:
    """What a sink took, as numbers that the UI plots."""
    return {
        "dagster/partition_row_count": result.rows_written,
        "rows_written": result.rows_written,
        "rows_already_there": result.unchanged,
        "deleted": result.deleted,
        "seconds": round(result.seconds, 3),
        "rows_per_second": round(result.rows_per_second, 1),
        **result.details,
    }
