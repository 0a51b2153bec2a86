"""Objects sent in blocks, from a bucket in memory, with faults."""

from __future__ import annotations

import asyncio
import io
from contextlib import contextmanager

import pytest

from api import objects
from api.objects import ObjectBrokenError, Objects
from api.problems import ProblemError
from api.stores import Stores, System
from tests.memory_store import MemoryStore

DATA = bytes(range(256)) * 4_000
SCOPE = {"type": "http", "method": "GET", "asgi": {"spec_version": "2.4"}}


def asked(sending: Objects, stores: Stores, store: MemoryStore, key: str = "k"):
    def found():
        if (version := store.stat(key)) is None:
            raise KeyError(key)
        return store, version

    return sending.response(stores, "one", found, media_type="image/x", headers={})


async def sent(response) -> tuple[dict[str, str], list[bytes]]:
    """Headers and blocks, as a server gets them."""
    messages = []

    async def receive():
        await asyncio.Event().wait()

    async def send(message):
        messages.append(message)

    await response(SCOPE, receive, send)
    headers = {name.decode(): value.decode() for name, value in messages[0]["headers"]}
    return headers, [one["body"] for one in messages[1:]]


@pytest.fixture
def stores():
    made = Stores({"one": System(lambda: "there", lambda: None)})
    yield made
    made.close()


def test_an_object_is_sent_whole_with_its_length_in_blocks(stores):
    store = MemoryStore()
    store.put("k", DATA)
    store.put("empty", b"")

    async def body():
        sending = Objects()
        for key, data in (("k", DATA), ("empty", b"")):
            headers, blocks = await sent(await asked(sending, stores, store, key))
            assert b"".join(blocks) == data
            assert headers["content-length"] == str(len(data))
            assert max(map(len, blocks)) <= 256 * 1024

    asyncio.run(body())


def test_one_that_is_not_there_or_breaks_off_leaves_room_for_others(stores):
    class Breaking(MemoryStore):
        @contextmanager
        def open(self, version):
            with super().open(version) as stream:
                read = stream.read(objects.AT_ONCE * 20_000)

            class Ends(io.BytesIO):
                def read(self, size=-1):
                    if self.tell() == len(read):
                        raise ConnectionResetError("reset")
                    return super().read(size)

            yield Ends(read)

    store = Breaking()
    store.put("k", DATA)

    async def body():
        sending = Objects()
        for _ in range(objects.AT_ONCE + 1):
            with pytest.raises(KeyError):
                await asked(sending, stores, store, "none")
            with pytest.raises(ObjectBrokenError):
                await sent(await asked(sending, stores, store))

    asyncio.run(body())


def test_more_at_once_than_there_is_room_for_are_to_come_again(stores):
    store = MemoryStore()
    store.put("k", DATA)

    async def body():
        sending = Objects()
        held = [await asked(sending, stores, store) for _ in range(objects.AT_ONCE)]
        with pytest.raises(ProblemError) as refused:
            await asked(sending, stores, store)
        assert refused.value.problem.status == 503
        await sent(held[0])
        await asked(sending, stores, store)

    asyncio.run(body())
