"""The operations of the OpenAPI document, and requests of them that are made of its examples.

Belongs here: what tests of all operations read of the document. Does not: what they ask.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx2

from api.app import create_app

JSON = "application/json"
SCHEMA = create_app().openapi()


@dataclass(frozen=True)
class Operation:
    """One method of one path."""

    method: str
    path: str
    says: dict[str, Any] = field(repr=False)

    def __str__(self) -> str:
        return f"{self.method.upper()} {self.path}"

    @property
    def parameters(self) -> list[dict[str, Any]]:
        return self.says.get("parameters", [])

    @property
    def statuses(self) -> set[str]:
        """Those that its examples are named after."""
        named = (one.get("examples", {}) for one in self.parameters)
        return {self.success, *(status for examples in named for status in examples)}

    @property
    def success(self) -> str:
        """The status of what is as it should be; it is declared first."""
        return str(next(iter(self.says["responses"])))

    @property
    def body(self) -> Any:
        """Its body's example; None where it has none."""
        return self.says.get("requestBody", {}).get("content", {}).get(JSON, {}).get("example")

    @property
    def media_types(self) -> set[str]:
        """Of its body; none where it takes none."""
        return set(self.says.get("requestBody", {}).get("content", {}))

    def example(self, parameter: dict[str, Any], status: str) -> Any:
        """The parameter's for a status, or the one of an answer; None where there is none."""
        named = {name: one["value"] for name, one in parameter.get("examples", {}).items()}
        others = parameter.get("schema", {}).get("examples", [None])
        return named.get(status, named.get(self.success, others[0]))

    def values(self, status: str = "") -> dict[str, Any]:
        """Examples of all that have one, and of all that are needed, by name."""
        found = {one["name"]: self.example(one, status) for one in self.parameters}
        needed = {one["name"] for one in self.parameters if one["required"]}
        return {name: value for name, value in found.items() if value is not None or name in needed}

    def asked(self, client: httpx2.Client, values: dict[str, Any]) -> httpx2.Response:
        """What comes back for these values, and the body's example."""
        path, query = self.path, {}
        for one in self.parameters:
            if one["name"] not in values:
                continue
            value = values[one["name"]]
            if one["in"] == "path":
                path = path.replace(f"{{{one['name']}}}", quote(str(value), safe=""))
            else:
                query[one["name"]] = value
        return client.request(self.method, path, params=query, json=self.body)


def operations() -> list[Operation]:
    return [
        Operation(method, path, says)
        for path, methods in SCHEMA["paths"].items()
        for method, says in methods.items()
    ]
