"""A source, a bucket and ticks on the real ledger, for tests of what a tick does to batches.

Belongs here: what those tests share. Does not: any of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import psycopg

from landing.arrival import ledger
from landing.arrival.companions import CaughtUp, catch_up
from landing.arrival.outages import note_failures
from landing.arrival.requests import Request
from landing.arrival.source import Source
from landing.arrival.states import ErrorClass
from landing.arrival.tick import Tick, evaluate_tick
from landing.batch.delivery import close_if_done
from landing.batch.presence import note_success
from resources.postgres import PostgresResource
from tests.unit.landing.arrival_machine import ModelRun, ModelRuns
from tests.unit.landing.bucket_model import BucketModel, Clock

SOURCE = Source(
    name="model_gcs",
    pipeline="model",
    store="gcs",
    bucket="inbox",
    prefix="in/",
    pattern=re.compile(r"in/.*\.csv"),
    sinks=("first", "second"),
    max_in_flight=1,
)


@dataclass
class TickWorld:
    """Ticks at times that the test chooses; runs are what the test says of them."""

    connection: psycopg.Connection[Any]
    source: Source = SOURCE
    bucket: BucketModel = field(default_factory=lambda: BucketModel(Clock()))
    runs: ModelRuns = field(default_factory=ModelRuns)
    cursor: str | None = None

    @property
    def now(self) -> datetime:
        return self.bucket.clock.now

    def put(self, *names: str) -> None:
        for name in names:
            self.bucket.put(f"in/{name}.csv", b"x")

    def tick(self, after: float = 0.0) -> Tick:
        """A tick so many seconds later."""
        self.bucket.clock.advance(after)
        tick = evaluate_tick(
            self.source,
            self.bucket,
            self.connection,
            self.cursor,
            now=self.bucket.clock,
            deadline=1.0,
            clock=lambda: 0.0,
            runs=self.runs,
        )
        self.cursor = tick.cursor
        return tick

    def deploy(self, *sinks: str) -> None:
        """Code that declares these sinks takes over."""
        self.source = replace(self.source, sinks=sinks)

    def run(self, batch_id: str, run_id: str, *done: str, validated: bool = True) -> None:
        """The run takes up the batch, validates it and writes these sinks."""
        ledger.mark_running(self.connection, batch_id, run_id, self.now)
        if validated:
            self.execute(
                "UPDATE landing.batch SET validated_at = now() WHERE batch_id = %s", batch_id
            )
        for sink in done:
            self.take(batch_id, run_id, sink)

    def take(self, batch_id: str, run_id: str, sink: str) -> int:
        """The sink has the batch, one row of it."""
        with self.connection.transaction():
            self.execute(
                "UPDATE landing.batch_sink SET state = 'done', rows_written = 1, run_id = %s"
                " WHERE batch_id = %s AND sink = %s",
                run_id,
                batch_id,
                sink,
            )
            note_success(self.connection, batch_id, sink)
            close_if_done(self.connection, batch_id)
        return 1

    def catch_up(
        self,
        leader: str,
        run_id: str,
        sink: str,
        give: Callable[[str], int] | None = None,
        clock: Callable[[], float] = lambda: 0.0,
    ) -> CaughtUp:
        """The run of ``leader`` gives the sink what waits for it."""
        return catch_up(
            PostgresResource(url=self.url),
            leader=leader,
            sink=sink,
            before=self.source.sinks[: self.source.sinks.index(sink)],
            run_id=run_id,
            give=give or (lambda batch_id: self.take(batch_id, run_id, sink)),
            now=self.bucket.clock,
            clock=clock,
        )

    @property
    def url(self) -> str:
        info = self.connection.info
        return f"postgresql://{info.user}:{info.password}@{info.host}:{info.port}/{info.dbname}"

    def fail(self, batch_id: str, run_id: str, error_class: ErrorClass) -> None:
        assert ledger.mark_failed(
            self.connection,
            batch_id,
            run_id=run_id,
            error_class=error_class,
            error="away",
            now=self.now,
        )

    def fail_sink(self, batch_id: str, run_id: str, sink: str) -> None:
        """The run ends because this sink is away."""
        self.execute(
            "UPDATE landing.batch_sink SET state = 'failed', error_class = 'transient',"
            " error = 'refused', run_id = %s WHERE batch_id = %s AND sink = %s",
            run_id,
            batch_id,
            sink,
        )
        self.fail(batch_id, run_id, "transient")
        note_failures(self.connection, batch_id, run_id, self.now)

    def succeed(self, request: Request, run_id: str) -> None:
        """The run ends well, whatever it was not asked for."""
        self.runs.runs.append(ModelRun(request, run_id, status="succeeded", began=True))

    def die(self, batch_id: str) -> Tick:
        """Its process is gone: the tick in which that is certain."""
        assert ledger.batch(self.connection, batch_id).state == "running"
        self.tick()
        return self.tick(after=31)

    def batch(self, batch_id: str) -> ledger.Batch:
        return ledger.batch(self.connection, batch_id)

    def state(self, batch_id: str) -> str:
        return self.batch(batch_id).state

    def sinks(self, batch_id: str) -> dict[str, str]:
        found = ledger.sinks(self.connection, [batch_id])[batch_id]
        return {sink.sink: sink.state for sink in found}

    def keys(self, batch_id: str) -> Sequence[str]:
        rows = self.connection.execute(
            "SELECT key FROM landing.object_version WHERE batch_id = %s ORDER BY seq", (batch_id,)
        )
        return [row[0].removeprefix("in/").removesuffix(".csv") for row in rows]

    def execute(self, statement: str, *values: Any) -> None:
        self.connection.execute(statement, values)
