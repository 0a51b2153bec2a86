"""What an assistant may ask: a tool for each question, which is that question's route.

Belongs here: which routes are tools, what the OpenAPI document says of them, and the address that
a tool's arguments are asked at. Does not: the protocol (``mcp_server.py``), any question.

Only routes that read are tools.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from api.problems import ProblemError

#: Tools by name, and the paths that answer them.
PATHS = {
    "similar_users": "/v1/campaigns/users/{user_id}/similar",
    "recommendations": "/v1/campaigns/users/{user_id}/recommendations",
    "user_campaigns": "/v1/campaigns/users/{user_id}/campaigns",
    "user_engagement": "/v1/campaigns/users/{user_id}/engagement",
    "search_songs": "/v1/music/songs",
    "search_lyrics": "/v1/music/lyrics",
    "song": "/v1/music/songs/{song_key}",
    "similar_songs": "/v1/music/songs/{song_key}/similar",
    "song_plays": "/v1/music/songs/{song_key}/plays",
    "listener_songs": "/v1/music/listeners/{user_id}/songs",
    "reading_shares": "/v1/reading/users/{user_id}/categories",
    "domain": "/v1/domains/{domain}",
    "domain_description": "/v1/domains/{domain}/description",
    "image_task": "/v1/images/tasks/{task_id}",
    "image_tasks": "/v1/images/tasks",
    "sources": "/v1/operations/sources",
}
_COMPONENTS = "#/components/schemas/"


@dataclass(frozen=True, slots=True)
class Tool:
    """A question, and what goes in and comes out as JSON Schema.

    What comes out is an object: where the route's is none, it is the member ``answer`` of one.
    """

    name: str
    path: str
    description: str
    parameters: tuple[Mapping[str, Any], ...]
    output: dict[str, Any]
    wrapped: bool

    @property
    def input(self) -> dict[str, Any]:
        """All parameters by name."""
        return {
            "type": "object",
            "properties": {one["name"]: _described(one) for one in self.parameters},
            "required": [one["name"] for one in self.parameters if one["required"]],
            "additionalProperties": False,
        }

    def target(self, arguments: Mapping[str, Any]) -> str:
        """The path and query that the arguments are asked at; their values are the route's matter.

        Raises ProblemError (422) for one that there is not, that is missing, or that is no value.
        """
        given = {name: value for name, value in arguments.items() if value is not None}
        names = {one["name"] for one in self.parameters}
        for name, value in given.items():
            if name not in names:
                raise _refused(name, f"there is no such argument, only {', '.join(sorted(names))}")
            if not isinstance(value, str | int | float):
                raise _refused(name, "neither a text nor a number")
        texts = {name: str(value) for name, value in given.items()}
        path, query = self.path, {}
        for one in self.parameters:
            name = one["name"]
            if name in texts and one["in"] == "query":
                query[name] = texts[name]
            elif one["in"] == "path":
                if not texts.get(name):
                    raise _refused(name, "is needed")
                path = path.replace(f"{{{name}}}", _quoted(name, texts[name]))
        for name, text in query.items():
            _quoted(name, text)
        return f"{path}?{urlencode(query)}" if query else path

    def answered(self, body: Any) -> dict[str, Any]:
        """The route's answer as the tool's."""
        return {"answer": body} if self.wrapped else body


def of(schema: Mapping[str, Any]) -> dict[str, Tool]:
    """The tools of the routes that the OpenAPI document has, by name."""
    return {
        name: _tool(name, path, schema) for name, path in PATHS.items() if path in schema["paths"]
    }


def _tool(name: str, path: str, schema: Mapping[str, Any]) -> Tool:
    operation = schema["paths"][path]["get"]
    answer = operation["responses"]["200"]["content"]["application/json"]["schema"]
    components = schema["components"]["schemas"]
    root = components[answer["$ref"].removeprefix(_COMPONENTS)] if "$ref" in answer else answer
    wrapped = root.get("type") != "object"
    if wrapped:
        root = {"type": "object", "properties": {"answer": root}, "required": ["answer"]}
    defs: dict[str, Any] = {}
    output = _local(root, components, defs)
    return Tool(
        name=name,
        path=path,
        description=operation["description"],
        parameters=tuple(operation.get("parameters", ())),
        output={**output, "$defs": defs} if defs else output,
        wrapped=wrapped,
    )


def _local(found: Any, components: Mapping[str, Any], defs: dict[str, Any]) -> Any:
    """With references into ``$defs``, where what they lead to is put."""
    if isinstance(found, list):
        return [_local(one, components, defs) for one in found]
    if not isinstance(found, dict):
        return found
    reference = found.get("$ref")
    if not isinstance(reference, str):
        return {key: _local(value, components, defs) for key, value in found.items()}
    name = reference.removeprefix(_COMPONENTS)
    if name not in defs:
        # First, since it may lead to itself.
        defs[name] = {}
        defs[name] = _local(components[name], components, defs)
    return {**found, "$ref": f"#/$defs/{name}"}


def _described(parameter: Mapping[str, Any]) -> dict[str, Any]:
    described = dict(parameter["schema"])
    if "description" in parameter:
        described["description"] = parameter["description"]
    there = parameter.get("examples", {}).get("200")
    if there:
        described["examples"] = [there["value"]]
    return described


def _quoted(name: str, text: str) -> str:
    try:
        return quote(text, safe="")
    except UnicodeEncodeError:
        raise _refused(name, "a text must be Unicode without lone surrogates") from None


def _refused(name: str, says: str) -> ProblemError:
    return ProblemError(
        422, "invalid_request", "The request cannot be understood", f"{name!a}: {says}",
        then="Correct the argument; the tool's input schema describes all of them.",
        errors=[{"in": "arguments", "name": ascii(name)[1:-1], "says": says}],
    )  # fmt: skip
