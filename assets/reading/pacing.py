"""How often what is new is merged, and what has changed counted again, so that the bill stays low.

Belongs here: intervals, as functions of the load. Does not: waiting for them (``stream/``,
``session/``), the bill that follows (docs/adr/0006, docs/adr/0014).

BigQuery bills what a statement reads: 10 MB of each table at least, and of a day the whole, however
little of it is new. So one more event costs what the day holds, unless it waits for others.
"""

from __future__ import annotations

#: In place of milliseconds between two MERGEs: as the load has it.
BY_LOAD = -1

#: Seconds between two MERGEs into a table: BigQuery takes 25 statements in 10 seconds. What comes
#: within the most is still called a stream.
LEAST_MERGE_SECONDS, MOST_MERGE_SECONDS = 0.4, 60.0
#: What MERGEs may be billed a second, on average: $15 a month, or as much as the most time costs.
MERGED_BYTES_PER_SECOND = 1_000_000

#: Seconds between two reports of changes, each of which has their days counted again.
LEAST_REPORT_SECONDS, MOST_REPORT_SECONDS = 60.0, 6 * 3_600.0
#: New categories make days of all the past count again: once a day where the load is high.
MOST_CATEGORY_SECONDS = 86_400.0


def merge_seconds(billed: int) -> float:
    """From a MERGE that was billed so many bytes to the next one, unless that is full before."""
    return min(max(billed / MERGED_BYTES_PER_SECOND, LEAST_MERGE_SECONDS), MOST_MERGE_SECONDS)


def report_seconds(events_per_second: float) -> float:
    """From one report of changes to the next, at a load that lasts.

    A day's counts cost what the day holds: at twice the load, half as often.
    """
    wanted = LEAST_REPORT_SECONDS * events_per_second
    return min(max(wanted, LEAST_REPORT_SECONDS), MOST_REPORT_SECONDS)


def category_seconds(events_per_second: float) -> float:
    """From one look for days that new categories change to the next; 0 while the load is low."""
    beyond = report_seconds(events_per_second) - LEAST_REPORT_SECONDS
    return min(24 * beyond, MOST_CATEGORY_SECONDS)
