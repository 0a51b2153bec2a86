"""What is published of a month: summaries by domain, the rejected and the open ones, the diff.

Belongs here: reading them from Postgres, and comparing two months. Does not: files and buckets
(``publishing.py``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from assets.domains.asking.ledger import costs
from landing.batch.failures import PermanentError

if TYPE_CHECKING:
    import psycopg

    from assets.domains.months import Month

_SUMMARIES = """
SELECT s.domain, s.category, a.answer, s.prompt_hash, a.state, coalesce(a.reason, a.outcome)
FROM domains.summary_prompt s JOIN domains.openai_answer a USING (prompt_hash)
WHERE s.month = %s ORDER BY s.domain
"""
_PUBLISHED = "SELECT domain, description FROM domains.published_description WHERE month = %s"


class TooManyMissingError(PermanentError):
    """More domains are without a summary than may be."""


@dataclass(frozen=True, slots=True)
class Summary:
    """One domain's answer. ``state`` is the ledger's; ``reason`` says why it was rejected."""

    domain: str
    category: str | None
    text: str | None
    prompt_hash: str
    state: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class Diff:
    """Domains against what was published of the month before."""

    new: int
    changed: int
    unchanged: int
    gone: int


@dataclass(frozen=True, slots=True)
class MonthSummaries:
    """All domains of a month. ``cost`` is what was paid for the month, in micro-dollars."""

    summaries: tuple[Summary, ...]
    cost: int

    @property
    def answered(self) -> tuple[Summary, ...]:
        """Those that are to be published, by domain."""
        return tuple(one for one in self.summaries if one.state == "answered")

    @property
    def rejected(self) -> tuple[Summary, ...]:
        """Those whose text did not pass."""
        return tuple(one for one in self.summaries if one.state == "rejected")

    @property
    def reasons(self) -> dict[str, int]:
        """Rejected ones by reason."""
        return dict(sorted(Counter(str(one.reason) for one in self.rejected).items()))

    @property
    def missing_share(self) -> float:
        """Of all domains, those without a summary."""
        return 1 - len(self.answered) / len(self.summaries) if self.summaries else 0.0

    def require(self, most_missing_percent: int) -> None:
        """Raises TooManyMissingError when a larger share has no summary."""
        missing = len(self.summaries) - len(self.answered)
        if missing * 100 > most_missing_percent * len(self.summaries):
            raise TooManyMissingError(
                f"{missing} of {len(self.summaries)} domains have no summary, more than"
                f" {most_missing_percent}%: {self.reasons or 'they were not asked for yet'}"
            )


def read_summaries(conn: psycopg.Connection[Any], month: Month) -> MonthSummaries:
    """The month as the ledger has it now."""
    rows = conn.execute(_SUMMARIES, (month.start,)).fetchall()
    spent = costs(conn, month.start).spent
    return MonthSummaries(tuple(Summary(*row) for row in rows), spent)


def read_published(conn: psycopg.Connection[Any], month: Month) -> dict[str, str]:
    """Descriptions by domain, as they were published last of the month."""
    return dict(conn.execute(_PUBLISHED, (month.start,)).fetchall())


def compared(now: Sequence[Summary], before: Mapping[str, str]) -> Diff:
    """The month against the one before."""
    texts = {one.domain: one.text for one in now}
    both = texts.keys() & before.keys()
    changed = sum(texts[domain] != before[domain] for domain in both)
    return Diff(
        new=len(texts.keys() - before.keys()),
        changed=changed,
        unchanged=len(both) - changed,
        gone=len(before.keys() - texts.keys()),
    )
