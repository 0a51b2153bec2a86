"""One worker: slots that claim, ask, judge and settle, until nothing of the month is left.

Belongs here: the loop and what one slot does. Does not: opening and closing what it works with,
and what its end means (``engine``).
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from assets.domains.asking.calling import Failure, RequestRefusedError, call
from assets.domains.asking.claims import Claim, Claims
from assets.domains.asking.gate import Gate
from assets.domains.asking.limits import AskingLimits, likely_tokens
from assets.domains.asking.outcome import Completion, Review, judge
from assets.domains.asking.progress import Tally
from assets.domains.asking.rate import RateLimiter
from assets.domains.asking.settlement import Settlement, of_answer, of_failure
from assets.domains.asking.writer import Writer

if TYPE_CHECKING:
    from openai import AsyncOpenAI

#: Seconds between two looks at what other workers do.
_LOOK = 0.5
#: Of the last answers, the share of 429s that means a full account where no header says so.
_RECENT, _FULL_SHARE = 50, 0.5
#: Seconds that a worker that is told to end waits for what it has asked and must pay.
_LAST_WAIT = 20.0
#: A request that takes so many times the usual has probably been forgotten; seconds at least.
_SLOW, _LEAST_SLOW = 2.0, 1.0
#: The weight of the last answer in what is usual.
_WEIGHT = 0.02


class BudgetUsedUpError(Exception):
    """Nothing that is due fits, and nothing in flight may give anything back."""


class Worker:
    """See the module. ``recover`` gives back what dead workers had claimed."""

    def __init__(
        self,
        *,
        client: AsyncOpenAI,
        claims: Claims,
        writer: Writer,
        limiter: RateLimiter,
        review: Review,
        limits: AskingLimits,
        tally: Tally,
        recover: Callable[[], Awaitable[object]],
    ) -> None:
        self._client, self._claims, self._writer = client, claims, writer
        self._limiter, self._review, self._limits = limiter, review, limits
        self._tally, self._recover = tally, recover
        self._gate = Gate(
            breaker=limits.breaker, patience=limits.patience, longest_pause=limits.longest_pause
        )
        self._slots = asyncio.Semaphore(limits.concurrency)
        self._ready: deque[Claim] = deque()
        self._claiming: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._fatal: BaseException | None = None
        self._unaffordable = 0
        self._recent: deque[bool] = deque(maxlen=_RECENT)
        self._usual = limits.timeout
        self._lent = 0

    def stop(self, reason: BaseException) -> None:
        """Send nothing more; what is in flight is settled, then ``run`` raises ``reason``."""
        self._fatal = self._fatal or reason
        self._gate.end()
        self._wake.set()

    def _stopped(self) -> bool:
        return self._fatal is not None

    async def run(self) -> None:
        """Return when no prompt of the month waits for an answer, but for those given up.

        Raises RequestRefusedError, BudgetUsedUpError, NobodyAnsweredError, psycopg.Error, what the
        review raises; whatever it is, what was claimed and not asked is given back.
        """
        try:
            await self._dispatch()
        except asyncio.CancelledError:
            await self._drain(_LAST_WAIT)
            raise
        except BaseException:
            await self._drain(None)
            raise
        await self._drain(None)
        if self._fatal is not None:
            raise self._fatal

    async def _dispatch(self) -> None:
        while not self._stopped():
            await self._slots.acquire()
            claim = await self._next()
            if claim is None:
                self._slots.release()
                return
            try:
                probe = await self._gate.enter()
                await self._wait_for_the_rate(claim, probe=probe)
            except BaseException:
                self._ready.appendleft(claim)
                raise
            if self._stopped():
                self._gate.unsent(probe=probe)
                self._ready.appendleft(claim)
                return
            task = asyncio.create_task(self._ask(claim, probe=probe))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _wait_for_the_rate(self, claim: Claim, *, probe: bool) -> None:
        tokens = likely_tokens(claim.bounds.prompt, claim.bounds.completion)
        try:
            await self._limiter.acquire(tokens, self._free_slots() + 1)
        except BaseException:
            self._gate.unsent(probe=probe)
            raise

    def _free_slots(self) -> int:
        return self._limits.concurrency - len(self._tasks)

    async def _next(self) -> Claim | None:
        """The next claim that is due; None when there is nothing more to do."""
        dry = False
        while not self._stopped():
            if self._ready:
                claim = self._ready.popleft()
                if len(self._ready) < self._limits.claim // 4:
                    self._claim_ahead()
                return claim
            # Not cancelled with this: a claim that is under way is given back by _drain.
            await asyncio.shield(self._claim_ahead())
            if self._ready:
                continue
            if self._unaffordable:
                self._wake.clear()
                # Twice: between the two looks another worker may have given something back.
                if not await self._claims.in_flight():
                    if dry:
                        raise BudgetUsedUpError
                    dry = True
                    continue
                dry = False
                await self._recover()
                await self._sleep(_LOOK)
            elif await self._nothing_left():
                return None
        return None

    def _claim_ahead(self) -> asyncio.Task[None]:
        """Claim in the background, so that no slot waits for it. Raises what the last claim did."""
        if self._claiming is not None and self._claiming.done():
            self._claiming.result()
            self._claiming = None
        if self._claiming is None:
            self._claiming = asyncio.create_task(self._claim())
        return self._claiming

    async def _claim(self) -> None:
        # One at first: what the canary shows to be wrong is wrong for all.
        limit = self._limits.claim if self._gate.is_open else 1
        claimed = await self._claims.claim(limit)
        self._ready.extend(claimed.claims)
        self._unaffordable = claimed.unaffordable

    async def _nothing_left(self) -> bool:
        """Whether this worker can end; else it has slept until there may be something due."""
        self._wake.clear()
        outlook = await self._claims.outlook()
        if not outlook.open and not self._tasks:
            if not outlook.elsewhere:
                return True
            await self._recover()
        until = _LOOK if outlook.next_in is None else min(_LOOK, max(0.0, outlook.next_in))
        await self._sleep(max(until, 0.01))
        return False

    async def _sleep(self, seconds: float) -> None:
        """Or until an answer was settled since the last clearing."""
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _ask(self, claim: Claim, *, probe: bool) -> None:
        """Ask, judge, settle; the slot is free once that is committed."""
        self._tally.requests += 1
        self._tally.in_flight += 1
        try:
            with self._slot():
                await self._writer.settle(await self._outcome(claim, probe=probe))
        except Exception as error:  # noqa: BLE001 - run() raises it once all slots are free
            self._gate.unsent(probe=probe)
            self.stop(error)
        finally:
            self._tally.in_flight -= 1
            self._wake.set()

    @contextmanager
    def _slot(self) -> Iterator[None]:
        """Free the slot at the end; before, for a spare one, when it takes unusually long.

        With one request in 200 never answered, a twentieth of the slots would wait for timeouts.
        """
        lent = False

        def lend() -> None:
            nonlocal lent
            if self._lent < self._limits.spare:
                lent = True
                self._lent += 1
                self._slots.release()

        slow = max(_LEAST_SLOW, _SLOW * self._usual)
        timer = asyncio.get_running_loop().call_later(slow, lend)
        try:
            yield
        finally:
            timer.cancel()
            if lent:
                self._lent -= 1
            else:
                self._slots.release()

    async def _outcome(self, claim: Claim, *, probe: bool) -> Settlement:
        request, start = claim.request, time.monotonic()
        try:
            answered = await call(self._client, request, self._limits.timeout)
        except RequestRefusedError as error:
            self._gate.unsent(probe=probe)
            self.stop(error)
            failure = Failure(error.kind, "no")
            return of_failure(claim, failure, self._limits.prices, fatal=True)
        await self._limiter.heard(answered.told.requests, answered.told.tokens)
        if isinstance(answered.result, Failure):
            self._gate.failed(answered.result.retry_after, probe=probe)
            return await self._failed(claim, answered.result)
        self._gate.answered(probe=probe)
        taken = time.monotonic() - start
        self._usual += (
            _WEIGHT * (taken - self._usual) if self._tally.settled else taken - self._usual
        )
        return self._answered(claim, request["max_completion_tokens"], answered.result)

    def _answered(self, claim: Claim, limit: int, completion: Completion) -> Settlement:
        self._recent.append(False)
        verdict = judge(claim.facts, claim.reask, limit, completion, self._review)
        settlement = of_answer(claim, completion, verdict, self._limits.prices)
        counted = self._tally.reasks if verdict.reask else self._tally.outcomes
        counted[verdict.result] += 1
        self._count(settlement)
        return settlement

    async def _failed(self, claim: Claim, failure: Failure) -> Settlement:
        self._recent.append(failure.kind == "429")
        if failure.kind == "429" and (failure.full or self._often_refused()):
            await self._limiter.full(failure.retry_after or 1.0)
        self._tally.retries[failure.kind] += 1
        settlement = of_failure(claim, failure, self._limits.prices)
        self._count(settlement)
        return settlement

    def _often_refused(self) -> bool:
        return len(self._recent) == _RECENT and sum(self._recent) > _FULL_SHARE * _RECENT

    def _count(self, settlement: Settlement) -> None:
        self._tally.prompt_tokens += settlement.prompt_tokens
        self._tally.completion_tokens += settlement.completion_tokens
        self._tally.cost += settlement.cost
        self._tally.written_off += settlement.written_off

    async def _drain(self, seconds: float | None) -> None:
        """Settle what is in flight, give back what is not; at most ``seconds`` for the first."""
        if self._claiming is not None:
            await asyncio.wait([self._claiming], timeout=seconds)
        if self._ready:
            await self._claims.release(self._ready)
            self._ready.clear()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
