"""Where reading reads and writes, and how its streaming session behaves.

Belongs here: names and limits. Does not: addresses and secrets (``resources/``).
"""

from __future__ import annotations

from typing import Any

import dagster as dg


class ReadingSettings(dg.ConfigurableResource[Any]):
    """Topics, subscriptions, dataset and bucket by name, without the project.

    ``stream`` chooses who carries messages to BigQuery: ``session`` (the job ``reading_stream``),
    ``dataflow`` or ``bigquery_subscription`` (Google's own, observed by ``reading_dataflow_jobs``).
    ``merge_milliseconds`` is the least time between two MERGEs of a session into one table,
    ``session_seconds`` how long a session serves before it hands over, ``max_attempts`` after how
    many deliveries a message that cannot be written by itself is given up.
    """

    dataset: str
    bucket: str
    prefix: str
    quarantine_bucket: str
    interaction_topic: str
    interaction_subscription: str
    interaction_dead_topic: str
    meta_topic: str
    meta_subscription: str
    meta_dead_topic: str
    stream: str
    merge_milliseconds: int
    session_seconds: int
    max_attempts: int
