"""What the ledger says of batches that are not done: for `make dev` and the demo.

Belongs here: one line per batch, and only what is new. Does not: the states (`landing.arrival`).
"""

from __future__ import annotations

from datetime import UTC, datetime

from landing.arrival.ledger import Batch
from landing.arrival.states import LOADED, BatchState
from local.progress import counted

_ERROR = 300


def described(batch: Batch) -> str:
    """Where a batch stands, and why and for what it waits."""
    error = " ".join((batch.error or "no reason was noted").split())[:_ERROR]
    due = batch.next_attempt_at
    again = f"tried again {f'at {due.astimezone():%H:%M:%S}' if due else 'soon'}"
    states: dict[BatchState, str] = {
        "pending": "waits for the sensor's next tick",
        "requested": f"attempt {batch.attempt}, waits for its run to start",
        "running": f"attempt {batch.attempt} runs",
        "waiting": f"waits for somebody else's work, {again}: {error}",
        "failed_transient": f"attempt {batch.attempt} failed, {again}: {error}",
        "failed_permanent": "failed for good, `make replay BATCH="
        f"{batch.batch_id}` tries again: {error}",
        "loaded": "loaded",
        "loaded_with_rejects": f"loaded; `make quarantine BATCH={batch.batch_id}` shows its "
        "rejects",
    }
    objects = counted(batch.objects, "object")
    return f"{batch.pipeline} {batch.batch_id} ({objects}): {states[batch.state]}"


class Waiting:
    """The lines of batches that have changed since they were last asked for."""

    def __init__(self, url: str, since: datetime | None = None) -> None:
        self._url = url
        self._since = since or datetime.now(UTC)
        self._said: dict[str, str] = {}

    def news(self) -> list[str]:
        """What is new of each batch that is not loaded, or was loaded since this was made.

        While the ledger does not answer, that is the news.
        """
        import psycopg

        from landing.arrival import ledger

        try:
            with psycopg.connect(self._url, connect_timeout=2) as connection:
                batches = ledger.batches(connection)
        except psycopg.OperationalError as error:
            text = " ".join(str(error).split())
            return self._new({"ledger": f"the ledger does not answer: {text[:_ERROR]}"})
        self._said.pop("ledger", None)
        return self._new({one.batch_id: described(one) for one in batches if self._concerns(one)})

    def _concerns(self, batch: Batch) -> bool:
        return batch.state not in LOADED or (
            batch.finished_at is not None and batch.finished_at >= self._since
        )

    def _new(self, lines: dict[str, str]) -> list[str]:
        new = [line for key, line in lines.items() if self._said.get(key) != line]
        self._said.update(lines)
        return new
