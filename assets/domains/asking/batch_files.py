"""The Batch API's files: requests cut into files, and the lines of what comes back.

Belongs here: JSON lines and their keys. Does not: the API (``batch_mode``), the ledger
(``batch_ledger``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from assets.domains.asking.calling import Failure, malformed_answer
from assets.domains.asking.claims import Claim
from assets.domains.asking.outcome import Completion, MalformedError, completion_of

URL: Final = "/v1/chat/completions"
#: What the API takes in a file. https://platform.openai.com/docs/guides/batch
MOST_REQUESTS = 50_000
MOST_BYTES = 200_000_000

_OK = 200


@dataclass(frozen=True, slots=True)
class BatchFile:
    """Requests of one batch; ``key`` names it for good, whoever makes it."""

    key: str
    content: bytes
    claims: tuple[Claim, ...]

    @property
    def name(self) -> str:
        """Of the uploaded file."""
        return file_name(self.key)


@dataclass(frozen=True, slots=True)
class OutputLine:
    """What became of one request; None for a line that names none."""

    prompt_hash: str | None
    result: Completion | Failure


def file_name(key: str) -> str:
    """By which a batch's file is found again."""
    return f"quintet-{key}.jsonl"


def line_of(claim: Claim) -> bytes:
    """One request, always the same bytes."""
    line = {"custom_id": claim.prompt_hash, "method": "POST", "url": URL, "body": claim.request}
    return json.dumps(line, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def batch_file(claims: Sequence[Claim]) -> BatchFile:
    """The file of these requests; a second attempt at the same ones has another key."""
    ordered = sorted(claims, key=lambda claim: claim.prompt_hash)
    content = b"".join(line_of(claim) for claim in ordered)
    attempts = ",".join(str(claim.attempt) for claim in ordered)
    key = hashlib.sha256(content + attempts.encode()).hexdigest()[:32]
    return BatchFile(key, content, tuple(ordered))


def cut(
    claims: Iterable[Claim], *, requests: int = MOST_REQUESTS, size: int = MOST_BYTES
) -> Iterator[BatchFile]:
    """Files that the API takes, as few as the order of the claims allows."""
    held: list[Claim] = []
    held_bytes = 0
    for claim in claims:
        added = len(line_of(claim))
        if held and (len(held) == requests or held_bytes + added > size):
            yield batch_file(held)
            held, held_bytes = [], 0
        held.append(claim)
        held_bytes += added
    if held:
        yield batch_file(held)


def read_line(line: str) -> OutputLine:
    """A line of an output or of an error file."""
    try:
        read = json.loads(line)
    except (ValueError, RecursionError):
        return OutputLine(None, Failure("malformed", "maybe"))
    if not isinstance(read, dict) or not isinstance(read.get("custom_id"), str):
        return OutputLine(None, Failure("malformed", "maybe"))
    return OutputLine(read["custom_id"], _result(read))


def _result(read: dict[str, object]) -> Completion | Failure:
    error, response = read.get("error"), read.get("response")
    if isinstance(error, dict):
        return Failure(str(error.get("code") or "error"), "no")
    if not isinstance(response, dict):
        return Failure("malformed", "maybe")
    if response.get("status_code") != _OK:
        return Failure(str(response.get("status_code")), "no")
    try:
        request_id = response.get("request_id")
        return completion_of(response.get("body"), str(request_id) if request_id else None)
    except MalformedError as error:
        return malformed_answer(error)
