"""Asking the systems that answers come from, without waiting for one that is away.

Belongs here: threads, deadlines, and finding out who is away. Does not: the clients
(``clients.py``), any question.

Answers are computed by blocking clients, each of which waits in its own way, up to minutes, for a
server that is away. So a question that takes longer than a moment makes the service look whether
the systems are there; if one is not, whoever asked is told, and the thread is left to its client.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from api.breaker import Breaker
from api.problems import ProblemError, unavailable
from assets.pipelines import without_secrets
from landing.batch.failures import classify
from resources.configured import NotSetError

log = logging.getLogger("quintet.api")
T = TypeVar("T")

#: Seconds after which somebody looks whether the systems are there, and how long they have to say
#: so: together with a thread's start below the 2 s in which a client learns that one is away.
PATIENCE = 0.7
LOOK_SECONDS = 1.2
#: Seconds for which a look is believed by those who ask only whether the systems are there.
LATELY = 5.0
#: Seconds that a question may take when they are there.
DEADLINE = 30.0
#: Questions at once, and looks at one system: one that hangs must not hide that it is back.
QUESTIONS = 32
WAITING = 128
#: Questions at once that ask one system only, which is quick: more threads would only take turns,
#: at a third of the throughput, and wait for its connections. They don't wait for other systems.
QUICK = {"postgres": 8}
_LOOKS = 4
#: Seconds between wakes of who looks after those that are away.
_WAKE = 0.25
_DETAIL_CHARACTERS = 200


@dataclass
class System:
    """One outside system: ``check`` says who answers or raises, ``again`` follows its return."""

    check: Callable[[], str]
    again: Callable[[], None]
    breaker: Breaker = field(default_factory=Breaker)
    pool: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(_LOOKS, thread_name_prefix="look")
    )
    looks: int = 0
    #: When the last look ended, and what it said.
    looked: tuple[float, str | None] | None = None


class Stores:
    """The systems by name, and the threads in which they are asked."""

    def __init__(self, systems: Mapping[str, System]) -> None:
        self.systems = dict(systems)
        self._pool = ThreadPoolExecutor(QUESTIONS, thread_name_prefix="question")
        self._quick = {name: _quick(name) for name in QUICK}
        self._asked = 0

    async def ask(
        self,
        needed: Iterable[str],
        question: Callable[[], T],
        *,
        perhaps: Iterable[str] = (),
        deadline: float = DEADLINE,
    ) -> T:
        """What the question returns or raises.

        ``needed`` are the systems that it always asks, ``perhaps`` those that it may do without.
        Raises ProblemError: 503 within two seconds when
        one of them is away, 504 past the deadline (seconds), 503 when too many wait.
        """
        names = list(needed)
        self._require_there(names)
        if self._asked >= WAITING:
            raise unavailable("the service", "too many questions wait for an answer", 1)
        self._asked += 1
        try:
            return await self._answered([*names, *perhaps], question, deadline)
        finally:
            self._asked -= 1

    async def looked(self, name: str) -> str | None:
        """As :meth:`look`, or what a look of lately said.

        For those who need no key: a look may cost money (OpenAI's).
        """
        last = self.systems[name].looked
        if last and time.monotonic() - last[0] < LATELY:
            return last[1]
        return await self.look(name)

    async def look(self, name: str) -> str | None:
        """Why the system is away; None while it is there."""
        system = self.systems[name]
        if system.looks >= _LOOKS:
            return system.breaker.reason or "it has not answered for long"
        loop = asyncio.get_running_loop()
        system.looks += 1
        looking = loop.run_in_executor(system.pool, system.check)
        looking.add_done_callback(lambda done: _ended(system, done))
        try:
            await asyncio.wait_for(asyncio.shield(looking), LOOK_SECONDS)
        except TimeoutError:
            reason = f"no answer within {LOOK_SECONDS:g} s"
        except Exception as error:  # noqa: BLE001  whatever a client raises, it is not there
            reason = _said(error)
        else:
            system.looked = time.monotonic(), None
            if system.breaker.seen_there():
                log.info("system_back name=%s", name)
                if name in self._quick:
                    # Threads may go on waiting for what it was before.
                    self._quick[name].shutdown(wait=False)
                    self._quick[name] = _quick(name)
                await loop.run_in_executor(system.pool, system.again)
            return None
        if not system.breaker.open:
            log.warning("system_away name=%s reason=%s", name, reason)
        system.looked = time.monotonic(), reason
        system.breaker.seen_away(time.monotonic(), reason)
        return reason

    async def watch(self) -> None:
        """Look after those that are away, until cancelled."""
        while True:
            await asyncio.sleep(_WAKE)
            now = time.monotonic()
            due = [name for name, one in self.systems.items() if one.breaker.look_due(now)]
            await asyncio.gather(*map(self.look, due))

    def close(self) -> None:
        """Give up threads; those that wait for a server end with their clients."""
        pools = [self._pool, *self._quick.values(), *(one.pool for one in self.systems.values())]
        for pool in pools:
            pool.shutdown(wait=False, cancel_futures=True)

    async def _answered(self, names: list[str], question: Callable[[], T], deadline: float) -> T:
        began = time.monotonic()
        pool = self._quick.get(names[0], self._pool) if len(names) == 1 else self._pool
        asking = asyncio.get_running_loop().run_in_executor(pool, question)
        asking.add_done_callback(_retrieved)
        await asyncio.wait({asking}, timeout=min(PATIENCE, deadline))
        if not asking.done():
            await self._require_found(names, asking)
            await asyncio.wait({asking}, timeout=deadline - (time.monotonic() - began))
        if not asking.done():
            asking.cancel()
            raise ProblemError(
                504, "deadline_exceeded", "The answer took too long",
                f"no answer within {deadline:g} s, though {', '.join(names)} can be reached",
                then="Ask for less, or again later.",
            )  # fmt: skip
        try:
            return asking.result()
        except NotSetError as error:
            raise ProblemError(
                503, "not_configured", "A system of the answer is not configured", str(error),
                then="Set the variable, and start the service again.",
            ) from error  # fmt: skip
        except Exception as error:
            if classify(error) != "transient":
                raise
            await self._require_found(names)
            # Each is there by now: what failed was this question, or this moment.
            raise unavailable(" or ".join(names), _said(error), 1) from error

    def _require_there(self, names: list[str]) -> None:
        for name in names:
            breaker = self.systems[name].breaker
            if breaker.open:
                raise unavailable(name, breaker.reason, breaker.retry_after(time.monotonic()))

    async def _require_found(
        self, names: list[str], asking: asyncio.Future[Any] | None = None
    ) -> None:
        """Look at all of them; raise for the first that is away, unless the answer comes first."""
        looks = asyncio.gather(*map(self.look, names))
        await asyncio.wait({looks, *([asking] if asking else [])}, return_when="FIRST_COMPLETED")
        if asking and asking.done():
            return
        for name, reason in zip(names, await looks, strict=True):
            if reason is not None:
                breaker = self.systems[name].breaker
                raise unavailable(name, reason, breaker.retry_after(time.monotonic()))


def _quick(name: str) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(QUICK[name], thread_name_prefix=f"question-{name}")


def _ended(system: System, done: asyncio.Future[Any]) -> None:
    system.looks -= 1
    _retrieved(done)


def _retrieved(done: asyncio.Future[Any]) -> None:
    """Nobody may wait any more for what it raises."""
    if not done.cancelled():
        done.exception()


def _said(error: BaseException) -> str:
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    return without_secrets(first, os.environ)[:_DETAIL_CHARACTERS]
