from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from assets.reading.stream.micro_batch import BatchLimits, Inbox

LONG = 30.0


@dataclass
class Message:
    message_id: str
    size: int = 100
    ack_id: str = ""
    data: bytes = b""
    ordering_key: str = ""
    attributes: dict[str, str] = field(default_factory=dict)
    publish_time: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    def drop(self) -> None: ...

    def nack(self) -> None: ...


def filled(count: int, **options: Any) -> Inbox:
    inbox = Inbox()
    for number in range(count):
        inbox.put(Message(str(number), **options))
    return inbox


def ids(batch: list[object]) -> list[int]:
    return [int(one.message_id) for one in batch]  # type: ignore[attr-defined]


def test_it_closes_at_its_number_of_rows() -> None:
    inbox = filled(25)
    limits = BatchLimits(rows=10, bytes=10**9, seconds=LONG)
    assert ids(inbox.gather(limits, wait=0)) == list(range(10))  # type: ignore[arg-type]
    assert ids(inbox.gather(limits, wait=0)) == list(range(10, 20))  # type: ignore[arg-type]
    assert inbox.received == 25


def test_it_closes_at_its_number_of_bytes() -> None:
    inbox = filled(10, size=400)
    assert len(inbox.gather(BatchLimits(rows=10, bytes=1_000, seconds=LONG), wait=0)) == 3
    one_large = filled(2, size=5_000)
    assert len(one_large.gather(BatchLimits(rows=10, bytes=1_000, seconds=LONG), wait=0)) == 1


def test_it_closes_in_time_with_whatever_came() -> None:
    inbox = filled(3)
    threading.Timer(0.05, inbox.put, [Message("3")]).start()
    began = time.monotonic()
    batch = inbox.gather(BatchLimits(rows=100, bytes=10**9, seconds=0.3), wait=0)
    assert 0.25 < time.monotonic() - began < LONG
    assert len(batch) == 4


def test_a_due_time_holds_its_end_back_but_not_its_limits() -> None:
    inbox = filled(3)
    threading.Timer(0.15, inbox.put, [Message("3")]).start()
    limits = BatchLimits(rows=4, bytes=10**9, seconds=0.0)
    assert len(inbox.gather(limits, wait=0, not_before=time.monotonic() + LONG)) == 4


def test_nothing_comes_of_an_empty_inbox() -> None:
    assert Inbox().gather(BatchLimits(1, 1, LONG), wait=0.01) == []


def test_a_closed_inbox_waits_for_nothing_and_takes_nothing_up() -> None:
    inbox = filled(3)
    inbox.close()
    inbox.put(Message("3"))
    began = time.monotonic()
    limits = BatchLimits(rows=100, bytes=10**9, seconds=LONG)
    assert len(inbox.gather(limits, wait=LONG, not_before=began + LONG)) == 3
    assert inbox.gather(limits, wait=LONG) == []
    assert time.monotonic() - began < LONG / 2
    assert ids(inbox.left()) == [3]  # type: ignore[arg-type]
    assert inbox.left() == []
    assert inbox.received == 4


def test_closing_ends_the_wait_of_a_micro_batch_that_has_begun() -> None:
    inbox, gathered, took = filled(1, ordering_key="a"), list[int](), threading.Event()
    inbox.next_of_key = lambda _key: took.set()
    limits = BatchLimits(rows=100, bytes=10**9, seconds=3_600)
    writer = threading.Thread(
        target=lambda: gathered.append(len(inbox.gather(limits, wait=0))), daemon=True
    )
    writer.start()
    assert took.wait(LONG)
    inbox.close()
    writer.join(LONG)
    assert gathered == [1]
