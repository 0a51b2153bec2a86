"""The monthly bill of reading, from the statements that are sent, and what it grows with."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from google.cloud.bigquery import Client

from assets.reading.affinity.computation import Days, replace_counts, replace_shares, top_shares
from assets.reading.changes import note_changed_contents, report_changes
from assets.reading.kinds import EVENTS
from assets.reading.pacing import category_seconds, merge_seconds, report_seconds
from assets.reading.session.message_balance import copies
from assets.reading.stream.serving import StreamLimits
from assets.reading.tables import warehouse_of
from tests import reading_bill as bill
from tests.reading_bill import Load
from tests.reading_stream import Systems, made_events, payload, session, wait_until

pytestmark = [
    pytest.mark.servers("postgres", "bigquery", "pubsub"),
    pytest.mark.xdist_group("reading-stream"),
]

MONTH, SPAN = 30 * 86_400, 15
TODAY = datetime.now(UTC).date()
Statement = tuple[str, dict[str, Any]]
#: Dollars a month at so many events a second, with a year stored.
CEILINGS = {1: 200, 100: 600, 1_000: 6_000}


class Sent(list[Statement]):
    """Statements in the order of their sending."""

    def naming(self, *words: str) -> list[Statement]:
        """Those that have all of the words in them."""
        return [one for one in self if all(word in one[0] for word in words)]

    def taken(self) -> list[Statement]:
        """All since the last call."""
        taken = list(self)
        self.clear()
        return taken


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    statements, query = Sent(), Client.query

    def noting(client: Client, sql: str, **options: Any) -> Any:
        config = options.get("job_config")
        bound = config.query_parameters if config else []
        values = {one.name: getattr(one, "values", getattr(one, "value", None)) for one in bound}
        statements.append((sql, values))
        return query(client, sql, **options)

    monkeypatch.setattr(Client, "query", noting)
    return statements


def monthly(load: Load, parts: Mapping[str, list[Statement]]) -> dict[str, float]:
    """Dollars a month by what they are for."""

    def read(part: str) -> int:
        return sum(bill.billed(sql, values, load) for sql, values in parts[part])

    def dollars(part: str, seconds: float, times: float = 1.0) -> float:
        return MONTH / seconds * times * read(part) / bill.TIB * bill.READ

    def merges(part: str, rate: float) -> float:
        first = bill.billed(*parts[part][0], load)
        full = StreamLimits().batch_rows / rate
        return dollars(part, max(min(merge_seconds(first), full), 0.4))

    every = report_seconds(load.rate)
    # All days that are stored: those of an hour's new categories, or of what waits longer.
    past = max(category_seconds(load.rate), every, 3_600)
    tables = ("user_interaction", "user_interaction_raw", "daily_category_counts",
              "user_category_shares")  # fmt: skip
    a_day = sum(load.rows(name, TODAY - timedelta(days=1)) * bill.width(name) for name in tables)
    recent = min(load.days, 90) * a_day
    stored = recent * bill.STORED + (load.days * a_day - recent) * bill.STORED_LONG
    appended = (
        30
        * load.rows("user_interaction_raw", TODAY - timedelta(days=1))
        * bill.width("user_interaction_raw")
    )
    return {
        "merges": merges("events", load.rate) + merges("categories", load.rate / 100),
        "today": dollars("today", every),
        "the past": dollars("past", past, load.days / SPAN),
        "audit": dollars("audit", 3_600),
        "appends": max(appended - bill.FREE_WRITTEN, 0) / bill.GIB * bill.WRITTEN,
        "storage": stored / bill.GIB,
    }


@pytest.fixture
def parts(env: Mapping[str, str], sent: Sent) -> dict[str, list[Statement]]:
    """What a session, a report, a count of today and one of 15 days send, and an audit."""
    systems = Systems.of(env)
    midnight = datetime(TODAY.year, TODAY.month, TODAY.day, tzinfo=UTC)
    events = [(*one[:3], midnight + timedelta(seconds=n)) for n, one in enumerate(made_events(40))]
    systems.publish(systems.reading.interaction_topic, [*map(payload, events), payload(events[0])])
    systems.publish(systems.reading.meta_topic, ['{"content_id": 1, "category_name": "a"}'])
    accepted = "SELECT coalesce(sum(accepted), 0) >= 42 FROM reading.session_stream"
    with session(systems) as one:
        wait_until(lambda: one.errors or systems.rows(accepted)[0][0])
        one.end()
    streamed = Sent(sent.taken())
    found = {
        "events": streamed.naming("user_interaction_raw"),
        "categories": streamed.naming("content_meta_raw"),
    }
    with (
        systems.bigquery.client() as client,
        psycopg.connect(env["POSTGRES_URL"], autocommit=True) as conn,
    ):
        warehouse = warehouse_of(client, systems.reading.dataset)
        for part, days in (("today", Days(TODAY, TODAY)), ("past", _fifteen())):
            sent.clear()
            replace_counts(warehouse, conn, days)
            replace_shares(warehouse, conn, days)
            top_shares(warehouse, days)
            found[part] = sent.taken()
        copies(warehouse, EVENTS, [TODAY])
        found["audit"] = sent.taken()
    return found


def _fifteen() -> Days:
    last = TODAY - timedelta(days=40)
    return Days(last - timedelta(days=SPAN - 1), last)


def load(rate: float, days: int = 365) -> Load:
    return Load(rate, days, TODAY, min(60 * rate, StreamLimits().batch_rows))


def test_the_bill_stays_below_its_ceilings(parts: dict[str, list[Statement]]) -> None:
    assert all(parts.values())
    bills = {rate: monthly(load(rate), parts) for rate in CEILINGS}
    for rate, found in bills.items():
        # With `-s`: the table of docs/reading.md.
        print(rate, {name: round(dollars) for name, dollars in found.items()})
    totals = {rate: sum(found.values()) for rate, found in bills.items()}
    assert all(0.7 * most < totals[rate] < most for rate, most in CEILINGS.items()), totals


def test_a_new_category_costs_no_more_with_ten_times_the_days(
    env: Mapping[str, str], parts: dict[str, list[Statement]], sent: Sent
) -> None:
    """Looking its days up reads nothing, and counting those days reads nothing else."""
    import dagster as dg

    systems = Systems.of(env)
    with (
        systems.bigquery.client() as client,
        psycopg.connect(env["POSTGRES_URL"], autocommit=True) as conn,
        dg.DagsterInstance.ephemeral() as instance,
    ):
        warehouse = warehouse_of(client, systems.reading.dataset)
        report_changes(instance, conn, warehouse)
        sent.clear()
        note_changed_contents(conn, [1])
        assert report_changes(instance, conn, warehouse).contents == 1
    assert sent == []
    few, many = (
        sum(bill.billed(sql, values, load(100, days)) for sql, values in parts["past"])
        for days in (100, 1_000)
    )
    assert few == many > 10**9
