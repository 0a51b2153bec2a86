"""``make replay``: a batch that waits for an operator is requested again, an old one brought back.

Belongs here: that command. Does not: the request itself, which the sensor's next tick makes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import dagster as dg

from assets.pipelines import landed_of
from landing.arrival import ledger
from landing.batch import retention
from ops.environment import require
from ops.terminal import counted
from resources.postgres import PostgresResource


def run(
    batch_id: str | None,
    *,
    instance: Callable[[], dg.DagsterInstance] = dg.DagsterInstance.get,
) -> int:
    """Reopen one batch, or all that failed; say how a loaded one is written again.

    One that waits for somebody else's work is reopened where it is named only. A loaded batch whose
    partition maintenance has removed becomes a partition of ``instance`` again. 0 when there was
    nothing to object to; 1 for an unknown batch and for one that is requested or running anyway.
    """
    postgres = PostgresResource(url=require("POSTGRES_URL"))
    if batch_id is None:
        return _reopen_all(postgres)
    with postgres.connect() as connection:
        try:
            batch = ledger.batch(connection, batch_id)
        except ledger.UnknownBatchError as error:
            print(error, file=sys.stderr)
            return 1
        if ledger.reopen(connection, batch_id):
            print(f"{batch_id} reopened after: {batch.error}")
            print("The sensor's next tick requests it, for what is not done yet.")
            return 0
    if not batch.state.startswith("loaded"):
        print(f"{batch_id} is {batch.state}: it will run without being asked.", file=sys.stderr)
        return 1
    if batch.partition_removed_at is not None:
        _bring_back(postgres, batch, instance)
        print(f"{batch_id} is a partition of {batch.pipeline} again.")
    print(
        f"{batch_id} is {batch.state}. To write it again, into every sink, with a daemon running:\n"
        f"  dagster job backfill --job {landed_of(batch.pipeline, batch.source).job} "
        f"--partitions {batch.partition_key} --noprompt"
    )
    return 0


def _reopen_all(postgres: PostgresResource) -> int:
    reopened: list[ledger.Batch] = []
    with postgres.connect() as connection:
        while waiting := ledger.batches(
            connection, states=["failed_permanent", "failed_transient"]
        ):
            reopened += [one for one in waiting if ledger.reopen(connection, one.batch_id)]
            connection.commit()
    # Only now: whoever reads may have gone (`… | head -1`).
    for batch in reopened:
        print(f"{batch.batch_id}  {batch.pipeline}  reopened after: {batch.error}")
    many = counted(len(reopened), "batch", "batches")
    print(f"{many} reopened; the sensor's next tick requests what was reopened.")
    return 0


def _bring_back(
    postgres: PostgresResource, batch: ledger.Batch, instance: Callable[[], dg.DagsterInstance]
) -> None:
    """The partition first: if the ledger is not told, doing it again changes nothing."""
    with instance() as dagster:
        name = landed_of(batch.pipeline, batch.source).partition_set
        if name:
            dagster.add_dynamic_partitions(name, [batch.partition_key])
    with postgres.connect() as connection:
        retention.mark_partition(connection, batch.batch_id, None)
