"""What one key asked of the server, and what it would have to pay for.

Belongs here: counters, prompts, messages, files and batches of a key. Does not: what is answered.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from local import fault_plan
from local.fault_plan import FaultPlan
from local.openai.limits import Limits


@dataclass
class Prompt:
    """How often the same messages were asked, generated, answered well, and received so."""

    messages: Any
    asked: int = 0
    paid: int = 0
    ok: int = 0
    received: int = 0


@dataclass
class Tokens:
    """Generated answers and their tokens."""

    calls: int = 0
    prompt: int = 0
    completion: int = 0

    def add(self, prompt: int, completion: int) -> None:
        """One more answer."""
        self.calls += 1
        self.prompt += prompt
        self.completion += completion


@dataclass
class Account(fault_plan.Account):
    """``paid`` counts every generated chat answer; ``lost`` those whose usage nobody was told.

    An answer is lost that is broken on its way, late, or whose caller went away meanwhile.
    ``batched`` counts the answers within batches (half the price), which ``paid`` does not.
    """

    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    inputs: int = 0
    embedding_tokens: int = 0
    paid: Tokens = field(default_factory=Tokens)
    lost: Tokens = field(default_factory=Tokens)
    batched: Tokens = field(default_factory=Tokens)
    batches_made: int = 0
    prompts: dict[str, Prompt] = field(default_factory=dict)
    sent: list[dict[str, Any]] = field(default_factory=list)
    hooked: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: dict[str, Any] = field(default_factory=dict)
    batches: dict[str, Any] = field(default_factory=dict)
    limits: Limits = field(default_factory=lambda: Limits(FaultPlan()))

    def follow(self, plan: FaultPlan) -> None:
        """Take another plan; its limits start full."""
        self.plan, self.limits = plan, Limits(plan)

    def ask(self, messages: Any) -> Prompt:
        """Count that these messages were asked."""
        prompt = self.prompts.setdefault(prompt_hash(messages), Prompt(messages))
        prompt.asked += 1
        return prompt

    def clear(self) -> None:
        """Count from zero; plan, open calls, files and batches stay."""
        super().clear()
        fresh = Account()
        for name in ("statuses", "inputs", "embedding_tokens", "paid", "lost", "batched"):
            setattr(self, name, getattr(fresh, name))
        self.batches_made, self.prompts, self.sent, self.hooked = 0, {}, [], {}

    def counters(self) -> dict[str, Any]:
        """All of it. ``paid_twice``: answers beyond the first good one to the same messages.

        ``received_twice`` leaves out those that were lost on their way: what a kill can't explain.
        """
        by_endpoint: dict[str, dict[str, int]] = {}
        for (endpoint, status), times in sorted(self.statuses.items()):
            by_endpoint.setdefault(endpoint, {})[str(status)] = times
        prompts = self.prompts.values()
        return {
            **super().counters(),
            "statuses": by_endpoint,
            "inputs": self.inputs,
            "dispatched": self.calls["chat"],
            "paid_calls": self.paid.calls,
            "paid_twice": sum(max(0, prompt.ok - 1) for prompt in prompts),
            "received_twice": sum(max(0, prompt.received - 1) for prompt in prompts),
            "prompt_tokens": self.embedding_tokens + self.paid.prompt,
            "completion_tokens": self.paid.completion,
            "lost_calls": self.lost.calls,
            "lost_prompt_tokens": self.lost.prompt,
            "lost_completion_tokens": self.lost.completion,
            "batch_calls": self.batched.calls,
            "batch_prompt_tokens": self.batched.prompt,
            "batch_completion_tokens": self.batched.completion,
            "batches": self.batches_made,
        }


def prompt_hash(messages: Any) -> str:
    """Names a prompt: SHA-256 of its messages as compact JSON with sorted keys."""
    text = json.dumps(messages, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
