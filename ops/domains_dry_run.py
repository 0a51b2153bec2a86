"""``make domains-dry-run``: what a month would ask and cost, before anything is asked.

Belongs here: that, for a person. Does not: writing anything; the steps are the pipeline's own.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from assets.domains.months import Month
from assets.domains.settings import DomainsSettings
from landing.batch.failures import PermanentError
from ops.environment import require
from resources.postgres import PostgresResource

if TYPE_CHECKING:
    from collections.abc import Sequence

    from assets.domains.prompts import SummaryPrompt

#: Prompts printed.
SHOWN = 3
_KNOWN = """
SELECT prompt_hash FROM domains.openai_answer
WHERE prompt_hash = ANY(%s) AND state IN ('answered', 'rejected')
"""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What asking would take: prompts without an answer, tokens, dollars.

    ``most_dollars`` is the worst case of one request each.
    """

    prompts: int
    new: int
    prompt_tokens: int
    dollars: float
    most_dollars: float


def run(month: str) -> int:
    """Print it; the exit code."""
    from assets.domains.features import features
    from assets.domains.prompts import summary_prompt
    from assets.domains.source import read_month

    try:
        asked = Month.parse(month)
    except ValueError:
        print(f"MONTH={month!r} is no month: MONTH=2025-03", file=sys.stderr)
        return 1
    settings = DomainsSettings.current()
    try:
        with PostgresResource(url=require("DOMAINS_SOURCE_URL")).connect() as source:
            found = read_month(source, asked)
    except PermanentError as error:
        print(error, file=sys.stderr)
        return 1
    rows = features(found.metrics, found.categories).filter("main_category")
    prompts = [summary_prompt(row, settings.model) for row in rows.iter_rows(named=True)]
    with PostgresResource(url=require("POSTGRES_URL")).connect() as connection:
        hashes = [one.prompt_hash for one in prompts]
        known = {row[0] for row in connection.execute(_KNOWN, (hashes,)).fetchall()}
    _print(asked, prompts, estimate(prompts, known, settings), settings)
    return 0


def estimate(
    prompts: Sequence[SummaryPrompt], known: set[str], settings: DomainsSettings
) -> Estimate:
    """Of the prompts that are not known yet, each distinct one once."""
    from assets.domains.asking.limits import Bounds, Prices

    new = {one.prompt_hash: one for one in prompts if one.prompt_hash not in known}
    bounds = [Bounds.of(one.request) for one in new.values()]
    prices = Prices.of(float(settings.input_price), float(settings.output_price))
    # English has about 4 bytes a token, and 100 words about 140 tokens.
    likely = [(bound.prompt // 4, 140) for bound in bounds]
    return Estimate(
        prompts=len(prompts),
        new=len(new),
        prompt_tokens=sum(tokens for tokens, _ in likely),
        dollars=sum(prices.micros(*tokens) for tokens in likely) / 1e6,
        most_dollars=sum(prices.micros(b.prompt, b.completion) for b in bounds) / 1e6,
    )


def _print(
    month: Month, prompts: Sequence[SummaryPrompt], found: Estimate, settings: DomainsSettings
) -> None:
    for one in prompts[:SHOWN]:
        for message in one.request["messages"]:
            print(f"{message['role']}: {message['content']}\n")
    print(
        json.dumps(
            {
                "month": str(month),
                "model": settings.model,
                "prompts": found.prompts,
                "not answered yet": found.new,
                "prompt tokens, about": found.prompt_tokens,
                "dollars, about": round(found.dollars, 2),
                "dollars, at most, unless asked again": round(found.most_dollars, 2),
                "budget in dollars": float(settings.budget_dollars),
            },
            indent=2,
        )
    )
