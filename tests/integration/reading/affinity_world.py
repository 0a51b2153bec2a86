"""Events and categories in BigQuery as the stream would have left them, and a recount in Python.

``World`` keeps both in plain lists and sets. What is asked of it is counted from those, event by
event, and never from a table.
"""

from __future__ import annotations

import io
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import polars as pl
from google.cloud.bigquery import Client, LoadJobConfig, SourceFormat

from assets.reading.tables import INTERACTIONS, META, warehouse_of
from assets.sinks.bigquery import Warehouse
from resources.bigquery import BigQueryResource

LAST = date(2022, 3, 23)
READER, EDGE, NOBODY = -(2**63), 2**63 - 1, 404
MICROSECOND = timedelta(microseconds=1)

Event = tuple[int, int, float, datetime]
INGESTED_AT = datetime(2022, 4, 1, tzinfo=UTC)
EVENT_SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "user_id": pl.Int64,
    "content_id": pl.Int64,
    "read_percent": pl.Float64,
    "updated_at": pl.Datetime("us", "UTC"),
}


def load(client: Client, table: str, frame: pl.DataFrame) -> None:
    """Append a frame to a table, with what the stream would have added to its rows."""
    buffer = io.BytesIO()
    frame.with_columns(
        pl.lit("message:1").alias("source"), pl.lit(INGESTED_AT).alias("ingested_at")
    ).write_parquet(buffer)
    buffer.seek(0)
    config = LoadJobConfig(source_format=SourceFormat.PARQUET, write_disposition="WRITE_APPEND")
    client.load_table_from_file(buffer, table, job_config=config).result(timeout=120)


@dataclass
class World:
    """``warehouse`` holds what ``events`` and ``categories`` (content, name) hold."""

    warehouse: Warehouse
    events: list[Event] = field(default_factory=list)
    categories: set[tuple[int, str]] = field(default_factory=set)

    def add_events(self, events: Iterable[Event]) -> None:
        events = list(events)
        self.events += events
        frame = pl.DataFrame(events, schema=EVENT_SCHEMA, orient="row")
        load(self.warehouse.client, self.warehouse.table(INTERACTIONS.name), frame)

    def add_categories(self, pairs: Iterable[tuple[int, str]]) -> None:
        pairs = sorted(pairs)
        self.categories |= set(pairs)
        schema = {"content_id": pl.Int64, "category_name": pl.String}
        frame = pl.DataFrame(pairs, schema=schema, orient="row")
        load(self.warehouse.client, self.warehouse.table(META.name), frame)

    def counts(self) -> dict[date, Counter[tuple[int, str]]]:
        """Pairs per day, user and category."""
        names = defaultdict(list)
        for content, name in self.categories:
            names[content].append(name)
        found: dict[date, Counter[tuple[int, str]]] = defaultdict(Counter)
        read = {(user, content, at) for user, content, percent, at in self.events if percent > 90}
        for user, content, at in read:
            found[at.date()].update((user, name) for name in names[content])
        return {day: rows for day, rows in found.items() if rows}

    def shares(self, query_date: date) -> dict[int, dict[str, float]]:
        """Every user's shares on a date."""
        counts = self.counts()
        pairs: dict[int, Counter[str]] = defaultdict(Counter)
        for back in range(15):
            for (user, name), number in counts.get(query_date - timedelta(days=back), {}).items():
                pairs[user][name] += number
        return {
            user: {name: number / rows.total() for name, number in rows.items()}
            for user, rows in pairs.items()
        }


@contextmanager
def world_of(env: Mapping[str, str]) -> Iterator[World]:
    """An empty world in the dataset of a test's variables."""
    resource = BigQueryResource(
        project=env["GOOGLE_CLOUD_PROJECT"], api_endpoint=env["BIGQUERY_API_ENDPOINT"]
    )
    with resource.client() as client:
        warehouse = warehouse_of(client, env["READING_DATASET"])
        warehouse.ensure()
        yield World(warehouse)


def at(day: date, **time_of_day: int) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(**time_of_day)


def fill(world: World, events: int = 600) -> None:
    """Six weeks of events of ten users, the edges of the rules among them."""
    chance = random.Random(4)
    first = LAST - timedelta(days=41)
    contents = [*range(1, 30), -7, 2**62]
    world.add_categories(
        {(content, f"genre {content % 5}") for content in contents if content % 7}
        | {(content, "poésie | `x`") for content in contents if content % 2}
    )
    world.add_events(
        (
            chance.choice([READER, EDGE, *range(8)]),
            chance.choice(contents),
            chance.choice([0.0, 45.5, 90.0, 90.00000000000001, 91.0, 100.0, 2400.0]),
            at(first + timedelta(days=chance.randrange(42)), seconds=chance.randrange(86_400)),
        )
        for _ in range(events)
    )
    window = LAST - timedelta(days=14)
    world.add_events(
        [
            (1000, 1, 91.0, at(window)),
            (1001, 1, 91.0, at(window) - MICROSECOND),
            (1002, 1, 91.0, at(LAST, days=1) - MICROSECOND),
            (1003, 1, 91.0, at(LAST, days=1)),
            (1004, 1, 90.0, at(LAST)),
            (1005, 7000, 91.0, at(LAST)),  # a content without a category
        ]
    )
