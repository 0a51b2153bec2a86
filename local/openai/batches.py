"""``/v1/batches``: each line of a file becomes a chat call; outputs come in any order.

Belongs here: a batch's way through its statuses, its output and error files. Does not: paging and
files (`local.openai.files`), the answer to a line (`local.openai.chat`).
"""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from local.openai import files
from local.openai.account import Account
from local.openai.batch_lines import Line, LineErrors, read
from local.openai.errors import RefusedError, invalid, not_found, refusal
from local.openai.files import File, page

_ENDPOINT = "/v1/chat/completions"
_WINDOW_SECONDS = 24 * 3600
_MOST_LISTED, _LISTED = 100, 20
_MOST_PAIRS, _LONGEST_KEY, _LONGEST_VALUE = 16, 64, 512
#: Every tenth line fails where a mode says so; another tenth in the next batch.
_TENTH = 10
#: Lines that are answered before other calls get their turn.
_AT_ONCE = 50
_OPEN = frozenset(("validating", "in_progress", "finalizing"))

AnswerLine = Callable[[dict[str, Any], Account], dict[str, Any]]


@dataclass
class Batch:
    """One batch. ``times`` has epoch seconds by OpenAI's field names."""

    input_file_id: str
    metadata: dict[str, str] | None
    mode: str
    number: int
    delay: float
    status: str = "validating"
    output_file_id: str | None = None
    error_file_id: str | None = None
    errors: list[dict[str, Any]] = field(default_factory=list)
    total: int = 0
    done: int = 0
    failed: int = 0
    times: dict[str, int] = field(default_factory=dict)
    id: str = field(default_factory=lambda: f"batch_{secrets.token_hex(12)}")

    def go(self, status: str) -> None:
        """Enter a status, now."""
        self.status = status
        self.times[f"{status}_at"] = int(time.time())

    def body(self) -> dict[str, Any]:
        """The batch in OpenAI's shape."""
        times = (
            "in_progress", "finalizing", "completed", "failed", "expired", "cancelling",
            "cancelled",
        )  # fmt: skip
        created = self.times["created_at"]
        return {
            "id": self.id,
            "object": "batch",
            "endpoint": _ENDPOINT,
            "errors": {"object": "list", "data": self.errors} if self.errors else None,
            "input_file_id": self.input_file_id,
            "completion_window": "24h",
            "status": self.status,
            "output_file_id": self.output_file_id,
            "error_file_id": self.error_file_id,
            "created_at": created,
            "expires_at": created + _WINDOW_SECONDS,
            **{f"{name}_at": self.times.get(f"{name}_at") for name in times},
            "request_counts": {"total": self.total, "completed": self.done, "failed": self.failed},
            "metadata": self.metadata,
        }


class Batches:
    """All keys' batches at work."""

    def __init__(self, answer: AnswerLine) -> None:
        self._answer = answer
        # A task that nothing holds may be collected before it ends.
        self._tasks: set[asyncio.Task[None]] = set()

    def create(self, account: Account, body: Mapping[str, Any]) -> Batch:
        """Start a batch. Raises RefusedError (400) as OpenAI does."""
        if body.get("endpoint") != _ENDPOINT:
            raise invalid(f"endpoint: {_ENDPOINT!r} is what is served here", param="endpoint")
        if body.get("completion_window") != "24h":
            raise invalid("completion_window: only '24h' is supported", param="completion_window")
        metadata = _metadata(body.get("metadata"))
        file_id = str(body.get("input_file_id"))
        if file_id not in account.files:
            raise invalid(f"No such File object: {file_id}", param="input_file_id")
        plan = account.plan
        made = Batch(file_id, metadata, plan.next_batch(), account.batches_made, plan.batch_delay)
        made.times["created_at"] = int(time.time())
        account.batches[made.id] = made
        account.batches_made += 1
        task = asyncio.get_running_loop().create_task(self._work(account, made))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return made

    async def _work(self, account: Account, batch: Batch) -> None:
        """Quarters of the delay: validation, half of it for the answers, the last to finalize."""
        await asyncio.sleep(batch.delay / 4)
        content = files.find(account, batch.input_file_id).content
        try:
            lines = read(content, _ENDPOINT, refused=batch.mode == "failed")
        except LineErrors as error:
            batch.errors = error.errors
            batch.go("failed")
            return
        batch.total = len(lines)
        if batch.status == "validating":
            batch.go("in_progress")
        await asyncio.sleep(batch.delay / 2)
        good, bad = await self._answers(account, batch, lines)
        if batch.status == "in_progress":
            batch.go("finalizing")
        await asyncio.sleep(batch.delay / 4)
        _put_out(account, batch, good, bad)

    async def _answers(
        self, account: Account, batch: Batch, lines: list[Line]
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        good: list[dict[str, Any]] = []
        bad: list[dict[str, Any]] = []
        for index, line in enumerate(lines):
            if index % _AT_ONCE == 0:
                await asyncio.sleep(0)
            if batch.status == "cancelling":
                break
            found = self._outcome(account, batch, line, index)
            succeeded = found["error"] is None and found["response"]["status_code"] == 200  # noqa: PLR2004
            (good if succeeded else bad).append(found)
            batch.done += succeeded
            batch.failed += not succeeded
        return good, bad

    def _outcome(self, account: Account, batch: Batch, line: Line, index: int) -> dict[str, Any]:
        if batch.mode == "expired" and index >= batch.total / 2:
            message = "This request could not be executed before the completion window expired."
            return line.outcome(error={"code": "batch_expired", "message": message})
        if _fails(batch, index):
            # The real service reports both ways.
            if index % 2:
                message = "The model could not process this request."
                return line.outcome(error={"code": "server_error", "message": message})
            return line.outcome(refusal("500"))
        try:
            return line.outcome(self._answer(line.body, account))
        except RefusedError as error:
            return line.outcome(error)


def find(account: Account, batch_id: str) -> Batch:
    """One batch. Raises RefusedError (404)."""
    found: Batch | None = account.batches.get(batch_id)
    if found is None:
        raise not_found(f"No batch found with id '{batch_id}'.")
    return found


def cancel(account: Account, batch_id: str) -> Batch:
    """End a batch soon; what it has answered is put out. Raises RefusedError (404, 409)."""
    batch = find(account, batch_id)
    if batch.status not in _OPEN:
        message = f"Cannot cancel a batch with status '{batch.status}'."
        raise RefusedError(409, "invalid_request_error", message)
    batch.go("cancelling")
    return batch


def listing(account: Account, query: Mapping[str, str]) -> dict[str, Any]:
    """A page of the batches, newest first."""
    newest_first = list(account.batches.values())[::-1]
    return page(newest_first, query, most=_MOST_LISTED, default=_LISTED)


def _fails(batch: Batch, index: int) -> bool:
    if batch.mode == "all_failed":
        return True
    tenth = index % _TENTH == batch.number % _TENTH
    return batch.mode in {"mixed", "no_error_file"} and tenth


def _put_out(
    account: Account, batch: Batch, good: list[dict[str, Any]], bad: list[dict[str, Any]]
) -> None:
    """The files and the last status."""
    if good:
        batch.output_file_id = _file(account, batch, good, "output")
    if bad and batch.mode != "no_error_file":
        batch.error_file_id = _file(account, batch, bad, "error")
    if batch.status == "cancelling":
        batch.go("cancelled")
    else:
        batch.go("expired" if batch.mode == "expired" else "completed")


def _file(account: Account, batch: Batch, found: list[dict[str, Any]], what: str) -> str:
    shuffled = random.Random(batch.id).sample(found, len(found))
    content = "".join(f"{json.dumps(one)}\n" for one in shuffled).encode()
    made = File(f"{batch.id}_{what}.jsonl", "batch_output", content)
    account.files[made.id] = made
    return made.id


def _metadata(given: Any) -> dict[str, str] | None:
    if given is None:
        return None
    if not isinstance(given, dict) or len(given) > _MOST_PAIRS:
        raise invalid(f"metadata: at most {_MOST_PAIRS} pairs", param="metadata")
    for key, value in given.items():
        if len(key) > _LONGEST_KEY or not isinstance(value, str) or len(value) > _LONGEST_VALUE:
            limits = f"keys of {_LONGEST_KEY}, values of {_LONGEST_VALUE} characters at most"
            raise invalid(f"metadata: strings, {limits}", param="metadata")
    return given
