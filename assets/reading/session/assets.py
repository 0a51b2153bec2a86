"""The streaming session as a step: what it materializes, and what is seen of it while it runs.

Belongs here: the assets, observations, what an interrupt means for the run. Does not: streaming
(``stream``), the sensor that keeps a session alive.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import dagster as dg

from assets.reading.changes import (
    events_per_second,
    quiet_seconds,
    report_changes,
    seconds_since_report,
)
from assets.reading.pacing import LEAST_REPORT_SECONDS, report_seconds
from assets.reading.pipeline import (
    INTERACTION_TOPIC_KEY,
    META_TOPIC_KEY,
    STREAM,
    asset_key,
)
from assets.reading.session.log import SessionLog
from assets.reading.session.progress import SessionTimeline, figures, progress
from assets.reading.session.watching import Regular, ReportPacing, watch
from assets.reading.settings import ReadingSettings
from assets.reading.tables import INTERACTIONS_RAW, META, warehouse_of
from landing.batch.failures import classify
from resources.bigquery import BigQueryResource
from resources.bigquery_write import BigQueryWriteResource
from resources.postgres import PostgresResource
from resources.pubsub import PubSubResource

if TYPE_CHECKING:
    from assets.reading.stream.progress import SessionReport, StreamReport

RAW_KEY = asset_key(INTERACTIONS_RAW.name)
META_KEY = asset_key(META.name)

#: Seconds between two looks at the session's rows, and between two observations.
LOOK_SECONDS = 2.0
OBSERVE_SECONDS = 60.0
#: Seconds that reporting changes may take at once: the next look or session reports the rest.
REPORT_AT_MOST = 20.0


@dg.multi_asset(
    name="reading_session",
    specs=[
        dg.AssetSpec(
            RAW_KEY,
            deps=[INTERACTION_TOPIC_KEY],
            owners=list(STREAM.owners),
            kinds={"bigquery", "pubsub"},
            description=INTERACTIONS_RAW.description,
            metadata={"dagster/column_schema": INTERACTIONS_RAW.column_schema()},
        ),
        dg.AssetSpec(
            META_KEY,
            deps=[
                META_TOPIC_KEY,
                dg.AssetDep(
                    asset_key("content_meta_history"), partition_mapping=dg.AllPartitionMapping()
                ),
            ],
            owners=list(STREAM.owners),
            kinds={"bigquery", "pubsub"},
            description=META.description,
            metadata={"dagster/column_schema": META.column_schema()},
        ),
    ],
    group_name="reading_stream",
)
def reading_session(
    context: dg.AssetExecutionContext,
    postgres: PostgresResource,
    pubsub: PubSubResource,
    bigquery: BigQueryResource,
    bigquery_write: BigQueryWriteResource,
    reading: ReadingSettings,
) -> Iterator[dg.MaterializeResult[Any]]:
    """Serves both subscriptions for READING_SESSION_SECONDS, drains, and hands over.

    Observed once a minute. An interrupt makes it drain and end: as cancelled when somebody
    cancelled the run, else as usual. Every message is acknowledged only once its row is final.
    """
    from assets.reading.stream.serving import serve

    session_id, lines = context.run.run_id, SessionLog()

    def serving(stopping: threading.Event) -> "SessionReport":
        return serve(
            pubsub,
            bigquery,
            bigquery_write,
            postgres,
            reading,
            session_id=session_id,
            stopping=stopping,
            seconds=reading.session_seconds,
            log=lines.logger,
        )

    seen = SessionWatch(context, postgres, bigquery, reading, lines)
    try:
        _, interrupted = watch(
            serving, [Regular(LOOK_SECONDS, seen.look), Regular(OBSERVE_SECONDS, seen.observe)]
        )
        seen.look(ending=True)
    finally:
        seen.pass_on_lines()
    results = seen.results()
    if interrupted and _cancelled(context):
        for key, metadata in results:
            context.log_event(dg.AssetMaterialization(key, metadata=metadata))
        raise dg.DagsterExecutionInterruptedError("The run was cancelled; the session has drained.")
    for key, metadata in results:
        yield dg.MaterializeResult(asset_key=key, metadata=metadata)


def _cancelled(context: dg.AssetExecutionContext) -> bool:
    run = context.instance.get_run_by_id(context.run.run_id)
    return run is not None and run.status == dg.DagsterRunStatus.CANCELING


class SessionWatch:
    """Looks at a session from its run's main thread, and shows in Dagster what it sees."""

    def __init__(
        self,
        context: dg.AssetExecutionContext,
        postgres: PostgresResource,
        bigquery: BigQueryResource,
        reading: ReadingSettings,
        lines: SessionLog,
    ) -> None:
        self._context = context
        self._lines = lines
        self._postgres = postgres
        self._bigquery = bigquery
        self._reading = reading
        self._started = time.monotonic()
        self._pacing = ReportPacing()
        self._last: dict[str, StreamReport] = {}
        self._streams = {
            RAW_KEY: (reading.interaction_subscription, INTERACTIONS_RAW, SessionTimeline()),
            META_KEY: (reading.meta_subscription, META, SessionTimeline()),
        }

    def look(self, *, ending: bool = False) -> None:
        """Read the session's rows; report changed days when they are due, soon or at its end.

        Where the load is high they are due so seldom that the end of a session makes none due.
        """
        self.pass_on_lines()
        quiet = None
        with self._forgiving("look"), self._postgres.connect(autocommit=True) as conn:
            self._read(conn)
            quiet = quiet_seconds(conn)
            self._pace(conn)
        due = self._pacing.due(time.monotonic(), quiet)
        if due or (ending and self._pacing.every <= LEAST_REPORT_SECONDS):
            self.report_changed_days()

    def _pace(self, conn: Any) -> None:
        self._pacing.every = report_seconds(events_per_second(conn))
        if self._pacing.every > LEAST_REPORT_SECONDS:
            # Longer than a session is: the one before may have reported.
            self._pacing.reported_at = time.monotonic() - seconds_since_report(conn)

    def report_changed_days(self) -> None:
        """Report the days that changed to Dagster; what cannot be reported now stays noted."""
        with (
            self._forgiving("report_changed_days"),
            self._postgres.connect(autocommit=True) as conn,
            self._bigquery.client() as client,
        ):
            warehouse = warehouse_of(client, self._reading.dataset)
            report_changes(self._context, conn, warehouse, seconds=REPORT_AT_MOST)
            self._pacing.reported(time.monotonic())

    def observe(self) -> None:
        """One observation of each table, with the counts so far."""
        with self._forgiving("observe"):
            for key, metadata in self._figures().items():
                self._context.log_event(dg.AssetObservation(key, metadata=metadata))

    def pass_on_lines(self) -> None:
        """Show in the run's log what the session's threads have logged."""
        with self._forgiving("pass_on_lines"):
            self._lines.pass_on(self._context.log)

    def results(self) -> list[tuple[dg.AssetKey, dict[str, Any]]]:
        """What the session made of each table, with pictures of its timeline."""
        from assets.reading.charts import session_chart

        with self._forgiving("results"), self._postgres.connect() as conn:
            self._read(conn)
        results = []
        for key, metadata in self._figures().items():
            chart = session_chart(self._streams[key][2])
            pictures = {"timeline": dg.MetadataValue.md(chart)} if chart else {}
            results.append((key, {**metadata, **pictures}))
        return results

    def _read(self, conn: Any) -> None:
        self._last = progress(conn, self._context.run.run_id)
        at = time.monotonic() - self._started
        for subscription, _, timeline in self._streams.values():
            if subscription in self._last:
                timeline.add(at, self._last[subscription])

    def _figures(self) -> dict[dg.AssetKey, dict[str, Any]]:
        dataset = f"{self._bigquery.project}.{self._reading.dataset}"
        return {
            key: {
                "dagster/table_name": f"{dataset}.{table.name}",
                "subscription": subscription,
                **(
                    figures(self._last[subscription], timeline)
                    if subscription in self._last
                    else {"received": 0}
                ),
            }
            for key, (subscription, table, timeline) in self._streams.items()
        }

    @contextmanager
    def _forgiving(self, what: str) -> Iterator[None]:
        """Go on after trouble that will pass: a look at the stream must not end the stream."""
        try:
            yield
        except Exception as error:
            if classify(error) == "permanent":
                raise
            self._lines.logger.warning("%s failed, tried again later: %r", what, error)
