"""The lines of an import's answer, failures' classes, ids in addresses, without a server."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from typesense import exceptions

from assets.frame.tables import Column, Table
from assets.sinks.typesense import DocumentStore, asking
from landing.batch.failures import PermanentError, TransientError, classify
from resources.typesense import TypesenseResource, in_address

DOCUMENTS: list[dict[str, Any]] = [{"id": "SO1", "year": 1999}, {"id": "SO2"}]
TABLE = Table(
    "orders", "songs", "Documents.", ("id",),
    (Column("id", "text", "Key."), Column("year", "integer", "Year.")),
)  # fmt: skip


def importing(answer: str) -> DocumentStore:
    documents = SimpleNamespace(import_=lambda body, parameters: answer)
    client: Any = SimpleNamespace(collections={"songs": SimpleNamespace(documents=documents)})
    return DocumentStore(client, "songs", TABLE)


def lines(*outcomes: dict[str, Any]) -> str:
    return "\n".join(json.dumps(outcome) for outcome in outcomes)


def test_every_line_of_the_answer_counts() -> None:
    good: dict[str, Any] = {"success": True}
    bad = {"success": False, "code": 400, "error": "Field `year` must be"}
    importing(lines(good, good)).upsert(DOCUMENTS)
    with pytest.raises(PermanentError, match=r"refused 1 of 2 .* SO2: 1 x 400 Field `year` must"):
        importing(lines(good, bad)).upsert(DOCUMENTS)


def test_a_document_that_is_refused_among_others_is_told_and_no_error() -> None:
    good: dict[str, Any] = {"success": True}
    bad = {"success": False, "code": 400, "error": "Field `year` must be"}
    busy = {"success": False, "code": 503, "error": "not ready"}
    told: dict[str, str] = {}
    importing(lines(good, bad)).upsert(DOCUMENTS, told.__setitem__)
    assert told == {"SO2": "400 Field `year` must be"}
    # All of them are the collection's fault; what may be taken later is nobody's.
    for answer, error in (
        (lines(bad, bad), PermanentError), (lines(good, busy), TransientError),
        (lines(busy, bad), PermanentError),
    ):  # fmt: skip
        with pytest.raises(error):
            importing(answer).upsert(DOCUMENTS, told.__setitem__)
    assert set(told) == {"SO2"}


@pytest.mark.parametrize("code", [500, 503, 429])
def test_lines_that_may_succeed_later(code: int) -> None:
    busy = {"success": False, "code": code, "error": "not ready"}
    bad = {"success": False, "code": 400, "error": "Bad JSON."}
    with pytest.raises(TransientError, match=f"2 x {code} not ready"):
        importing(lines(busy, busy)).upsert(DOCUMENTS)
    with pytest.raises(PermanentError, match="400 Bad JSON"):
        importing(lines(busy, bad)).upsert(DOCUMENTS)


@pytest.mark.parametrize("answer", ["", lines({"success": True})])
def test_an_answer_that_was_cut_short(answer: str) -> None:
    with pytest.raises(TransientError, match="of 2 documents"):
        importing(answer).upsert(DOCUMENTS)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (exceptions.RequestMalformed(400, "no"), "permanent"),
        (exceptions.RequestUnauthorized(401, "no"), "permanent"),
        (exceptions.ObjectNotFound(404, "no"), "permanent"),
        (exceptions.ObjectUnprocessable(422, "no"), "permanent"),
        (exceptions.TypesenseClientError(429, "no"), "transient"),
        (exceptions.ServerError(500, "no"), "transient"),
        (exceptions.ServiceUnavailable(503, "no"), "transient"),
        (exceptions.TypesenseClientError("All nodes are unhealthy"), "transient"),
    ],
)
def test_failures_are_classed(error: Exception, kind: str) -> None:
    with pytest.raises(Exception, match=r"no|unhealthy") as caught, asking("x"):
        raise error
    assert classify(caught.value) == kind


def test_ids_in_addresses() -> None:
    assert in_address("a/b?c#d%e f;é") == "a%2Fb%3Fc%23d%25e%20f%3B%C3%A9"
    for dots in (".", ".."):
        with pytest.raises(ValueError, match="no address"):
            in_address(dots)


def test_the_key_is_not_shown_and_the_address_is_checked() -> None:
    resource = TypesenseResource(url="http://a:1", api_key="s3cret")
    assert "s3cret" not in f"{resource!r} {resource}"
    for url in ("a:8108", "ftp://a", "http://"):
        with (
            pytest.raises(ValueError, match="TYPESENSE_URL"),
            TypesenseResource(url=url, api_key="x").client(),
        ):
            pass
    with TypesenseResource(url="https://a/path/", api_key="x").client() as client:
        assert client.config.nodes[0].url() == "https://a:443/path"
