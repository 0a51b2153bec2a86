"""What the chat endpoint answers, in OpenAI's shape: deterministic, from the prompt alone.

Belongs here: the completion, whole and in chunks. Does not: HTTP, nor the words of a summary
(`local.openai.prose`).
"""

from __future__ import annotations

import bisect
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from local.openai import prose

_REFUSAL = "I'm sorry, but I can't help with that request."


@dataclass(frozen=True)
class Answer:
    """A completion of ``choices`` equal choices. ``finish`` is OpenAI's finish_reason."""

    identity: str
    text: str
    prompt_tokens: int
    completion_tokens: int
    finish: str = "stop"
    refusal: str | None = None
    choices: int = 1

    def cut(self) -> Answer:
        """The first half, as when the token limit ends an answer."""
        return replace(
            self,
            text=self.text[: len(self.text) // 2],
            completion_tokens=self.completion_tokens // 2,
            finish="length",
        )

    def usage(self) -> dict[str, Any]:
        """Token counts in OpenAI's shape."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        }

    def body(self, model: str, created: int) -> dict[str, Any]:
        """The whole completion."""
        content = None if self.refusal else self.text
        message = {"role": "assistant", "content": content, "refusal": self.refusal}
        return {
            "id": self.identity,
            "object": "chat.completion",
            "created": created,
            "model": model,
            "choices": [
                {"index": index, "message": message, "logprobs": None, "finish_reason": self.finish}
                for index in range(self.choices)
            ],
            "usage": self.usage(),
        }

    def chunks(self, model: str, created: int, *, usage: bool) -> Iterator[dict[str, Any]]:
        """The first choice word by word, then the reason, then ``usage`` when asked for."""
        head = {
            "id": self.identity,
            "object": "chat.completion.chunk",
            "created": created,
            "model": model,
        }
        words = self.text.split(" ")
        for index, word in enumerate(words):
            text = word if index == len(words) - 1 else f"{word} "
            delta = {"content": text} if index else {"role": "assistant", "content": text}
            yield {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        yield {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": self.finish}]}
        if usage:
            yield {**head, "choices": [], "usage": self.usage()}


def answer(body: dict[str, Any], count: Callable[[str], int], fault: str = "ok") -> Answer:
    """The answer to a chat request; ``count`` counts tokens, ``fault`` may spoil the answer.

    Where a user's message holds a JSON object with a domain, the text is a paragraph about it
    (`local.openai.prose`); else every line of the last user message, in order. With the response
    format ``json_object`` it is ``{"text": …}``. A limit on the tokens cuts it.
    """
    messages = [(m.get("role"), _content(m.get("content"))) for m in body["messages"]]
    text = _text([text for role, text in messages if role == "user"], fault)
    if (body.get("response_format") or {}).get("type") == "json_object":
        text = json.dumps({"text": text}, ensure_ascii=False)
    digest = hashlib.sha256(json.dumps(messages).encode()).hexdigest()[:24]
    if fault == "refusal":
        text = _REFUSAL
    made = Answer(f"chatcmpl-{digest}", text, sum(count(text) for _, text in messages), count(text))
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    if limit and made.completion_tokens > limit:
        kept, used = _within(text, limit, count)
        made = replace(made, text=kept, completion_tokens=used, finish="length")
    made = _finished(made, fault)
    choices = int(body.get("n") or 1)
    return replace(made, choices=choices, completion_tokens=choices * made.completion_tokens)


def _finished(made: Answer, fault: str) -> Answer:
    match fault:
        case "truncated":
            return made.cut()
        case "refusal":
            return replace(made, refusal=made.text)
        case "content_filter":
            return replace(made.cut(), finish="content_filter")
    return made


def _text(asked: list[str], fault: str) -> str:
    for text in reversed(asked):
        given = prose.facts(text)
        if given is not None:
            return prose.summary(given, fault)
    last = asked[-1] if asked else ""
    lines = "; ".join(line.strip() for line in last.splitlines() if line.strip())
    return prose.flawed(f"Facts given: {lines}.", fault)


def _within(text: str, limit: int, count: Callable[[str], int]) -> tuple[str, int]:
    """The most whole words, one at least, within ``limit`` tokens; and their tokens."""
    words = text.split(" ")
    sizes = range(1, len(words) + 1)
    most = bisect.bisect_right(sizes, limit, key=lambda size: count(" ".join(words[:size])))
    kept = " ".join(words[: max(1, most)])
    return kept, count(kept)


def _content(content: Any) -> str:
    """The text of a message: a string, or parts of which the text ones count."""
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content or "")
