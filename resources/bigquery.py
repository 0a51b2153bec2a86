"""BigQuery, through google-cloud-bigquery.

Belongs here: how to connect, identifiers, how a query is bounded. Does not: any table of ours.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    from google.cloud.bigquery import Client

#: Seconds: of one HTTP request, of a call with its further attempts, and of a job as a whole. The
#: client's own attempts go on for 600 s, and start over for a job: a step hung that long.
REQUEST_TIMEOUT = 30.0
CALL_SECONDS = 45.0
JOB_TIMEOUT = 600.0
#: Further attempts at a part of an upload: 1 + 2 seconds of waiting.
UPLOAD_RETRIES = 1

_PROJECT = re.compile(r"[a-z][a-z0-9-]*(\.[a-z]+:[a-z0-9-]+)?|[a-z0-9.]+:[a-z0-9-]+")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class BigQueryResource(dg.ConfigurableResource[Any]):
    """One project. An empty ``api_endpoint`` means Google's own, with the default credentials.

    Not by dagster-gcp's resource: it has no endpoint, and no bound for what a call may last.
    """

    project: str
    api_endpoint: str = ""
    request_timeout: float = REQUEST_TIMEOUT
    call_seconds: float = CALL_SECONDS

    def client(self) -> Client:
        """A new client; use it as a context manager. Raises google.auth.exceptions errors.

        No call of it lasts longer than ``call_seconds`` and one request, also where its caller
        asks for more attempts.
        """
        from google.api_core.client_options import ClientOptions
        from google.auth.credentials import AnonymousCredentials
        from google.cloud.bigquery import Client

        request_timeout, call_seconds = self.request_timeout, self.call_seconds

        class Bounded(Client):
            """All calls but uploads go through this one."""

            def _call_api(self, retry: Any, *args: Any, **kwargs: Any) -> Any:
                if kwargs.get("timeout") is None:
                    kwargs["timeout"] = request_timeout
                kwargs["timeout"] = min(kwargs["timeout"], request_timeout)
                # Retry has no public way to read its timeout.
                if retry and not 0 < (getattr(retry, "_timeout", None) or 0) <= call_seconds:
                    retry = retry.with_timeout(call_seconds)
                return super()._call_api(retry, *args, **kwargs)

        if not self.api_endpoint:
            return Bounded(project=self.project)
        return Bounded(
            project=self.project,
            credentials=AnonymousCredentials(),
            client_options=ClientOptions(api_endpoint=self.api_endpoint),
        )

    def check(self) -> str:
        """What is reachable, in one line. Raises google.api_core.exceptions errors."""
        with self.client() as client:
            run(client, "SELECT 1 AS one")
        return f"BigQuery project {self.project} at {self.api_endpoint or 'Google'}"


def table_id(project: str, dataset: str, table: str) -> str:
    """``project.dataset.table``, safe between backticks.

    Raises ValueError for names that BigQuery does not allow.
    """
    if not _PROJECT.fullmatch(project):
        raise ValueError(f"not a Google Cloud project id: {project!r}")
    for name in (dataset, table):
        if not _NAME.fullmatch(name):
            raise ValueError(f"not a BigQuery dataset or table name: {name!r}")
    return f"{project}.{dataset}.{table}"


def run(client: Client, sql: str, parameters: Sequence[Any] = ()) -> Any:
    """Run one statement with bound parameters; return its rows.

    A job that fails is not started anew here. Raises google.api_core.exceptions errors,
    concurrent.futures.TimeoutError past JOB_TIMEOUT.
    """
    from google.cloud.bigquery import QueryJobConfig

    job = client.query(
        sql,
        job_config=QueryJobConfig(query_parameters=list(parameters)),
        timeout=REQUEST_TIMEOUT,
        job_retry=None,
    )
    return job.result(timeout=JOB_TIMEOUT, job_retry=None)
