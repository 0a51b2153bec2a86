"""From the body of an answer to what becomes of its prompt.

Belongs here: reading a completion, and the decision: good, asked once more, or set aside. Does
not: the call (``calling``), storing (``claims``), what makes a text good (the review).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

Outcome = Literal["ok", "refused", "truncated", "filtered", "invalid"]


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a text: ``code`` for people, ``correction`` for the model."""

    code: str
    correction: str


#: Given the facts of a prompt and the text that answers it; None where the text is good.
Review = Callable[[Mapping[str, Any], str], Problem | None]


@dataclass(frozen=True, slots=True)
class Completion:
    """A chat completion; ``text`` may be empty only when it was refused, filtered or cut."""

    text: str
    refusal: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    usage: Mapping[str, Any]
    request_id: str | None


class MalformedError(ValueError):
    """A 200 that answers nothing; tokens where it tells them all the same, else 0."""

    def __init__(self, kind: str, prompt_tokens: int = 0, completion_tokens: int = 0) -> None:
        super().__init__(kind)
        self.kind = kind
        self.prompt_tokens, self.completion_tokens = prompt_tokens, completion_tokens


@dataclass(frozen=True, slots=True)
class Reask:
    """What a second request changes: a higher limit, or the conversation so far and a correction.

    ``reasons`` are those for which it was asked again, each at most once.
    """

    reasons: tuple[str, ...] = ()
    limit: int | None = None
    answer: str | None = None
    correction: str | None = None

    @classmethod
    def parse(cls, stored: Mapping[str, Any] | None) -> Reask:
        """As :meth:`stored` gave it; None is no change."""
        if stored is None:
            return cls()
        return cls(**{**stored, "reasons": tuple(stored["reasons"])})

    def stored(self) -> dict[str, Any] | None:
        """For a jsonb column; None is no change."""
        if not self.reasons:
            return None
        return {
            "reasons": list(self.reasons),
            "limit": self.limit,
            "answer": self.answer,
            "correction": self.correction,
        }

    def request(self, first: Mapping[str, Any]) -> dict[str, Any]:
        """The body to send, from that of the first request."""
        body = dict(first)
        if self.limit is not None:
            body["max_completion_tokens"] = self.limit
        if self.correction is not None:
            body["messages"] = [
                *first["messages"],
                {"role": "assistant", "content": self.answer or ""},
                {"role": "user", "content": self.correction},
            ]
        return body


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a prompt. With ``reask`` it is asked again, else the outcome is final.

    ``result`` is the outcome of this one request.
    """

    result: Outcome
    reason: str | None = None
    text: str = ""
    reask: Reask | None = None

    @property
    def state(self) -> Literal["pending", "answered", "rejected"]:
        """Of the prompt's row."""
        if self.reask is not None:
            return "pending"
        return "answered" if self.result == "ok" else "rejected"


def read_completion(content: bytes, request_id: str | None = None) -> Completion:
    """The completion in the body of a 200. Raises MalformedError."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise MalformedError("malformed") from error
    return completion_of(body, request_id)


def completion_of(body: object, request_id: str | None = None) -> Completion:
    """As :func:`read_completion`, of a parsed body."""
    if not isinstance(body, dict):
        raise MalformedError("malformed")
    usage = body.get("usage")
    prompt, completion = _tokens(usage, "prompt_tokens"), _tokens(usage, "completion_tokens")
    choices = body.get("choices")
    if not isinstance(choices, list) or not choices:
        raise MalformedError("empty", prompt, completion)
    if not isinstance(usage, dict) or not prompt:
        raise MalformedError("malformed")
    first = choices[0] if isinstance(choices[0], dict) else {}
    message = first.get("message")
    finish = first.get("finish_reason")
    if not isinstance(message, dict) or not isinstance(finish, str):
        raise MalformedError("malformed", prompt, completion)
    text, refusal = _storable(message.get("content")), _storable(message.get("refusal"))
    if finish == "stop" and not text.strip() and not refusal:
        raise MalformedError("empty", prompt, completion)
    return Completion(text, refusal, finish, prompt, completion, usage, request_id)


def judge(
    facts: Mapping[str, Any], asked: Reask, limit: int, answered: Completion, review: Review
) -> Verdict:
    """What becomes of a prompt whose request, changed by ``asked``, was answered.

    ``limit`` is that of the request. Raises what ``review`` raises.
    """
    answered = replace(answered, text=answered.text.strip())
    if answered.refusal:
        return Verdict("refused", text=answered.refusal)
    if answered.finish_reason == "content_filter":
        return Verdict("filtered", text=answered.text)
    if answered.finish_reason == "length":
        return _once_more(
            Verdict("truncated", text=answered.text), asked, replace(asked, limit=2 * limit)
        )
    problem = review(facts, answered.text)
    if problem is None:
        return Verdict("ok", text=answered.text)
    corrected = replace(asked, answer=answered.text, correction=problem.correction)
    return _once_more(Verdict("invalid", problem.code, answered.text), asked, corrected)


def _once_more(verdict: Verdict, asked: Reask, again: Reask) -> Verdict:
    if verdict.result in asked.reasons:
        return verdict
    return replace(verdict, reask=replace(again, reasons=(*asked.reasons, verdict.result)))


def _tokens(usage: object, name: str) -> int:
    count = usage.get(name) if isinstance(usage, dict) else None
    return count if isinstance(count, int) and count >= 0 else 0


def _storable(text: object) -> str:
    """Without what Postgres can't hold: NUL, lone surrogates."""
    if not isinstance(text, str):
        return ""
    return text.encode("utf-8", "ignore").decode("utf-8").replace("\x00", "")
