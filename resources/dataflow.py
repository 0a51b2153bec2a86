"""Google Dataflow's REST API: launching a template, and looking at jobs.

Belongs here: requests, retries, states of a job. Does not: which jobs there should be (assets).
The API: https://cloud.google.com/dataflow/docs/reference/rest/v1b3/projects.locations.jobs
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

import dagster as dg

from resources import retryable

if TYPE_CHECKING:
    from google.auth.transport.requests import AuthorizedSession

GOOGLE = "https://dataflow.googleapis.com"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"

#: Seconds of one request.
TIMEOUT = 30.0
#: Attempts at a request that may be repeated.
ATTEMPTS = 4
#: Jobs and messages per page; pages that are read at most.
PAGE_SIZE = 100
PAGES = 50

_ERROR = 400
_CONFLICT = 409
_PREFIX = "JOB_STATE_"

#: What a job is doing, as far as anyone who waits for it needs to know. ``unknown`` is also what
#: this module takes a state for that Google has added since.
Phase = Literal["starting", "running", "stopping", "done", "failed", "cancelled", "drained",
                "replaced", "unknown"]  # fmt: skip

_PHASES: Mapping[str, Phase] = {
    # STOPPED is "not yet started", in the API's words.
    "STOPPED": "starting",
    "PENDING": "starting",
    "QUEUED": "starting",
    "RUNNING": "running",
    "PAUSING": "running",
    "PAUSED": "running",
    "DRAINING": "stopping",
    "CANCELLING": "stopping",
    "RESOURCE_CLEANING_UP": "stopping",
    "DONE": "done",
    "FAILED": "failed",
    "CANCELLED": "cancelled",
    "DRAINED": "drained",
    "UPDATED": "replaced",
}
#: Phases in which a job takes messages, or will.
ALIVE: frozenset[Phase] = frozenset({"starting", "running"})
ENDED: frozenset[Phase] = frozenset({"done", "failed", "cancelled", "drained", "replaced"})


class DataflowRequestError(Exception):
    """A request was refused; ``status_code`` is HTTP's."""

    def __init__(self, status_code: int, message: str) -> None:
        super().__init__(f"Dataflow answered {status_code}: {message}")
        self.status_code = status_code

    @property
    def transient(self) -> bool:
        """Whether the same request may succeed later."""
        return retryable.http(self.status_code)


class JobNameTakenError(DataflowRequestError):
    """A job of that name is active already."""


@dataclass(frozen=True, slots=True)
class Job:
    """A job as the list shows it; times as Google gives them, None where it gives none."""

    id: str
    name: str
    state: str
    created: datetime | None
    state_since: datetime | None

    @property
    def phase(self) -> Phase:
        """What the state means."""
        return _PHASES.get(self.state.removeprefix(_PREFIX), "unknown")


@dataclass(frozen=True, slots=True)
class Launch:
    """A classic template and what it is given. ``temp_location`` is a gs:// folder."""

    name: str
    template: str
    parameters: Mapping[str, str]
    temp_location: str
    labels: Mapping[str, str]
    max_workers: int

    def body(self) -> dict[str, Any]:
        """LaunchTemplateParameters."""
        return {
            "jobName": self.name,
            "parameters": dict(self.parameters),
            "environment": {
                "tempLocation": self.temp_location,
                "maxWorkers": self.max_workers,
                "enableStreamingEngine": True,
                "additionalUserLabels": dict(self.labels),
            },
        }


class DataflowClient:
    """The jobs of one project in one region."""

    def __init__(self, session: AuthorizedSession, base: str) -> None:
        self._session, self._base = session, base

    def launch(self, launch: Launch) -> Job:
        """Start a job. Not repeated: whoever got no answer looks for the job by its name first.

        Raises:
            JobNameTakenError: one of that name is active.
            DataflowRequestError: anything else that the API refuses.
        """
        answer = self._once("POST", "templates:launch", {"gcsPath": launch.template}, launch.body())
        return _job(answer["job"])

    def jobs(self, name: str) -> list[Job]:
        """All jobs of that name that Google remembers, newest first."""
        found = [
            _job(entry)
            for page in self._pages("jobs", {"name": name, "filter": "ALL"})
            for entry in page.get("jobs", ())
            # Whether the service filters by name or not.
            if entry.get("name") == name
        ]
        return sorted(found, key=lambda job: (str(job.created or ""), job.id), reverse=True)

    def job(self, job_id: str) -> Job:
        """One job."""
        return _job(self._again("GET", f"jobs/{quote(job_id, safe='')}"))

    def drain(self, job_id: str) -> Job:
        """Ask a job to stop pulling, finish what it holds and end."""
        body = {"requestedState": f"{_PREFIX}DRAINED"}
        return _job(self._again("PUT", f"jobs/{quote(job_id, safe='')}", body=body))

    def errors(self, job_id: str, limit: int = 5) -> list[str]:
        """The job's last error messages, oldest first."""
        path = f"jobs/{quote(job_id, safe='')}/messages"
        messages = [
            (str(message.get("time", "")), str(message.get("messageText", "")))
            for page in self._pages(path, {"minimumImportance": "JOB_MESSAGE_ERROR"})
            for message in page.get("jobMessages", ())
        ]
        return [text for _, text in sorted(messages)[-limit:]]

    def _pages(self, path: str, params: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        token = ""
        for _ in range(PAGES):
            more = {"pageToken": token} if token else {}
            page = self._again("GET", path, {**params, "pageSize": str(PAGE_SIZE), **more})
            if page.get("failedLocation"):
                # A list without a region's answer would look like one without jobs.
                raise DataflowRequestError(503, f"{page['failedLocation']} did not answer")
            yield page
            token = page.get("nextPageToken", "")
            if not token:
                return
        raise DataflowRequestError(503, f"more than {PAGES} pages of {path}")

    def _again(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """A request that may be sent twice."""
        import stamina

        for attempt in stamina.retry_context(
            on=_worth_another, attempts=ATTEMPTS, timeout=None, wait_initial=0.2, wait_max=5.0
        ):
            with attempt:
                return self._once(method, path, params, body)
        raise AssertionError  # the last attempt returns or raises

    def _once(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        response = self._session.request(
            method,
            f"{self._base}/{path}",
            params=dict(params or {}),
            json=None if body is None else dict(body),
            timeout=TIMEOUT,
        )
        if response.status_code >= _ERROR:
            kind = JobNameTakenError if response.status_code == _CONFLICT else DataflowRequestError
            raise kind(response.status_code, _message(response.text))
        answer: dict[str, Any] = response.json()
        return answer


class DataflowResource(dg.ConfigurableResource[Any]):
    """Dataflow in one project and region, and where its jobs keep temporary files.

    An empty ``endpoint`` means Google's own, with the default credentials; ``temp_location`` is a
    gs:// folder, and empty where no job was ever launched.
    """

    project: str
    region: str
    temp_location: str = ""
    endpoint: str = ""

    @contextmanager
    def client(self) -> Iterator[DataflowClient]:
        """A client that is closed at the end. Raises google.auth.exceptions errors."""
        import google.auth
        from google.auth.credentials import AnonymousCredentials
        from google.auth.transport.requests import AuthorizedSession

        if self.endpoint:
            credentials: Any = AnonymousCredentials()
        else:
            credentials, _ = google.auth.default(scopes=[SCOPE])
        project, region = quote(self.project, safe=":"), quote(self.region, safe="")
        base = f"{(self.endpoint or GOOGLE).rstrip('/')}/v1b3/projects/{project}/locations/{region}"
        with AuthorizedSession(credentials) as session:
            yield DataflowClient(session, base)

    def template(self, name: str) -> str:
        """The path of the latest version of one of Google's classic templates in the region."""
        return f"gs://dataflow-templates-{self.region}/latest/{name}"

    def check(self) -> str:
        """What is reachable, in one line. Raises DataflowRequestError and requests' errors."""
        with self.client() as client:
            client.jobs("quintet-doctor")
        return f"Dataflow of project {self.project} in {self.region} at {self.endpoint or 'Google'}"


def _job(entry: Mapping[str, Any]) -> Job:
    return Job(
        id=str(entry["id"]),
        name=str(entry.get("name", "")),
        # Left out of an answer, as enums are when they have their first value.
        state=str(entry.get("currentState", f"{_PREFIX}UNKNOWN")),
        created=_time(entry.get("createTime")),
        state_since=_time(entry.get("currentStateTime")),
    )


def _time(value: object) -> datetime | None:
    return datetime.fromisoformat(value) if isinstance(value, str) and value else None


def _message(text: str) -> str:
    """Google's own words of a refusal, or the beginning of whatever answered."""
    import json

    try:
        return str(json.loads(text)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return text[:300]


def _worth_another(error: Exception) -> bool:
    from requests.exceptions import ConnectionError as BrokenConnection
    from requests.exceptions import Timeout

    if isinstance(error, DataflowRequestError):
        return error.transient
    return isinstance(error, BrokenConnection | Timeout)
