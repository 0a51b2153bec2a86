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

#: Seconds: of one HTTP request, and of a job as a whole.
REQUEST_TIMEOUT = 30.0
JOB_TIMEOUT = 600.0

_PROJECT = re.compile(r"[a-z][a-z0-9-]*(\.[a-z]+:[a-z0-9-]+)?|[a-z0-9.]+:[a-z0-9-]+")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class BigQueryResource(dg.ConfigurableResource[Any]):
    """One project. An empty ``api_endpoint`` means Google's own, with the default credentials."""

    project: str
    api_endpoint: str = ""

    def client(self) -> Client:
        """A new client; use it as a context manager. Raises google.auth.exceptions errors."""
        from google.api_core.client_options import ClientOptions
        from google.auth.credentials import AnonymousCredentials
        from google.cloud.bigquery import Client

        if not self.api_endpoint:
            return Client(project=self.project)
        return Client(
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

    Raises google.api_core.exceptions errors, concurrent.futures.TimeoutError past JOB_TIMEOUT.
    """
    from google.cloud.bigquery import QueryJobConfig

    job = client.query(
        sql, job_config=QueryJobConfig(query_parameters=list(parameters)), timeout=REQUEST_TIMEOUT
    )
    return job.result(timeout=JOB_TIMEOUT)
