"""What the chat endpoint answers: a deterministic text that repeats the facts of the prompt.

Belongs here: the text and OpenAI's shape of it. Does not: HTTP (`local.openai_server`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Answer:
    """One completion. ``finish`` is OpenAI's finish_reason."""

    identity: str
    text: str
    prompt_tokens: int
    completion_tokens: int
    finish: str = "stop"

    def cut(self) -> Answer:
        """The first half, as when the token limit ends an answer."""
        return replace(
            self,
            text=self.text[: len(self.text) // 2],
            completion_tokens=self.completion_tokens // 2,
            finish="length",
        )

    def usage(self) -> dict[str, int]:
        """Token counts in OpenAI's shape."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
        }

    def body(self, model: str, created: int, *, choices: bool = True) -> dict[str, Any]:
        """The whole completion; without ``choices`` the list is empty."""
        message = {"role": "assistant", "content": self.text}
        choice = {"index": 0, "message": message, "finish_reason": self.finish}
        return {
            "id": self.identity,
            "object": "chat.completion",
            "created": created,
            "model": model,
            "choices": [choice] if choices else [],
            "usage": self.usage(),
        }

    def chunks(self, model: str, created: int, *, usage: bool) -> Iterator[dict[str, Any]]:
        """The completion word by word, then the reason, then ``usage`` when asked for."""
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


def answer(body: dict[str, Any], count: Callable[[str], int]) -> Answer:
    """The answer to a chat request; ``count`` counts tokens.

    The text is every line of the last user message, in order; with the response format
    ``json_object`` it is ``{"text": …}``. A limit on the tokens cuts it.
    """
    messages = [(m.get("role"), _content(m.get("content"))) for m in body.get("messages", [])]
    asked = next((text for role, text in reversed(messages) if role == "user"), "")
    facts = "; ".join(line.strip() for line in asked.splitlines() if line.strip())
    text = f"Facts given: {facts}."
    if (body.get("response_format") or {}).get("type") == "json_object":
        text = json.dumps({"text": text}, ensure_ascii=False)
    digest = hashlib.sha256(json.dumps(messages).encode()).hexdigest()[:24]
    made = Answer(f"chatcmpl-{digest}", text, sum(count(text) for _, text in messages), count(text))
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    if limit and made.completion_tokens > limit:
        words = text.split(" ")
        while len(words) > 1 and count(" ".join(words)) > limit:
            words.pop()
        kept = " ".join(words)
        return replace(made, text=kept, completion_tokens=count(kept), finish="length")
    return made


def _content(content: Any) -> str:
    """The text of a message: a string, or parts of which the text ones count."""
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content or "")
