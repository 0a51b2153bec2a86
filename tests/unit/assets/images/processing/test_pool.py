"""A pool over workers that end, dawdle and run out of memory at random."""

from __future__ import annotations

import gc
import os
import random
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.images.processing import pool as module
from assets.images.processing.messages import Report, Setup
from assets.images.processing.operation import Item, Limits, Operation, Outcome
from assets.images.processing.pool import AHEAD, Pool
from assets.images.processing.slots import Busy
from landing.batch.failures import PermanentError

SETUP = Setup(
    operation=Operation(), limits=Limits(1, 1, 1.0), source="", target="", endpoint="",
    access_key="", secret_key="", threads=3, niceness=0, patience=1.0, function="",
)  # fmt: skip


class Scripted:
    """A worker in memory. Each time it is heard, chance says what it has done."""

    rng = random.Random()
    ends = lates = alones = 0.0
    there = most = 0
    #: How often an item was in the hands of a worker that ended, while it was alone.
    ended_alone: ClassVar[Counter[int]] = Counter()

    def __init__(self, setup: Setup) -> None:
        read, write = os.pipe()
        # Always readable: there is always news.
        os.write(write, b"x")
        os.close(write)
        self.channel = Connection(read, writable=False)
        self.held: dict[int, Item] = {}
        self.alone = False
        self.pid = 0
        Scripted.there += 1
        Scripted.most = max(Scripted.most, Scripted.there)
        self._busy: list[Busy] = []

    def send(self, items: list[Item]) -> None:
        assert items
        assert not self.alone or (len(items) == 1 and not self.held)
        self.held.update((item.number, item) for item in items)
        assert len(self.held) <= AHEAD

    def receive(self) -> Report:
        numbers = list(self.held)
        self._busy = [Busy(number, 1.0) for number in numbers[: self.rng.randrange(4)]]
        if self.rng.random() < self.ends:
            raise EOFError
        told = numbers[: self.rng.randrange(1, 9)]
        if self.rng.random() < self.alones:
            return Report(alone=tuple(told[:1]))
        return Report(outcomes=tuple(Outcome(number, "ok") for number in told))

    def busy(self) -> list[Busy]:
        return [one for one in self._busy if one.number in self.held]

    def late(self, seconds: float) -> list[Busy]:
        return self.busy()[:1] if self.rng.random() < self.lates else []

    def silent(self) -> float:
        return self.rng.choice((0.0, 9.0))

    def kill(self) -> str:
        if self.alone:
            self.ended_alone.update(one.number for one in self.busy())
        return "SIGKILL"

    def last_reports(self) -> list[Report]:
        if self.rng.random() < 0.5:
            return []
        return [Report(outcomes=tuple(Outcome(number, "ok") for number in list(self.held)[:2]))]

    def close(self) -> None:
        Scripted.there -= 1
        self.channel.close()


@pytest.fixture(autouse=True)
def _scripted(monkeypatch) -> Iterator[None]:
    monkeypatch.setattr(module, "Child", Scripted)
    yield
    assert Scripted.there == 0


def script(seed: int, ends: float, lates: float, alones: float) -> None:
    Scripted.rng = random.Random(seed)
    Scripted.ends, Scripted.lates, Scripted.alones = ends, lates, alones
    Scripted.most = 0
    Scripted.ended_alone = Counter()


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32), count=st.integers(0, 400), workers=st.integers(1, 4),
    ends=st.sampled_from((0.0, 0.05, 0.3)), lates=st.sampled_from((0.0, 0.05)),
    alones=st.sampled_from((0.0, 0.1)),
)  # fmt: skip
def test_every_item_has_one_outcome(  # noqa: PLR0917
    seed, count, workers, ends, lates, alones
) -> None:
    script(seed, ends, lates, alones)
    taken = 0

    def items():
        nonlocal taken
        for taken in range(1, count + 1):
            yield Item(taken, taken, "", "")

    got: Counter[int] = Counter()
    outcomes = Pool(SETUP, workers).outcomes(items())
    try:
        for outcome in outcomes:
            got[outcome.number] += 1
            # Those of one report, and those of the workers that ended meanwhile, come together.
            assert taken - got.total() <= workers * AHEAD
            if outcome.status == "crashed":
                assert Scripted.ended_alone[outcome.number] >= 1
    except PermanentError:
        # Ten workers in a row that ended with nothing in hand.
        assert ends
    else:
        assert got == Counter(range(1, count + 1))
    assert Scripted.most <= workers


def test_workers_that_end_at_once_are_given_up() -> None:
    script(1, 1.0, 0.0, 0.0)
    Scripted.rng.randrange = lambda *_: 0  # type: ignore[method-assign]  # nothing in hand
    Scripted.rng.random = lambda: 0.0  # type: ignore[method-assign]
    with pytest.raises(PermanentError, match="SIGKILL"):
        list(Pool(SETUP, 2).outcomes([Item(1, 1, "", "")]))


def test_what_the_pool_keeps_does_not_grow_with_the_items() -> None:
    script(1, 0.0, 0.0, 0.0)
    kept = []
    tracemalloc.start()
    try:
        outcomes = Pool(SETUP, 2).outcomes(Item(n, n, "", "") for n in range(100_000))
        for done, _ in enumerate(outcomes):
            if done % 20_000 == 10_000:
                gc.collect()  # empties the interpreter's own free lists, too
                kept.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert len(kept) == 5
    assert max(kept) <= 1.2 * kept[0] + 10_000
