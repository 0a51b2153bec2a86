"""A stand-in for Google Dataflow that takes only what the API's own description allows.

The description is the discovery document in google-api-python-client (a dependency of dagster-gcp):
methods, parameters and schemas as Google publishes them. A request that does not fit is refused
with 400, as Google does, and an answer that does not fit fails the test.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import googleapiclient

DOCUMENT: dict[str, Any] = json.loads(
    (
        Path(googleapiclient.__file__).parent / "discovery_cache/documents/dataflow.v1b3.json"
    ).read_text()
)
STATES = tuple(DOCUMENT["schemas"]["Job"]["properties"]["currentState"]["enum"])
TERMINAL = {"DONE", "FAILED", "CANCELLED", "UPDATED", "DRAINED"}
_METHODS = ("launch", "get", "list", "update")


class Refused(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class StandIn:
    """What was asked, the jobs there are, and what is to go wrong."""

    endpoint: str = ""
    jobs: list[dict[str, Any]] = field(default_factory=list)
    messages: dict[str, list[tuple[str, str, str]]] = field(default_factory=dict)
    #: Statuses with which the next requests are refused; None lets one through.
    faults: list[int | None] = field(default_factory=list)
    #: Launch, and then answer with this status: the launch that nobody heard of.
    swallow: int | None = None
    page: int = 2
    failed_location: bool = False
    asked: list[tuple[str, str, dict[str, str], Any]] = field(default_factory=list)

    def add(self, name: str, state: str, created: str = "2026-11-22T10:00:00.123456789Z") -> str:
        job_id = f"2026-11-22_{len(self.jobs):06d}"
        self.jobs.append(
            {
                "id": job_id,
                "name": name,
                "type": "JOB_TYPE_STREAMING",
                "currentState": f"JOB_STATE_{state}",
                "currentStateTime": created,
                "createTime": created,
                "projectId": "p",
                "location": "europe-west1",
            }
        )
        return job_id

    def asked_for(self, method: str) -> list[tuple[dict[str, str], Any]]:
        return [(params, body) for _, name, params, body in self.asked if name == method]

    def answer(self, verb: str, url: str, body: Any) -> dict[str, Any]:
        split = urlsplit(url)
        query = dict(parse_qsl(split.query))
        name, method, path = _method(verb, split.path.removeprefix("/"))
        _check_parameters(method, query)
        if ("request" in method) != (body is not None):
            raise Refused(400, "a body where there is none, or none where there is one")
        if body is not None:
            check(method["request"]["$ref"], body)
        self.asked.append((verb, name, query, body))
        if self.faults and (status := self.faults.pop(0)):
            raise Refused(status, "as the test wants it")
        answer: dict[str, Any] = getattr(self, "_" + name.replace(".", "_"))(path, query, body)
        check(method["response"]["$ref"], answer)
        return answer

    def _templates_launch(self, _path: Any, query: Any, body: Any) -> dict[str, Any]:
        if not query.get("gcsPath", "").startswith("gs://"):
            raise Refused(400, "gcsPath must be a valid Cloud Storage URL")
        if not re.fullmatch(r"[a-z]([-a-z0-9]{0,1022}[a-z0-9])?", body["jobName"]):
            raise Refused(400, "not a job name")
        for job in self.jobs:
            if job["name"] == body["jobName"] and job["currentState"][10:] not in TERMINAL:
                raise Refused(409, f"There is already an active job named {job['name']}")
        self.add(body["jobName"], "PENDING", f"2026-11-22T11:00:{len(self.jobs):02d}Z")
        if self.swallow:
            status, self.swallow = self.swallow, None
            raise Refused(status, "the answer got lost")
        return {"job": self.jobs[-1]}

    def _jobs_get(self, path: Any, _query: Any, _body: Any) -> dict[str, Any]:
        return self._find(path["jobId"])

    def _jobs_list(self, _path: Any, query: Any, _body: Any) -> dict[str, Any]:
        if self.failed_location:
            return {"failedLocation": [{"name": "europe-west1"}]}
        start = int(query.get("pageToken", 0))
        size = min(self.page, int(query.get("pageSize", 100)))
        found = [job for job in self.jobs if job["name"] == query.get("name", job["name"])]
        answer: dict[str, Any] = {"jobs": found[start : start + size]}
        if start + size < len(found):
            answer["nextPageToken"] = str(start + size)
        return answer if answer["jobs"] else {}

    def _jobs_update(self, path: Any, _query: Any, body: Any) -> dict[str, Any]:
        job = self._find(path["jobId"])
        if body.get("requestedState") == "JOB_STATE_DRAINED":
            job["currentState"] = "JOB_STATE_DRAINING"
        return job

    def _jobs_messages_list(self, path: Any, query: Any, _body: Any) -> dict[str, Any]:
        self._find(path["jobId"])
        wanted = query.get("minimumImportance", "JOB_MESSAGE_ERROR")
        return {
            "jobMessages": [
                {"id": str(n), "time": at, "messageText": text, "messageImportance": importance}
                for n, (at, importance, text) in enumerate(self.messages.get(path["jobId"], []))
                if importance == wanted
            ]
        }

    def _find(self, job_id: str) -> dict[str, Any]:
        for job in self.jobs:
            if job["id"] == job_id:
                return job
        raise Refused(404, f"({job_id}): Information about job could not be found")


def check(schema: str, value: Any, where: str = "") -> None:
    """Raise Refused where ``value`` is not what the schema says."""
    described = DOCUMENT["schemas"][schema]
    if not isinstance(value, dict):
        raise Refused(400, f"{where or schema} is no object")
    for name, inner in value.items():
        if name not in described["properties"]:
            raise Refused(400, f'Unknown name "{name}" at "{where or schema}"')
        _check_value(described["properties"][name], inner, f"{where or schema}.{name}")


def _check_value(described: Mapping[str, Any], value: Any, where: str) -> None:
    if "$ref" in described:
        check(described["$ref"], value, where)
        return
    kinds = {"string": str, "integer": int, "boolean": bool, "array": list, "object": dict}
    kind = described["type"]
    if kind != "any" and (
        not isinstance(value, kinds[kind]) or (kind == "integer" and isinstance(value, bool))
    ):
        raise Refused(400, f"{where} is no {kind}")
    if "enum" in described and value not in described["enum"]:
        raise Refused(400, f"{where} is none of {described['enum']}")
    if kind == "array":
        for inner in value:
            _check_value(described["items"], inner, where)
    if kind == "object" and "additionalProperties" in described:
        for inner in value.values():
            _check_value(described["additionalProperties"], inner, where)


def _method(verb: str, path: str) -> tuple[str, dict[str, Any], dict[str, str]]:
    """The API's method of a request, and what its path's parameters are."""
    found = DOCUMENT["resources"]["projects"]["resources"]["locations"]["resources"]
    groups = {**found, "jobs.messages": found["jobs"]["resources"]["messages"]}
    for group in ("templates", "jobs", "jobs.messages"):
        for name, method in groups[group]["methods"].items():
            pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/:]+)", re.escape(method["path"]))
            match = re.fullmatch(pattern, path)
            if match and method["httpMethod"] == verb and name in _METHODS:
                values = {key: unquote(value) for key, value in match.groupdict().items()}
                return f"{group}.{name}", method, values
    raise Refused(404, f"no method {verb} {path}")


def _check_parameters(method: Mapping[str, Any], query: Mapping[str, str]) -> None:
    for name, value in query.items():
        described = method["parameters"].get(name)
        if described is None or described["location"] != "query":
            raise Refused(400, f'Unknown name "{name}": cannot bind query parameter')
        if described["type"] == "integer":
            int(value)
        if "enum" in described and value not in described["enum"]:
            raise Refused(400, f"{name} is none of {described['enum']}")


@contextmanager
def dataflow_standin() -> Iterator[StandIn]:
    """A stand-in that listens on 127.0.0.1 until the end of the block."""
    state = StandIn()

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            try:
                status, answer = 200, state.answer(self.command, self.path, body)
            except Refused as refused:
                status = refused.status
                answer = {"error": {"code": status, "message": str(refused)}}
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = _serve  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    state.endpoint = f"http://127.0.0.1:{server.server_port}"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
