"""Which version of a record wins: the one whose object arrived last, by the store's own clock."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import permutations

import psycopg
import pytest

from assets.campaigns.pipeline import CAMPAIGNS
from landing.arrival import arrivals
from landing.batch import winners
from landing.batch.decision import OVERRULED_SHOWN
from migrations.upgrade import upgrade
from tests.integration.campaigns.harness import Landing, row
from tests.memory_store import MemoryStore

pytestmark = pytest.mark.servers("postgres")

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def landing(env) -> Landing:
    upgrade(env["POSTGRES_URL"])
    return Landing(env["POSTGRES_URL"])


def content(landing: Landing, sink: str = "raw_messages") -> dict[str, str]:
    """What a sink would hold that every batch is given to again, oldest first."""
    held = {}
    for (batch_id,) in landing.query("SELECT batch_id FROM landing.batch ORDER BY batch_id"):
        held |= landing.deliver(batch_id, sink)
    return held


def arrive(landing: Landing) -> str:
    """One batch of all that the listing shows and the ledger does not know."""
    with landing.pg.connect(autocommit=True) as connection:
        source = CAMPAIGNS.source("campaigns", "campaigns/")
        page = landing.store.list_page("campaigns/", None, 1000)
        arrivals.record_versions(connection, source.name, page.objects, NOW)
        found = arrivals.unassigned(connection, source, 1000)
        return arrivals.create_batch(connection, source, found, NOW)


def test_a_correction_with_an_earlier_time_applies(landing):
    landing.load(landing.batch({"campaigns/a.csv": [row("r1", "wrong", at=30)]}))
    landing.load(landing.batch({"campaigns/b.csv": [row("r1", "right", at=10)]}))
    assert content(landing) == {"r1": "right"}


def test_a_mistyped_future_time_can_be_corrected(landing):
    future = ("r1", "user_1", "typo", "Sale", "2199-11-03 10:00:00.000000")
    landing.load(landing.batch({"campaigns/a.csv": [future]}))
    result = landing.load(landing.batch({"campaigns/a.csv": [row("r1", "right", at=10)]}))
    assert (result.rows.written, result.rows.superseded) == (1, 0)
    assert content(landing) == {"r1": "right"}


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("times", [(1, 2, 1), (1, 2, 3), (3, 2, 1)])
def test_a_b_a_ends_as_a_whichever_batch_is_decided_first(landing, order, times):
    texts = ("A", "B", "A")
    batches = [
        landing.batch({f"campaigns/{n}.csv": [row("r1", text, at=at)]})
        for n, (text, at) in enumerate(zip(texts, times, strict=True))
    ]
    for number in order:
        landing.load(batches[number])
    assert content(landing) == {"r1": "A"}
    (time,) = landing.query("SELECT extract(second FROM event_time)::int FROM campaigns.record")[0]
    assert time == times[2]


def test_what_arrived_later_wins_among_versions_seen_in_one_scan(landing):
    """The listing goes by the alphabet: the older object comes last."""
    landing.put("campaigns/z.csv", [row("r1", "first", at=5)])
    landing.put("campaigns/a.csv", [row("r1", "six seconds later", at=5)])
    landing.load(arrive(landing))
    assert content(landing) == {"r1": "six seconds later"}


def test_an_object_that_a_scan_had_passed_already_does_not_undo_what_arrived_after_it(landing):
    early = landing.put("campaigns/a.csv", [row("r1", "early")])
    late = landing.put("campaigns/b.csv", [row("r1", "late")])
    landing.load(landing.batch_of([late]))
    assert landing.load(landing.batch_of([early])).rows.superseded == 1
    assert content(landing) == {"r1": "late"}


def test_equal_arrivals_are_ordered_by_the_ledger(landing):
    """S3 and MinIO say whole seconds."""
    landing.store = MemoryStore(kind="minio")
    first = landing.put("campaigns/a.csv", [row("r1", "first")])
    landing.store.generation -= 1
    second = landing.put("campaigns/b.csv", [row("r1", "second")])
    assert first.modified_at == second.modified_at
    batches = [landing.batch_of([version]) for version in (first, second)]
    for batch_id in reversed(batches):
        landing.load(batch_id)
    assert content(landing) == {"r1": "second"}


def test_a_step_back_of_the_databases_clock_lets_no_late_retry_overwrite(landing):
    first = landing.batch({"campaigns/a.csv": [row("r1", "old"), row("r2")]})
    second = landing.batch({"campaigns/b.csv": [row("r1", "new")]})
    landing.validate(first)
    landing.load(second)
    with psycopg.connect(landing.url) as conn:
        conn.execute(
            "UPDATE landing.batch SET validated_at = validated_at - interval '30 s'"
            " WHERE batch_id = %s",
            (second,),
        )
    assert landing.deliver(first, "raw_messages") == {"r2": "Hello"}


def test_rows_that_a_newer_version_overrules_are_counted_and_shown(landing):
    old, new = [row(f"r{n:02}", "old") for n in range(12)], [row("r00", "new"), row("r01", "new")]
    other = [row(f"r{n:02}", "new") for n in range(2, 12)]
    first = landing.batch({"campaigns/a.csv": [*old, row("same")]})
    second = landing.batch({"campaigns/b.csv": [*new, row("same")]})
    third = landing.batch({"campaigns/c.csv": other})
    landing.load(second)
    landing.load(third)
    result = landing.load(first)
    assert (result.rows.superseded, result.rows.unchanged) == (12, 1)
    assert len(result.overruled) == OVERRULED_SHOWN == 10
    shown = [(o.key, o.source, o.line, o.by) for o in result.overruled[:3]]
    a, b, c = (f"gs://campaigns/campaigns/{name}" for name in ("a.csv#1", "b.csv#2", "c.csv#3"))
    assert shown == [("r00", a, 2, b), ("r01", a, 3, b), ("r02", a, 4, c)]


@dataclass
class World:
    """What arrived, in the order of arrival, and what the sinks hold."""

    versions: list[list[tuple]] = field(default_factory=list)
    sinks: dict[str, dict[str, str | None]] = field(
        default_factory=lambda: {sink: {} for sink in CAMPAIGNS.sinks}
    )

    def expected(self) -> dict[str, tuple]:
        """Per key, of the version that arrived last, the row with the latest (time, line)."""
        rows = {}
        for version in self.versions:
            latest = {}
            for line, one in enumerate(version):
                if one[0] not in latest or (one[4], line) >= latest[one[0]][:2]:
                    latest[one[0]] = (one[4], line, one)
            rows |= {key: one for key, (_, _, one) in latest.items()}
        return rows


@pytest.mark.parametrize("again", [1, 1_000])
@pytest.mark.parametrize("seed", range(8))
def test_any_order_of_batches_sinks_and_retries_ends_as_what_arrived_last(
    landing, monkeypatch, seed, again
):
    """Versions are seen, validated and given to the sinks in any order, some sinks twice."""
    monkeypatch.setattr(winners, "SAID_AGAIN_ROWS", again)
    chance, world = random.Random(seed), World()
    found = []
    for number in range(14):
        rows = [
            row(f"r{chance.randint(1, 5)}", chance.choice("ab"), at=chance.randint(0, 3))
            for _ in range(chance.randint(0, 5))
        ]
        world.versions.append(rows)
        found.append(landing.put(f"campaigns/{number}.csv", rows))
    chance.shuffle(found)
    batches = []
    while found:
        size = chance.randint(1, 3)
        batches.append(landing.batch_of(found[:size]))
        found = found[size:]
    chance.shuffle(batches)
    due: list[tuple[str, str]] = []

    def take_some(share: float) -> None:
        chance.shuffle(due)
        for _ in range(round(len(due) * share)):
            batch_id, sink = due.pop()
            world.sinks[sink].update(landing.deliver(batch_id, sink))
            if chance.random() < 0.1:
                due.append((batch_id, sink))

    for batch_id in batches:
        landing.validate(batch_id)
        due += [(batch_id, sink) for sink in CAMPAIGNS.sinks]
        take_some(chance.random())
    while due:
        take_some(1)
    expected = world.expected()
    assert {key: (u, c) for key, (u, c, *_) in landing.records().items()} == {
        key: (one[1], one[3]) for key, one in expected.items()
    }
    texts = {key: one[2] for key, one in expected.items()}
    assert all(held == texts for held in world.sinks.values())
    # A backfill of everything, into empty sinks, newest batch first.
    world.sinks = {sink: {} for sink in CAMPAIGNS.sinks}
    for batch_id in sorted(batches, reverse=True):
        landing.load(batch_id, world.sinks)
    assert all(held == texts for held in world.sinks.values())
