"""Which prompt stands for each domain of a month, in Postgres.

Belongs here: writing that, and the prompts into the ledger of answers. Does not: prompts
themselves (``prompts.py``), asking (``asking``).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from assets.domains.asking.ledger import Prompt, enqueue
from assets.sinks.result import SinkResult, Verification, compared

if TYPE_CHECKING:
    import psycopg

    from assets.domains.months import Month
    from assets.domains.prompts import SummaryPrompt

_GONE = """
DELETE FROM domains.summary_prompt
WHERE month = %s AND NOT (domain = ANY(%s))
"""
_PUT = """
INSERT INTO domains.summary_prompt AS s (month, domain, category, prompt_hash)
SELECT %s, * FROM unnest(%s::text[], %s::text[], %s::text[])
ON CONFLICT (month, domain) DO UPDATE SET
    category = excluded.category, prompt_hash = excluded.prompt_hash
WHERE (s.category, s.prompt_hash) IS DISTINCT FROM (excluded.category, excluded.prompt_hash)
"""
_HELD = "SELECT domain, prompt_hash FROM domains.summary_prompt WHERE month = %s"


def store(
    conn: psycopg.Connection[Any], month: Month, prompts: Sequence[SummaryPrompt]
) -> tuple[SinkResult, Verification, int]:
    """Replace the month's prompts, in one transaction; how many had never been asked before.

    Raises psycopg errors.
    """
    started = time.monotonic()
    domains = [one.domain for one in prompts]
    hashes = [one.prompt_hash for one in prompts]
    with conn.transaction():
        new = enqueue(conn, (Prompt(one.prompt_hash, one.request, one.facts) for one in prompts))
        deleted = conn.execute(_GONE, (month.start, domains)).rowcount
        categories = [one.category for one in prompts]
        written = conn.execute(_PUT, (month.start, domains, categories, hashes)).rowcount
        held = dict(conn.execute(_HELD, (month.start,)).fetchall())
    expected = dict(zip(domains, hashes, strict=True))
    found = compared(expected, held, absent=held.keys() - expected.keys())
    seconds = time.monotonic() - started
    return SinkResult(len(prompts), len(prompts) - written, deleted, seconds), found, new
