"""Google's own services of messages to BigQuery: Dataflow jobs and BigQuery subscriptions.

Belongs here: which service there should be, bringing it about, what it is doing. Does not: what
becomes of the messages that it landed (``landed.py``), the requests (``resources/dataflow.py``).

Both kinds take the subscription that a session takes, so that the backlog stays where it is when
the kind is changed: nothing is lost, and what two services bring twice is merged once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from assets.reading.routes import routes
from resources.dataflow import ENDED, JobNameTakenError, Launch

if TYPE_CHECKING:
    from google.cloud.pubsub_v1 import SubscriberClient
    from google.cloud.storage import Client as StorageClient

    from assets.reading.settings import ReadingSettings
    from resources.dataflow import DataflowClient, Job

#: One job per topic, in https://cloud.google.com/dataflow/docs/guides/templates/provided/
#: pubsub-subscription-to-bigquery: a streaming job that ends only when it is told to.
TEMPLATE = "PubSub_Subscription_to_BigQuery"
MAX_WORKERS = 4
LABELS = {"quintet": "reading"}

#: Deliveries before Pub/Sub itself gives a message up, the most that it allows: what cannot be
#: written at all must not stay for ever, and a table that is out of reach is no fault of a message.
MOST_ATTEMPTS = 100
#: Seconds of one request to Pub/Sub or GCS.
TIMEOUT = 20.0

#: The template turns a message's JSON keys into columns, and sends what has others to a table of
#: errors. Wrapped as text every message becomes a row, and one place decides what is valid.
WRAP_FUNCTION = "wrap"
WRAP_SOURCE = f"""function {WRAP_FUNCTION}(message) {{
  return JSON.stringify({{data: message, publish_time: new Date().toISOString()}});
}}
"""

Verdict = Literal["launch", "ingesting", "stopping", "gave_up", "unknown"]


@dataclass(frozen=True, slots=True)
class Stream:
    """What is ingested: full names of a subscription and its dead-letter topic, and a table."""

    subscription: str
    dead_topic: str
    table: str
    label: str


@dataclass(frozen=True, slots=True)
class Ingestion:
    """What ingests one stream: ``state`` in Google's words, ``detail`` what went wrong."""

    stream: str
    kind: str
    state: str
    verdict: Verdict
    job_id: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class DataflowPlan:
    """What launches need beyond their stream: template, its function, temporary folder."""

    template: str
    function_path: str
    temp_location: str
    relaunch: bool


def streams(settings: ReadingSettings, project: str) -> tuple[Stream, Stream]:
    """Both streams, of events and of categories."""
    events, categories = (
        Stream(
            subscription=f"projects/{project}/subscriptions/{route.subscription}",
            dead_topic=f"projects/{project}/topics/{route.dead_topic}",
            table=f"{project}.{settings.dataset}.{route.kind.landed.name}",
            label=route.subscription,
        )
        for route in routes(settings)
    )
    return events, categories


def judge(jobs: Sequence[Job], *, relaunch: bool) -> Verdict:
    """What is to be done, given all jobs of one name, newest first.

    A drained job has handed over as it should: the configuration still asks for one, so another is
    launched. A failed or cancelled one waits for somebody to say ``relaunch``: what made it fail,
    or made somebody cancel it, would do so again. About a state that is not known nothing is done,
    since a second job could be one too many.
    """
    phases = [job.phase for job in jobs]
    if "starting" in phases or "running" in phases:
        return "ingesting"
    if "stopping" in phases:
        return "stopping"
    if not phases or phases[0] in {"done", "drained", "replaced"}:
        return "launch"
    if phases[0] in ENDED:
        return "launch" if relaunch else "gave_up"
    return "unknown"


def job_name(stream: Stream) -> str:
    """Names are unique among active jobs, which is what keeps a second one from being launched.

    Dataflow takes ``[a-z]([-a-z0-9]*[a-z0-9])?``.
    """
    kept = "".join(c if c.isascii() and c.isalnum() else "-" for c in stream.label.lower())
    return f"reading-{kept}".strip("-")


def ingest_by_dataflow(client: DataflowClient, stream: Stream, plan: DataflowPlan) -> Ingestion:
    """See to it that one job ingests the stream. Raises resources.dataflow's errors."""
    name = job_name(stream)
    jobs = client.jobs(name)
    verdict = judge(jobs, relaunch=plan.relaunch)
    if verdict == "launch":
        try:
            job = client.launch(_launch(name, stream, plan))
        except JobNameTakenError:
            # Another run was faster, or an earlier launch had no answer.
            jobs = client.jobs(name)
            verdict = judge(jobs, relaunch=False)
            if not jobs:
                raise
            job = jobs[0]
        else:
            verdict = "ingesting"
    else:
        job = jobs[0]
    errors = client.errors(job.id) if verdict in {"gave_up", "unknown"} else []
    return Ingestion(stream.label, "dataflow", job.state, verdict, job.id, "; ".join(errors))


def stop_dataflow(client: DataflowClient, stream: Stream) -> Ingestion | None:
    """Drain the job that ingests the stream; None when there never was one."""
    jobs = client.jobs(job_name(stream))
    if not jobs:
        return None
    alive = [job for job in jobs if job.phase in {"starting", "running"}]
    drained = [client.drain(job.id) for job in alive]
    job = drained[0] if drained else jobs[0]
    verdict: Verdict = "gave_up" if job.phase in ENDED else "stopping"
    return Ingestion(stream.label, "dataflow", job.state, verdict, job.id)


def upload_function(storage: StorageClient, temp_location: str) -> str:
    """Put the template's function under the temporary folder; its gs:// path.

    The name tells the content, so that a running job's function is never another one.
    """
    bucket, _, folder = temp_location.removeprefix("gs://").partition("/")
    mark = hashlib.sha256(WRAP_SOURCE.encode()).hexdigest()[:12]
    name = "/".join(part for part in (folder.strip("/"), f"wrap-{mark}.js") if part)
    blob = storage.bucket(bucket).blob(name)
    if not blob.exists(timeout=TIMEOUT):
        blob.upload_from_string(WRAP_SOURCE, content_type="text/javascript", timeout=TIMEOUT)
    return f"gs://{bucket}/{name}"


def ingest_by_subscription(client: SubscriberClient, stream: Stream) -> Ingestion:
    """See to it that Pub/Sub itself writes the stream's messages to its table.

    A dead-letter policy that is there is left alone, for a session is under it as well. Raises
    google.api_core.exceptions errors.
    """
    from google.cloud.pubsub_v1.types import BigQueryConfig, DeadLetterPolicy, Subscription

    found = client.get_subscription(subscription=stream.subscription, timeout=TIMEOUT)
    wanted = Subscription(
        name=stream.subscription,
        bigquery_config=BigQueryConfig(table=stream.table, write_metadata=True),
        dead_letter_policy=DeadLetterPolicy(
            dead_letter_topic=stream.dead_topic,
            max_delivery_attempts=MOST_ATTEMPTS,
        ),
    )
    mask = [
        name
        for name, settled in (
            ("bigquery_config", _same_table(found, wanted)),
            ("dead_letter_policy", bool(found.dead_letter_policy.dead_letter_topic)),
        )
        if not settled
    ]
    if mask:
        found = client.update_subscription(
            subscription=wanted, update_mask={"paths": mask}, timeout=TIMEOUT
        )
    state = BigQueryConfig.State(found.bigquery_config.state)
    verdict: Verdict = "gave_up"
    if state is BigQueryConfig.State.ACTIVE:
        verdict = "ingesting"
    elif state is BigQueryConfig.State.STATE_UNSPECIFIED:
        verdict = "unknown"
    detail = _STATES.get(state.name, "") if verdict == "gave_up" else ""
    return Ingestion(stream.label, "bigquery_subscription", state.name, verdict, detail=detail)


def stop_subscription(client: SubscriberClient, stream: Stream) -> Ingestion | None:
    """Let the subscription be pulled from again; None when it is already."""
    from google.cloud.pubsub_v1.types import Subscription

    found = client.get_subscription(subscription=stream.subscription, timeout=TIMEOUT)
    if not found.bigquery_config.table:
        return None
    client.update_subscription(
        subscription=Subscription(name=stream.subscription),
        update_mask={"paths": ["bigquery_config"]},
        timeout=TIMEOUT,
    )
    return Ingestion(stream.label, "bigquery_subscription", "CLEARED", "stopping")


_STATES = {
    "PERMISSION_DENIED": "Pub/Sub's service agent needs roles/bigquery.dataEditor on the table",
    "NOT_FOUND": "the table is not there; it is made when this asset is materialized",
    "SCHEMA_MISMATCH": "the table has other columns than those that this asset makes",
    "IN_TRANSIT_LOCATION_RESTRICTION": "topic and table are in regions that may not exchange data",
}


def _same_table(found: Any, wanted: Any) -> bool:
    """Whether the subscription writes there already; ``state`` is Google's to set."""
    have, want = found.bigquery_config, wanted.bigquery_config
    return bool(
        have.table == want.table
        and have.write_metadata
        and not have.use_topic_schema
        and not have.use_table_schema
    )


def _launch(name: str, stream: Stream, plan: DataflowPlan) -> Launch:
    project, dataset, table = stream.table.rsplit(".", 2)
    return Launch(
        name=name,
        template=plan.template,
        parameters={
            "inputSubscription": stream.subscription,
            "outputTableSpec": f"{project}:{dataset}.{table}",
            "outputDeadletterTable": f"{project}:{dataset}.{table}_errors",
            "javascriptTextTransformGcsPath": plan.function_path,
            "javascriptTextTransformFunctionName": WRAP_FUNCTION,
        },
        temp_location=plan.temp_location,
        labels=LABELS,
        max_workers=MAX_WORKERS,
    )
