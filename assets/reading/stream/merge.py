"""The statements that take a micro-batch from a raw table to its target, each event once.

Belongs here: the statements and their parameters. Does not: running a MERGE alone (``merges.py``).

What the MERGE of a micro-batch reads is bounded on both sides, or every one would read both tables
whole: of the raw table the days on which its messages were published (one or two) and the blocks of
its own rows (the table is clustered by micro-batch, whose ids rise with time); of the target the
days of its events, which stand in the statement as parameters, so that BigQuery knows them before
it starts. The source is made unique by GROUP BY, since a FLOAT64 cannot stand in PARTITION BY.

An event whose row is there is left as it is: messages of an event do not differ in anything that
the target keeps but their ids.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

#: Days per MERGE: BigQuery changes 4,000 partitions in one job at most.
DAYS_AT_ONCE = 2_000

MERGE_INTERACTIONS = """
MERGE `{user_interaction}` AS t
USING (
    SELECT user_id, content_id, read_percent, updated_at,
        CONCAT('message:', MIN(message_id)) AS source, MIN(appended_at) AS ingested_at
    FROM `{user_interaction_raw}`
    WHERE micro_batch = @micro_batch
        AND publish_time BETWEEN @first_published AND @last_published
        AND TIMESTAMP_TRUNC(updated_at, DAY) IN UNNEST(@days)
    GROUP BY user_id, content_id, read_percent, updated_at
) AS s
ON t.user_id = s.user_id AND t.content_id = s.content_id
    AND t.read_percent = s.read_percent AND t.updated_at = s.updated_at
    AND TIMESTAMP_TRUNC(t.updated_at, DAY) IN UNNEST(@days)
WHEN NOT MATCHED THEN INSERT
    (user_id, content_id, read_percent, updated_at, source, ingested_at)
    VALUES (s.user_id, s.content_id, s.read_percent, s.updated_at, s.source, s.ingested_at)
"""
MERGE_CATEGORIES = """
MERGE `{content_meta}` AS t
USING (
    SELECT content_id, category_name,
        CONCAT('message:', MIN(message_id)) AS source, MIN(appended_at) AS ingested_at
    FROM `{content_meta_raw}`
    WHERE micro_batch = @micro_batch
        AND publish_time BETWEEN @first_published AND @last_published
    GROUP BY content_id, category_name
) AS s
ON t.content_id = s.content_id AND t.category_name = s.category_name
WHEN NOT MATCHED THEN INSERT (content_id, category_name, source, ingested_at)
    VALUES (s.content_id, s.category_name, s.source, s.ingested_at)
"""

# Which of a micro-batch's messages brought a row, whether this MERGE wrote it or an earlier one of
# a session that died before it could say so. Asked only when not every event was new.
GAINED_DAYS = """
SELECT DATE(updated_at) AS gained, COUNT(*) AS events
FROM `{user_interaction}`
WHERE TIMESTAMP_TRUNC(updated_at, DAY) IN UNNEST(@days)
    AND source IN (
        SELECT CONCAT('message:', message_id) FROM `{user_interaction_raw}`
        WHERE micro_batch = @micro_batch
            AND publish_time BETWEEN @first_published AND @last_published)
GROUP BY gained
"""
GAINED_CONTENTS = """
SELECT content_id AS gained, COUNT(*) AS events
FROM `{content_meta}`
WHERE source IN (
    SELECT CONCAT('message:', message_id) FROM `{content_meta_raw}`
    WHERE micro_batch = @micro_batch
        AND publish_time BETWEEN @first_published AND @last_published)
GROUP BY gained
"""

# How many rows a micro-batch's MERGEs inserted, when the answer to one of them got lost.
COUNT_INTERACTIONS = """
SELECT COUNT(*) AS inserted
FROM `{user_interaction}`
WHERE TIMESTAMP_TRUNC(updated_at, DAY) IN UNNEST(@days) AND ingested_at = @appended_at
    AND source IN (
        SELECT CONCAT('message:', message_id) FROM `{user_interaction_raw}`
        WHERE micro_batch = @micro_batch
            AND publish_time BETWEEN @first_published AND @last_published)
"""
COUNT_CATEGORIES = """
SELECT COUNT(*) AS inserted
FROM `{content_meta}`
WHERE ingested_at = @appended_at
    AND source IN (
        SELECT CONCAT('message:', message_id) FROM `{content_meta_raw}`
        WHERE micro_batch = @micro_batch
            AND publish_time BETWEEN @first_published AND @last_published)
"""


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

    def written_at(self) -> Any:
        """The time that the micro-batch's rows carry in the target."""
        from google.cloud.bigquery import ScalarQueryParameter

        return ScalarQueryParameter("appended_at", "TIMESTAMP", self.appended_at)


def days_parameters(days: Sequence[date]) -> Iterator[list[Any]]:
    """The parameter ``days``, as often as it takes to name all days, in their order."""
    from google.cloud.bigquery import ArrayQueryParameter

    midnights = [datetime.combine(day, time(), UTC) for day in sorted(days)]
    for start in range(0, len(midnights), DAYS_AT_ONCE):
        yield [ArrayQueryParameter("days", "TIMESTAMP", midnights[start : start + DAYS_AT_ONCE])]
