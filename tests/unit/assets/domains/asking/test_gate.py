"""The gate: one first, then all, one at a time while all fail. Told what came of each request."""

from __future__ import annotations

import asyncio

import pytest

from assets.domains.asking.gate import Gate, NobodyAnsweredError


def gate(**changed) -> Gate:
    return Gate(**{"breaker": 3, "patience": 60.0, "longest_pause": 0.01, **changed})


async def waiting(one: Gate) -> bool:
    """Whether entering has to wait."""
    try:
        await asyncio.wait_for(one.enter(), 0.05)
    except TimeoutError:
        return True
    return False


def test_the_first_goes_alone():
    async def run():
        one = gate()
        assert await one.enter()
        assert await waiting(one)
        one.answered(probe=True)
        assert one.is_open
        assert [await one.enter() for _ in range(3)] == [False] * 3

    asyncio.run(run())


def test_failures_in_a_row_close_it_and_one_answer_opens_it():
    async def run():
        one = gate()
        await one.enter()
        one.answered(probe=True)
        for _ in range(2):
            one.failed(None, probe=False)
        one.answered(probe=False)
        for _ in range(3):
            assert one.is_open
            one.failed(None, probe=False)
        assert not one.is_open
        assert await one.enter()
        assert await waiting(one)
        # Those that were in flight when it closed say nothing about the probe.
        one.failed(None, probe=False)
        assert await waiting(one)
        one.answered(probe=True)
        assert one.is_open

    asyncio.run(run())


def test_a_probe_that_was_not_sent_leaves_its_place():
    async def run():
        one = gate()
        assert await one.enter()
        one.unsent(probe=True)
        assert not await waiting(one)

    asyncio.run(run())


def test_patience_ends_but_not_in_a_wait_that_was_asked_for():
    async def run():
        one = gate(patience=0.0)
        one._closed_at -= 1.0
        with pytest.raises(NobodyAnsweredError):
            await one.enter()
        patient = gate(patience=0.0)
        patient._closed_at -= 1.0
        patient._waited = 2.0
        assert await patient.enter()

    asyncio.run(run())


def test_its_end_keeps_nobody_waiting():
    async def run():
        one = gate()
        await one.enter()
        entering = asyncio.create_task(one.enter())
        await asyncio.sleep(0)
        one.end()
        assert not await asyncio.wait_for(entering, 1)
        paused = gate(longest_pause=600.0)
        await paused.enter()
        paused.failed(600.0, probe=True)
        entering = asyncio.create_task(paused.enter())
        await asyncio.sleep(0)
        paused.end()
        assert not await asyncio.wait_for(entering, 1)

    asyncio.run(run())
