"""The lines of a batch's input, and what each becomes in an output or error file.

Belongs here: the formats, and what makes a file invalid. Does not: answers (`local.openai.chat`).
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import Any

from local.openai.errors import RefusedError

MOST_LINES = 50_000


class LineErrors(Exception):
    """The file is no batch; ``errors`` in OpenAI's shape."""

    def __init__(self, errors: list[dict[str, Any]]) -> None:
        super().__init__(errors[0]["message"])
        self.errors = errors


@dataclass(frozen=True)
class Line:
    """One request."""

    custom_id: str
    body: dict[str, Any]

    def outcome(
        self, answered: dict[str, Any] | RefusedError | None = None, error: Any = None
    ) -> dict[str, Any]:
        """The line of an output or error file: an answer, an error's answer, or no answer."""
        status, body = 200, answered
        if isinstance(answered, RefusedError):
            status, body = answered.status, answered.body()
        response = {
            "status_code": status,
            "request_id": f"req_{secrets.token_hex(8)}",
            "body": body,
        }
        return {
            "id": f"batch_req_{secrets.token_hex(12)}",
            "custom_id": self.custom_id,
            "response": response if answered is not None else None,
            "error": error,
        }


def read(content: bytes, endpoint: str, *, refused: bool = False) -> list[Line]:
    """The requests of a file; ``refused`` on purpose. Raises LineErrors for what is no batch."""
    if refused:
        message = "Enqueued token limit reached. Please try again once some batches are completed."
        raise LineErrors([_error("token_limit_exceeded", message)])
    raw = [line for line in content.split(b"\n") if line.strip()]
    if not raw:
        raise LineErrors([_error("empty_file", "The input file is empty.")])
    if len(raw) > MOST_LINES:
        message = f"The batch input file contains more than {MOST_LINES} requests."
        raise LineErrors([_error("invalid_batch_input", message)])
    lines, errors, seen = [], [], set[str]()
    for number, one in enumerate(raw, 1):
        found = _line(one, endpoint)
        if isinstance(found, str):
            errors.append(_error(found, f"Line {number}: {found.replace('_', ' ')}.", number))
        elif found.custom_id in seen:
            message = f"The custom_id for this request is a duplicate: {found.custom_id}"
            errors.append(_error("duplicate_custom_id", message, number))
        else:
            seen.add(found.custom_id)
            lines.append(found)
    if len({str(line.body.get("model")) for line in lines}) > 1:
        errors.append(_error("mismatched_model", "All requests of a batch have the same model."))
    if errors:
        raise LineErrors(errors)
    return lines


def _line(raw: bytes, endpoint: str) -> Line | str:
    """The request, or the code of what is wrong with it."""
    try:
        given = json.loads(raw)
    except ValueError:
        return "invalid_json_line"
    if not isinstance(given, dict) or not isinstance(given.get("body"), dict):
        return "invalid_request"
    if not isinstance(given.get("custom_id"), str) or not given["custom_id"]:
        return "missing_required_parameter"
    if given.get("url") != endpoint:
        return "mismatched_endpoint"
    if given.get("method") != "POST":
        return "invalid_method"
    return Line(given["custom_id"], given["body"])


def _error(code: str, message: str, line: int | None = None) -> dict[str, Any]:
    return {"code": code, "message": message, "param": None, "line": line}
