"""The job that keeps up managed ingestion, and merges what it landed, every minute.

Belongs here: selection, tags, when. Does not: what ingests
(``assets/reading/managed_ingestion/arrangement.py``).
"""

from collections.abc import Iterator

import dagster as dg

from assets.frame.execution import UNFINISHED, in_process
from assets.reading.managed_ingestion.assets import EVERY_STREAM_INGESTED, JOBS_KEY, LANDED_KEY
from assets.reading.settings import ReadingSettings

#: Where sessions take the messages it would only say so, every minute.
_INGESTS = ReadingSettings.current().stream != "session"

#: One run at a time: two would only wait for each other's merges.
INGESTION_TAG = "quintet/ingestion"

_SELECTION = dg.AssetSelection.assets(JOBS_KEY, LANDED_KEY)

reading_dataflow_job = dg.define_asset_job(
    name="reading_dataflow",
    description="Dataflow jobs or BigQuery subscriptions as READING_STREAM says, and the merge of "
    "what they landed.",
    selection=_SELECTION.without_checks()
    | dg.AssetSelection.checks(dg.AssetCheckKey(JOBS_KEY, EVERY_STREAM_INGESTED)),
    config=in_process(),
    tags={INGESTION_TAG: "reading", "dagster/max_retries": "0", "dagster/max_runtime": "3600"},
)


@dg.schedule(
    name="reading_dataflow_every_minute",
    job=reading_dataflow_job,
    cron_schedule="* * * * *",
    execution_timezone="UTC",
    default_status=(
        dg.DefaultScheduleStatus.RUNNING if _INGESTS else dg.DefaultScheduleStatus.STOPPED
    ),
    description="Asks for a run a minute while READING_STREAM is not `session`.",
)
def reading_dataflow_schedule(
    context: dg.ScheduleEvaluationContext, reading: dg.ResourceParam[ReadingSettings]
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """One run, unless sessions ingest the messages or the last run still goes on."""
    if reading.stream == "session":
        yield dg.SkipReason("READING_STREAM is session: there is no managed ingestion.")
        return
    unfinished = dg.RunsFilter(
        job_name=reading_dataflow_job.name,
        statuses=list(UNFINISHED),
    )
    if context.instance.get_runs_count(unfinished):
        yield dg.SkipReason("The last run still goes on.")
        return
    yield dg.RunRequest()
