"""What is said of a batch: where it stands, why it waits, and only what is new."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from landing.arrival.ledger import Batch
from landing.arrival.states import ALL_STATES
from local.progress import counted
from local.waiting import Waiting, described

NOW = datetime(2026, 11, 26, 10, 0, tzinfo=UTC)
BATCH = Batch(
    batch_id="20261126T100000Z-0001", partition_key="20261126T100000Z-0001",
    source="gcs", pipeline="campaigns", state="pending",
    attempt=2, objects=1, bytes=10, created_at=NOW, requested_at=None, started_at=None,
    finished_at=None, next_attempt_at=None, run_id=None, validated_at=None, error_class=None,
    error=None, partition_removed_at=None,
)  # fmt: skip


@pytest.mark.parametrize("state", ALL_STATES)
def test_every_state_has_its_words(state) -> None:
    line = described(replace(BATCH, state=state))
    assert line.startswith("campaigns 20261126T100000Z-0001 (1 object): ")
    assert len({described(replace(BATCH, state=other)) for other in ALL_STATES}) == len(ALL_STATES)


def test_a_batch_that_failed_says_when_it_is_tried_again_and_why() -> None:
    due = NOW + timedelta(minutes=5)
    failed = replace(
        BATCH, objects=3, state="failed_transient", next_attempt_at=due, error="MongoDB:\n  gone"
    )
    assert described(failed) == (
        "campaigns 20261126T100000Z-0001 (3 objects): attempt 2 failed, tried again at "
        f"{due.astimezone():%H:%M:%S}: MongoDB: gone"
    )
    for_good = replace(failed, state="failed_permanent", next_attempt_at=None, error="no access")
    assert described(for_good).endswith(
        "failed for good, `make replay BATCH=20261126T100000Z-0001` tries again: no access"
    )


def test_a_batch_that_waits_for_others_says_for_what() -> None:
    due = NOW + timedelta(hours=1)
    waits = replace(BATCH, state="waiting", next_attempt_at=due, error="12 prompts wait")
    assert described(waits).endswith(
        f"waits for somebody else's work, tried again at {due.astimezone():%H:%M:%S}: "
        "12 prompts wait"
    )


def test_a_ledger_that_does_not_answer_is_said_once() -> None:
    waiting = Waiting("postgresql://quintet:secret@127.0.0.1:9/quintet")
    (line,) = waiting.news()
    assert line.startswith("the ledger does not answer: ")
    assert "secret" not in line
    assert waiting.news() == []


@pytest.mark.parametrize(
    ("number", "said"),
    [(0, "0 batches"), (1, "1 batch"), (2, "2 batches"), (1_000, "1,000 batches")],
)
def test_one_is_singular(number, said) -> None:
    assert counted(number, "batch", "batches") == said
