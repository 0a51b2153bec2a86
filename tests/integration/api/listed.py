"""Reading a list of the service in every way that there is, for tests.

Belongs here: what tests of lists share. Does not: what a list must hold.
"""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from starlette.routing import Match
from starlette.testclient import TestClient

from api.app import routes_of
from assets.pipelines import PIPELINES


def paged(service: TestClient, path: str, limit: int = 2, **asked: Any) -> list[dict[str, Any]]:
    """All rows, a page at a time."""
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        said = service.get(path, params={**asked, "limit": limit, **cursor})
        assert said.status_code == 200, said.text
        as_described(path, said)
        answer = said.json()["answer"]
        assert len(answer["rows"]) <= limit
        found += answer["rows"]
        if answer["next"] is None:
            return found
        assert len(answer["rows"]) == limit
        cursor = {"cursor": answer["next"]}


def as_described(path: str, said: Any) -> None:
    """The answer has the kinds of values that the service's description says of its route."""
    routes: list[Any] = [route for one in routes_of(PIPELINES) for route in one.router.routes]
    scope = {"type": "http", "path": path, "method": "GET"}
    found = [one for one in routes if one.matches(dict(scope))[0] is Match.FULL]
    found[0].response_model.model_validate_json(said.text, strict=True)


def of_csv(service: TestClient, path: str, **asked: Any) -> list[dict[str, str]]:
    """All rows of the CSV file, which must be whole, as a spreadsheet shows them."""
    said = service.get(path, params=asked, headers={"Accept": "text/csv"})
    assert said.status_code == 200, said.text
    assert said.headers["content-type"] == "text/csv; charset=utf-8"
    header, *rows, end = list(csv.reader(io.StringIO(said.text, newline="")))
    assert end == ["#complete", str(len(rows)), *[""] * (len(header) - 2)]
    return [dict(zip(header, row, strict=True)) for row in rows]


def of_ndjson(service: TestClient, path: str, **asked: Any) -> list[dict[str, Any]]:
    """All rows of the NDJSON file, which must be whole."""
    said = service.get(path, params={**asked, "format": "ndjson"})
    assert said.status_code == 200, said.text
    *rows, end = [json.loads(line) for line in said.text.split("\n")[:-1]]
    assert end == {"complete": True, "rows": len(rows)}
    return rows


def everywhere(service: TestClient, path: str, **asked: Any) -> list[dict[str, Any]]:
    """The rows of the list, which must be the same by pages and in both files."""
    rows = paged(service, path, **asked)
    assert of_ndjson(service, path, **asked) == rows
    shown = of_csv(service, path, **asked)
    assert len(shown) == len(rows)
    for line, row in zip(shown, rows, strict=True):
        assert list(line) == list(row)
        assert {name: _same(line[name], value) for name, value in row.items()} == row
    return rows


def _same(text: str, value: Any) -> Any:
    """What the text of a CSV field says, read as the kind that the value is of."""
    if value is None:
        return None if text == "" else text
    if isinstance(value, str):
        return text.removeprefix("'")
    return json.loads(text)
