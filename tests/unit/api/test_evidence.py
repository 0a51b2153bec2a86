"""What an answer rests on, while it is asked for again."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from api import evidence
from api.evidence import Evidence


class Stores:
    """Answers as the test says, once it lets it."""

    def __init__(self) -> None:
        self.asked, self.may = 0, asyncio.Event()

    async def ask(self, needed, question):
        self.asked += 1
        batch = f"b{self.asked}"
        await self.may.wait()
        written_at = datetime(2026, 11, 28, tzinfo=UTC)
        return SimpleNamespace(kind="batch", id=batch, written_at=written_at, run_id=None)


def newest(connection):
    return None


def test_nobody_waits_for_what_is_asked_for_again_and_it_is_asked_once(monkeypatch):
    monkeypatch.setattr(evidence, "BELIEVED_SECONDS", 3_600.0)
    monkeypatch.setattr(evidence, "_RENEWED_SECONDS", 0.0)

    async def body():
        stores: Any = Stores()
        clients: Any = None
        found = Evidence(stores, clients, str)
        stores.may.set()
        first = await found.of(newest)
        stores.may.clear()
        while_asked = [await found.of(newest) for _ in range(5)]
        stores.may.set()
        await asyncio.gather(*found._renewing.values())
        return first, while_asked, (await found.of(newest)), stores.asked

    first, while_asked, after, asked = asyncio.run(body())
    assert first.id == "b1"
    assert {one.id for one in while_asked} == {"b1"}
    assert after.id == "b2"
    assert asked == 2
