"""What pool and workers say to each other, and the memory in which workers say what they are at."""

from __future__ import annotations

import os

import msgspec
import pytest

from assets.images.processing import messages
from assets.images.processing.messages import Report, Setup
from assets.images.processing.operation import Item, Limits, Operation, Outcome
from assets.images.processing.slots import Busy, Slots

SETUP = Setup(
    operation=Operation(kind="copy", crop=0.5), limits=Limits(1, 2, 3.5), source="a", target="b",
    endpoint="http://x", access_key="k", secret_key="s", threads=3, niceness=1, patience=2.0,
    function="a:b",
)  # fmt: skip


def test_messages_come_back_as_they_were_sent() -> None:
    items = [Item(1, 2, "ä/ü", "b"), Item(3, 4, "c", "d")]
    report = Report((Outcome(1, "timeout", "x", seconds=0.5),), (2, 3), "away", lasting=True)
    assert messages.read_setup(messages.write(SETUP)) == SETUP
    assert messages.read_items(messages.write(items)) == items
    assert messages.read_report(messages.write(report)) == report


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x80\x04]\x94.", messages.write([])])
def test_what_is_no_report_is_refused(data: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        messages.read_report(data)


def test_slots_say_what_each_thread_has_in_hand() -> None:
    at = Slots.file(3)
    written, read = Slots(at, 3), Slots(at, 3)
    os.close(at)
    assert read.busy() == []
    assert read.silent() > 0
    written.take(0, 0)
    written.take(2, 7)
    assert read.busy() == [Busy(0, None), Busy(7, None)]
    written.work(2, 7)
    [first, second] = read.busy()
    assert first == Busy(0, None)
    assert second.number == 7
    assert second.since
    written.clear(0)
    written.beat()
    assert read.busy() == [second]
    assert read.silent() < 5
    written.close()
    assert read.busy() == [second]
    read.close()
