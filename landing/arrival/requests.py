"""Which batches are requested, and what is asked for: the choice alone. Pure.

Belongs here: the order among batches, and which steps a batch still needs. Does not: reading or
writing the ledger (``queue.py``, ``ledger.py``), Dagster's words for a request
(``sensors/landed.py``).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from landing.arrival.ledger import Batch, SinkState
from landing.arrival.source import Source
from landing.arrival.states import IN_FLIGHT, run_key

#: New batches that go before a retry whose time has come: whatever fails again and again leaves
#: three of four requests to what has not been tried yet, and gets the fourth.
NEW_PER_RETRY = 3


@dataclass(frozen=True, slots=True)
class Request:
    """A run to ask for. ``sinks`` are those not done; ``whole`` says that nothing is done yet.

    ``partition_key`` is what it works on.
    ``large`` batches are worth a process per sink. ``bytes`` are those of the objects.
    """

    batch_id: str
    partition_key: str
    pipeline: str
    attempt: int
    sinks: tuple[str, ...]
    validate: bool
    whole: bool
    large: bool
    objects: int
    bytes: int
    #: Whether all that is not done is asked for.
    complete: bool = True

    @property
    def run_key(self) -> str:
        """The same for every repetition of this attempt."""
        return run_key(self.batch_id, self.attempt)


def free_slots(in_flight: Sequence[Batch], max_in_flight: int) -> int:
    """How many further batches may be requested."""
    return max(max_in_flight - sum(batch.state in IN_FLIGHT for batch in in_flight), 0)


def choose(
    new: Sequence[Batch], due: Sequence[Batch], free: int, since_retry: int
) -> tuple[list[Batch], int]:
    """At most ``free`` of the batches to request next, and the count for the next choice.

    ``new`` were never requested, the next attempt of ``due`` has come; each in its own order.
    ``since_retry`` new ones were chosen since the last of the others: after NEW_PER_RETRY it is
    their turn. Neither waits for the other where there is room.
    """
    fresh, again = list(new), list(due)
    chosen: list[Batch] = []
    while len(chosen) < free and (fresh or again):
        if again and (since_retry >= NEW_PER_RETRY or not fresh):
            chosen.append(again.pop(0))
            since_retry = 0
        else:
            chosen.append(fresh.pop(0))
            since_retry = min(since_retry + 1, NEW_PER_RETRY)
    return chosen, since_retry


def request_for(
    source: Source,
    batch: Batch,
    attempt: int,
    sinks: Sequence[SinkState],
    away: Collection[str] = (),
) -> Request:
    """What to ask for of a batch: validation, unless it is done, and the sinks that are not.

    ``away`` are sinks that are asked for only where nothing else is left to do.
    """
    counted = [sink for sink in sinks if sink.state != "retired"]
    undone = tuple(sink.sink for sink in counted if sink.state != "done")
    # Validation decides what is left to do; without any sink to do, or without what it staged, it
    # has to run again.
    validate = batch.validated_at is None or batch.restage or not undone
    here = tuple(sink for sink in undone if sink not in away)
    if not here and not validate:
        here = undone  # a probe: whether they are back
    return Request(
        batch_id=batch.batch_id,
        partition_key=batch.partition_key,
        pipeline=batch.pipeline,
        attempt=attempt,
        sinks=here,
        validate=validate,
        whole=validate and len(here) in {0, len(counted)} and here == undone,
        large=batch.bytes > source.large_bytes,
        objects=batch.objects,
        bytes=batch.bytes,
        complete=here == undone,
    )
