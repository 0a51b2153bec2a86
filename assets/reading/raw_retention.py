"""How long the raw tables keep messages.

Belongs here: the setting's least value, and telling BigQuery. Does not: what is counted from raw
(``session/message_balance.py``); answers are not, they rest on the tables that are merged from it.

Raw is partitioned by publish time. A message may be as old as Pub/Sub keeps it when it comes, and a
row of a partition that has expired is gone before it is merged: then its event would be lost, and
acknowledged. So nothing expires before a message of that age has been merged for days.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from assets.reading.kinds import KINDS
from resources.bigquery import REQUEST_TIMEOUT

if TYPE_CHECKING:
    from assets.sinks.bigquery import Warehouse

#: Days that Pub/Sub keeps a message at most (31), those that the hourly audit looks back on from
#: there (2), and some in which BigQuery may be away.
LEAST_DAYS = 40


def require_safe(days: int) -> None:
    """Raises ValueError for days that might cost a message."""
    if days and days < LEAST_DAYS:
        raise ValueError(
            f"READING_RAW_DAYS is {days}: messages may be 31 days old when they come, and are in "
            f"raw until they are merged. Set {LEAST_DAYS} or more, or 0 to keep them for ever"
        )


def keep_raw(warehouse: Warehouse, days: int) -> None:
    """Have raw messages kept for so many days after their publication, 0: for ever.

    Raises google.api_core.exceptions errors.
    """
    wanted = int(timedelta(days=days).total_seconds() * 1000) or None
    for kind in KINDS:
        name = warehouse.table(kind.raw.name)
        table = warehouse.client.get_table(name, timeout=REQUEST_TIMEOUT)
        partitioning = table.time_partitioning
        if partitioning is not None and partitioning.expiration_ms != wanted:
            partitioning.expiration_ms = wanted
            table.time_partitioning = partitioning
            warehouse.client.update_table(table, ["time_partitioning"], timeout=REQUEST_TIMEOUT)
