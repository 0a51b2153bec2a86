"""Where domains reads and writes, which model it asks, and what that may cost.

Belongs here: names and limits. Does not: addresses and secrets (``resources/``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from assets.frame.settings import Settings

if TYPE_CHECKING:
    from assets.domains.asking.limits import AskingLimits
    from resources.openai import OpenAIResource


class DomainsSettings(Settings):
    """``bucket`` holds markers, under ``prefix``, and staging; ``output_bucket`` what is published.

    Prices are dollars for a million tokens. ``budget_dollars`` is for one month.
    ``most_missing_percent`` is the share of domains without a summary above which nothing is
    published. From ``batch_from`` open prompts on the Batch API is used, at half the price; 0 for
    never.
    """

    pipeline = "domains"

    bucket: str = "domains-updates"
    prefix: str = "updates/"
    quarantine_bucket: str = "domains-quarantine"
    output_bucket: str = "domains-descriptions"
    output_prefix: str = "descriptions/"
    model: str = "gpt-4.1-mini"
    input_price: str = "0.40"
    output_price: str = "1.60"
    budget_dollars: str = "50"
    most_missing_percent: int = 5
    batch_from: int = 0

    @property
    def staging_bucket(self) -> str:
        """Beside what landed."""
        return self.bucket

    def asking_limits(self, openai: OpenAIResource) -> AskingLimits:
        """What a month may cost and how fast it may go. Raises ValueError for what is no price."""
        from assets.domains.asking.limits import AskingLimits

        return AskingLimits(
            model=self.model,
            input_price=float(self.input_price),
            output_price=float(self.output_price),
            budget_micros=round(float(self.budget_dollars) * 1_000_000),
            concurrency=openai.chat_concurrency,
            requests_per_minute=openai.requests_per_minute,
            tokens_per_minute=openai.tokens_per_minute,
            timeout=openai.chat_timeout,
        )
