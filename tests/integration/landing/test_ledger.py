"""The ledger's own rules on Postgres: identity, ids, transitions, statistics."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from landing.arrival import arrivals, endings, ledger
from landing.arrival.arrivals import Backlog
from landing.arrival.batching import Arrival
from landing.arrival.identity import ObjectVersion
from landing.arrival.ledger_postgres import PostgresLedger
from landing.arrival.source import Source
from landing.arrival.states import UNKNOWN_RUNS, ErrorClass

pytestmark = pytest.mark.servers("postgres")

NOW = datetime(2026, 11, 22, 10, 15, 3, tzinfo=UTC)


def source(name: str = "campaigns_gcs") -> Source:
    return Source(
        name=name,
        pipeline="campaigns",
        store="gcs",
        bucket="inbox",
        prefix="",
        pattern=re.compile(".*"),
        sinks=("mongo", "neo4j"),
    )


def versions(count: int, name: str = "key") -> list[ObjectVersion]:
    return [ObjectVersion("gcs", "inbox", f"{name}{i}", "1", 10 + i, NOW) for i in range(count)]


def make_batch(connection: psycopg.Connection[Any], count: int = 2, name: str = "key") -> str:
    arrivals.record_versions(connection, source().name, versions(count, name), NOW)
    waiting = arrivals.unassigned(connection, source(), 100)
    return arrivals.create_batch(connection, source(), waiting, NOW)


def in_threads(url: str, work: Callable[[int, psycopg.Connection[Any]], None], count: int) -> None:
    barrier = threading.Barrier(count)
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            with psycopg.connect(url, autocommit=True) as connection:
                barrier.wait(10)
                work(number, connection)
        except BaseException as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []


def test_a_version_is_recorded_once(connection: psycopg.Connection[Any]) -> None:
    page = versions(5)
    assert arrivals.record_versions(connection, "campaigns_gcs", page, NOW) == 5
    assert arrivals.record_versions(connection, "campaigns_gcs", page, NOW) == 0
    rewritten = [ObjectVersion("gcs", "inbox", "key3", "2", 1, NOW)]
    assert arrivals.record_versions(connection, "campaigns_gcs", page + rewritten, NOW) == 1
    assert arrivals.record_versions(connection, "campaigns_gcs", [], NOW) == 0
    waiting = arrivals.unassigned(connection, source("campaigns_gcs"), 100)
    assert [arrival.size for arrival in waiting] == [10, 11, 12, 13, 14, 1]
    assert [arrival.seq for arrival in waiting] == sorted(arrival.seq for arrival in waiting)
    assert arrivals.unassigned(connection, source("another"), 100) == []


def test_keys_of_any_unicode_and_length(connection: psycopg.Connection[Any]) -> None:
    names = ["\U0001f600" * 256, "é", "e\u0301", "\uffee", "\n", "' ; --", "\x7f", "%s", "\\N"]
    page = [ObjectVersion("gcs", "inbox", name, "1770000000000000", 1, NOW) for name in names]
    assert arrivals.record_versions(connection, "campaigns_gcs", page, NOW) == len(names)
    assert arrivals.record_versions(connection, "campaigns_gcs", page, NOW) == 0


def test_the_same_page_recorded_at_once_is_written_once(
    connection: psycopg.Connection[Any], ledger_url: str
) -> None:
    counts: list[int] = []

    def record(_number: int, other: psycopg.Connection[Any]) -> None:
        counts.append(arrivals.record_versions(other, "campaigns_gcs", versions(500), NOW))

    in_threads(ledger_url, record, 4)
    assert sum(counts) == 500
    assert len(arrivals.unassigned(connection, source("campaigns_gcs"), 10_000)) == 500


def test_batch_ids_of_several_sources_at_once_increase_as_they_become_visible(
    connection: psycopg.Connection[Any], ledger_url: str
) -> None:
    def make(number: int, other: psycopg.Connection[Any]) -> None:
        mine = source(f"source {number}")
        before = ""
        for turn in range(15):
            page = versions(1, f"{number}-{turn}-")
            arrivals.record_versions(other, mine.name, page, NOW)
            waiting = arrivals.unassigned(other, mine, 10)
            # One clock runs ahead, one back.
            now = NOW + timedelta(seconds=turn * (number - 1))
            made = arrivals.create_batch(other, mine, waiting, now)
            seen = other.execute("SELECT max(batch_id) FROM landing.batch").fetchone()
            assert before < made <= seen[0]
            before = seen[0]

    in_threads(ledger_url, make, 3)
    count = connection.execute("SELECT count(*) FROM landing.batch").fetchone()
    assert count == (45,)


def test_a_batch_comes_with_its_sinks_and_objects_or_not_at_all(
    connection: psycopg.Connection[Any],
) -> None:
    batch_id = make_batch(connection, 3)
    made = ledger.batch(connection, batch_id)
    assert (made.state, made.attempt, made.objects, made.bytes) == ("pending", 0, 3, 33)
    found = ledger.sinks(connection, [batch_id])[batch_id]
    assert [(sink.sink, sink.state) for sink in found] == [
        ("mongo", "pending"),
        ("neo4j", "pending"),
    ]
    taken = [Arrival(1, 10, NOW)]
    with pytest.raises(RuntimeError, match="have a batch"):
        arrivals.create_batch(connection, source(), taken, NOW)
    assert [b.batch_id for b in ledger.batches(connection)] == [batch_id]


def test_an_attempt_is_requested_once(connection: psycopg.Connection[Any]) -> None:
    batch_id = make_batch(connection)
    assert not ledger.mark_requested(connection, batch_id, 2, NOW)
    assert ledger.mark_requested(connection, batch_id, 1, NOW)
    assert not ledger.mark_requested(connection, batch_id, 1, NOW)
    assert not ledger.mark_requested(connection, batch_id, 2, NOW)


def test_the_way_of_a_batch_that_fails_and_is_tried_again(
    connection: psycopg.Connection[Any],
) -> None:
    batch_id = make_batch(connection)
    for attempt, minutes in [(1, 1), (2, 5), (3, 15), (4, 60), (5, 60)]:
        assert ledger.mark_requested(connection, batch_id, attempt, NOW)
        run_id = f"run {attempt}"
        assert ledger.mark_running(connection, batch_id, run_id, NOW).state == "running"
        assert not ledger.mark_failed(
            connection, batch_id, run_id="other", error_class="transient", error="x", now=NOW
        )
        assert ledger.mark_failed(
            connection, batch_id, run_id=run_id, error_class="transient", error="down", now=NOW
        )
        failed = ledger.batch(connection, batch_id)
        assert (failed.state, failed.error_class, failed.error) == (
            "failed_transient",
            "transient",
            "down",
        )
        assert failed.next_attempt_at == NOW + timedelta(minutes=minutes)
        assert failed.run_id == run_id


def test_a_permanent_failure_waits_for_an_operator(connection: psycopg.Connection[Any]) -> None:
    batch_id = make_batch(connection)
    ledger.mark_requested(connection, batch_id, 1, NOW)
    assert not ledger.reopen(connection, batch_id), "it has not failed"
    ledger.mark_failed(
        connection, batch_id, run_id="r", error_class="permanent", error="denied", now=NOW
    )
    failed = ledger.batch(connection, batch_id)
    assert (failed.state, failed.next_attempt_at) == ("failed_permanent", None)
    assert not ledger.mark_requested(connection, batch_id, 2, NOW)
    assert ledger.reopen(connection, batch_id)
    assert ledger.mark_requested(connection, batch_id, 2, NOW)


def test_a_batch_that_waits_for_others_is_asked_for_again_in_an_hour(
    connection: psycopg.Connection[Any],
) -> None:
    batch_id = make_batch(connection)
    now = NOW
    for attempt in (1, 2):
        ledger.mark_requested(connection, batch_id, attempt, now)
        ledger.mark_running(connection, batch_id, "r", now)
        for run_id, changed in (("other", False), ("r", True), ("r", False)):
            assert changed == ledger.mark_waiting(
                connection, batch_id, run_id=run_id, why="12 prompts\0 wait", now=now
            )
        waits = ledger.batch(connection, batch_id)
        assert (waits.state, waits.error_class, waits.error) == ("waiting", None, "12 prompts wait")
        assert waits.next_attempt_at == now + timedelta(hours=1)
        assert waits.waiting_since == NOW, "since the first attempt"
        assert arrivals.backlog(connection, source().name) == Backlog(0, NOW, 0, 0, 0, 0, 1)
        assert not ledger.mark_requested(connection, batch_id, attempt, now)
        now += timedelta(hours=1)
    # What failed beside the step that waits counts.
    assert not ledger.mark_failed(
        connection, batch_id, run_id="other", error_class="permanent", error="x", now=now
    )
    assert ledger.mark_failed(
        connection, batch_id, run_id="r", error_class="permanent", error="denied", now=now
    )
    assert ledger.reopen(connection, batch_id)
    assert ledger.batch(connection, batch_id).waiting_since is None


def test_an_operator_may_ask_for_a_batch_that_waits(connection: psycopg.Connection[Any]) -> None:
    batch_id = make_batch(connection)
    ledger.mark_requested(connection, batch_id, 1, NOW)
    ledger.mark_running(connection, batch_id, "r", NOW)
    ledger.mark_waiting(connection, batch_id, run_id="r", why="others", now=NOW)
    assert ledger.reopen(connection, batch_id)
    reopened = ledger.batch(connection, batch_id)
    assert (reopened.state, reopened.waiting_since, reopened.error) == ("pending", None, None)
    assert ledger.mark_requested(connection, batch_id, 2, NOW)


def test_a_failure_of_a_loaded_batch_changes_nothing(connection: psycopg.Connection[Any]) -> None:
    batch_id = make_batch(connection)
    ledger.mark_requested(connection, batch_id, 1, NOW)
    ledger.mark_running(connection, batch_id, "r", NOW)
    connection.execute("UPDATE landing.batch SET state = 'loaded'")
    assert not ledger.mark_failed(
        connection, batch_id, run_id="r", error_class="transient", error="x", now=NOW
    )
    assert ledger.batch(connection, batch_id).state == "loaded"


def test_what_moved_on_since_it_was_seen_is_not_lost(connection: psycopg.Connection[Any]) -> None:
    batch_id = make_batch(connection)
    ledger.mark_requested(connection, batch_id, 1, NOW)
    seen = ledger.batch(connection, batch_id)
    ledger.mark_running(connection, batch_id, "r", NOW)
    assert not endings.mark_lost(connection, seen, error="ended", now=NOW, began=True)
    running = ledger.batch(connection, batch_id)
    assert endings.mark_lost(connection, running, error="ended", now=NOW, began=True)
    lost = ledger.batch(connection, batch_id)
    assert (lost.state, lost.next_attempt_at) == ("failed_transient", NOW)


def test_an_unknown_batch_is_an_error(connection: psycopg.Connection[Any]) -> None:
    with pytest.raises(ledger.UnknownBatchError, match="no batch nope"):
        ledger.batch(connection, "nope")
    with pytest.raises(ledger.UnknownBatchError):
        ledger.mark_running(connection, "nope", "r", NOW)
    with pytest.raises(ledger.UnknownBatchError):
        ledger.mark_failed(
            connection, "nope", run_id="r", error_class="transient", error="x", now=NOW
        )


def test_the_backlog(connection: psycopg.Connection[Any]) -> None:
    name = source().name
    assert arrivals.backlog(connection, name) == Backlog(0, None, 0, 0, 0, 0, 0)
    first = make_batch(connection, 2, "a")
    second = make_batch(connection, 2, "b")
    later = NOW + timedelta(minutes=1)
    arrivals.record_versions(connection, name, versions(4, "c"), later)
    assert arrivals.backlog(connection, name) == Backlog(4, NOW, 2, 0, 0, 0, 0)
    ledger.mark_requested(connection, first, 1, NOW)
    ledger.mark_requested(connection, second, 1, NOW)
    assert arrivals.backlog(connection, name) == Backlog(4, NOW, 0, 2, 0, 0, 0)
    classes: list[tuple[str, ErrorClass]] = [(first, "transient"), (second, "permanent")]
    for batch_id, error_class in classes:
        ledger.mark_failed(
            connection,
            batch_id,
            run_id="r",
            error_class=error_class,
            error="x",
            now=NOW,
        )
    assert arrivals.backlog(connection, name) == Backlog(4, NOW, 0, 0, 1, 1, 0)
    connection.execute("UPDATE landing.batch SET state = 'loaded'")
    assert arrivals.backlog(connection, name) == Backlog(4, later, 0, 0, 0, 0, 0)
    assert len(ledger.batches(connection, states=["loaded"])) == 2


def test_a_connection_that_would_not_commit_is_refused(ledger_url: str) -> None:
    with (
        psycopg.connect(ledger_url) as connection,
        pytest.raises(ValueError, match="autocommit"),
    ):
        PostgresLedger(connection)


def test_an_unknown_error_has_so_many_runs_and_then_waits_for_an_operator(
    connection: psycopg.Connection[Any],
) -> None:
    batch_id = make_batch(connection)
    attempt = 0

    def failed(error_class: ErrorClass) -> ledger.Batch:
        nonlocal attempt
        attempt += 1
        assert ledger.mark_requested(connection, batch_id, attempt, NOW)
        ledger.mark_running(connection, batch_id, "r", NOW)
        ledger.note_error(connection, batch_id, run_id="r", error_class=error_class, error="odd")
        noted = ledger.batch(connection, batch_id)
        assert noted.error_class == error_class
        assert ledger.mark_failed(
            connection, batch_id, run_id="r", error_class=error_class, error="odd", now=NOW
        )
        return ledger.batch(connection, batch_id)

    for _ in range(UNKNOWN_RUNS - 1):
        seen = failed("unknown")
        assert (seen.state, seen.error_class, seen.error) == ("failed_transient", "unknown", "odd")
        assert seen.next_attempt_at is not None
        assert failed("transient").state == "failed_transient", "these do not count"
    last = failed("unknown")
    assert (last.state, last.next_attempt_at) == ("failed_permanent", None)
    assert last.error == (
        f"odd (unknown, and the same in {UNKNOWN_RUNS} runs: waits for an operator)"
    )
    assert ledger.reopen(connection, batch_id)
    assert failed("unknown").state == "failed_transient", "whoever looked into it starts anew"


def test_the_worst_class_of_a_run_is_kept(connection: psycopg.Connection[Any]) -> None:
    batch_id = make_batch(connection)
    ledger.mark_requested(connection, batch_id, 1, NOW)
    ledger.mark_running(connection, batch_id, "r", NOW)
    said: list[tuple[ErrorClass, ErrorClass, str]] = [
        ("transient", "transient", "0"), ("unknown", "unknown", "1"),
        ("transient", "unknown", "1"), ("permanent", "permanent", "3"),
        ("unknown", "permanent", "3"), ("permanent", "permanent", "3"),
    ]  # fmt: skip
    for number, (given, kept, error) in enumerate(said):
        ledger.note_error(connection, batch_id, run_id="r", error_class=given, error=str(number))
        noted = ledger.batch(connection, batch_id)
        assert (noted.error_class, noted.error) == (kept, error)
