"""What the months' summaries cost, as a list.

Belongs here: this question to the ledger of prompts. Does not: the ledger (``asking``).
"""

from __future__ import annotations

from dataclasses import dataclass

from resources.keyset import By, Listing


@dataclass(frozen=True, slots=True)
class Spent:
    """A month's budget in dollars.

    ``spent`` counts against ``maximum``; of its part ``written_off`` nobody knows whether it was
    paid. ``reserved`` is the worst case of what is being asked now.
    """

    month: str
    maximum: float
    spent: float
    written_off: float
    reserved: float
    requests: int
    prompt_tokens: int
    completion_tokens: int


_SPENT = """
SELECT b.key AS month, b.maximum / 1e6::double precision AS maximum,
    b.spent / 1e6::double precision AS spent, b.written_off / 1e6::double precision AS written_off,
    b.reserved / 1e6::double precision AS reserved, a.requests, a.prompt_tokens, a.completion_tokens
FROM domains.openai_budget b CROSS JOIN LATERAL (
    SELECT count(*) AS requests, coalesce(sum(prompt_tokens), 0)::bigint AS prompt_tokens,
        coalesce(sum(completion_tokens), 0)::bigint AS completion_tokens
    FROM domains.openai_attempt WHERE budget = b.key
) AS a
"""


def spending() -> Listing[Spent]:
    """Of every month that was asked for, newest first."""
    return Listing(Spent, _SPENT, (By("month", "text", descending=True),))
