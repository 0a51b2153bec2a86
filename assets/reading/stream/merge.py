"""The statements that take a micro-batch from a raw table to its target, each fact once.

Belongs here: the statements and their parameters. Does not: running a MERGE alone (``merges.py``).

What the MERGE of a micro-batch reads is bounded on both sides, or every one would read both tables
whole: of the raw table the days on which its messages were published (one or two) and the blocks of
its own rows (the table is clustered by micro-batch, whose ids rise with time); of the target the
days of its events, which stand in the statement as parameters, so that BigQuery knows them before
it starts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from assets.reading.fact_statements import gained, merge
from assets.reading.kinds import KINDS

_MICRO_BATCH = (
    "micro_batch = @micro_batch AND publish_time BETWEEN @first_published AND @last_published"
)
_BROUGHT = {
    kind: f"source IN (SELECT CONCAT('message:', message_id) FROM `{{{kind.raw.name}}}` "
    f"WHERE {_MICRO_BATCH})"
    for kind in KINDS
}

MERGE = {
    kind: merge(
        kind,
        f"`{{{kind.raw.name}}}` WHERE {_MICRO_BATCH}",
        source="CONCAT('message:', MIN(message_id))",
        ingested_at="MIN(appended_at)",
    )
    for kind in KINDS
}
#: Which of a micro-batch's messages brought a row, whether this MERGE wrote it or an earlier one of
#: a session that died before it could say so. Asked only when not every fact was new.
GAINED = {kind: gained(kind, _BROUGHT[kind]) for kind in KINDS}
#: What a micro-batch's MERGEs inserted themselves, when the answer to one of them got lost.
INSERTED = {
    kind: gained(kind, f"ingested_at = @appended_at AND {_BROUGHT[kind]}") for kind in KINDS
}


@dataclass(frozen=True, slots=True)
class Appending:
    """A micro-batch in a raw table: its id, when it was appended, and the publish times it spans.

    Ids rise with time within a session.
    """

    micro_batch: str
    appended_at: datetime
    first_published: datetime
    last_published: datetime

    def parameters(self) -> list[Any]:
        """What every statement over the raw table is bound with."""
        from google.cloud.bigquery import ScalarQueryParameter

        return [
            ScalarQueryParameter("micro_batch", "STRING", self.micro_batch),
            ScalarQueryParameter("first_published", "TIMESTAMP", self.first_published),
            ScalarQueryParameter("last_published", "TIMESTAMP", self.last_published),
        ]

    def spanning(self, first: datetime, last: datetime) -> Appending:
        """The same with messages that were published between these two times, too."""
        return replace(
            self,
            first_published=min(first, self.first_published),
            last_published=max(last, self.last_published),
        )

    def written_at(self) -> Any:
        """The time that the micro-batch's rows carry in the target."""
        from google.cloud.bigquery import ScalarQueryParameter

        return ScalarQueryParameter("appended_at", "TIMESTAMP", self.appended_at)
