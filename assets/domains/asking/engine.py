"""Asking for all summaries of a month, by one of any number of workers.

Belongs here: what an asset calls, what a worker works with, what its end means. Does not: the
Batch API (``batch_mode``), prompts and reviews.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from assets.domains.asking import ledger
from assets.domains.asking.calling import RequestRefusedError
from assets.domains.asking.claims import Claims, forgive, open_budget, ownership, recover
from assets.domains.asking.gate import NobodyAnsweredError
from assets.domains.asking.limits import AskingLimits
from assets.domains.asking.outcome import Review
from assets.domains.asking.progress import AskingReport, Progress, Tally
from assets.domains.asking.rate import Pace, RateLimiter
from assets.domains.asking.worker import BudgetUsedUpError, Worker
from assets.domains.asking.writer import Writer
from landing.batch.failures import PermanentError, TransientError

if TYPE_CHECKING:
    import psycopg

    from resources.openai import OpenAIResource
    from resources.postgres import PostgresResource

    Connection = psycopg.Connection[Any]


class AskingRefusedError(PermanentError):
    """No further attempt will help until someone does what the message says."""

    def __init__(self, message: str, report: AskingReport) -> None:
        super().__init__(message)
        self.report = report


class AskingUnfinishedError(TransientError):
    """Prompts are left that another run may get answered."""

    def __init__(self, message: str, report: AskingReport) -> None:
        super().__init__(message)
        self.report = report


def ask_month(
    postgres: PostgresResource,
    openai: OpenAIResource,
    month: date,
    *,
    review: Review,
    limits: AskingLimits,
    log: logging.Logger,
    progress: Callable[[Progress], None] | None = None,
) -> AskingReport:
    """Ask for every prompt of the month that has no answer, and wait for other workers' ones.

    Returns when none is left but those that a batch covers. Raises AskingRefusedError (credentials,
    credit, a wrong request, the budget) and AskingUnfinishedError (a server that is away, prompts
    that fail again and again), both with the report; psycopg.Error; what ``review`` raises.
    Nothing is lost by any of them.
    """
    with ownership(postgres) as (owner, session):
        recovered = recover(session)
        open_budget(session, month, limits)
        forgive(session, month, limits)
        before = ledger.standing(session, month)
        tally = Tally(before.total, before.total - before.left)
        asked = _Month(postgres, openai, month, review, limits, log, progress)
        failure = _run(asked, owner, session, tally)
        report = _report(session, asked, tally, before, recovered)
    log.info("Asked OpenAI: %s", report)
    _raise(failure, report, month, limits)
    return report


@dataclass(frozen=True, slots=True)
class _Month:
    """What is asked, of whom, and who is told."""

    postgres: PostgresResource
    openai: OpenAIResource
    month: date
    review: Review
    limits: AskingLimits
    log: logging.Logger
    progress: Callable[[Progress], None] | None

    @asynccontextmanager
    async def worker(self, owner: str, session: Connection, tally: Tally) -> AsyncIterator[Worker]:
        """A worker with its connections, closed at the end."""
        limits = self.limits
        async with AsyncExitStack() as stack:
            claiming = await stack.enter_async_context(await self.postgres.connect_async())
            pacing = await stack.enter_async_context(await self.postgres.connect_async())
            client = await stack.enter_async_context(
                self.openai.async_client(
                    timeout=limits.timeout, concurrency=limits.concurrency + limits.spare
                )
            )
            pace = Pace(limits.requests_per_minute, limits.tokens_per_minute)
            limiter = RateLimiter(pacing, limits.model, pace)
            await limiter.open()
            writer = Writer(self.postgres, owner, ledger.budget_key(self.month))
            await writer.start()
            stack.push_async_callback(writer.stop)
            yield Worker(
                client=client,
                claims=Claims(claiming, owner, self.month, limits),
                writer=writer,
                limiter=limiter,
                review=self.review,
                limits=limits,
                tally=tally,
                recover=lambda: asyncio.to_thread(recover, session),
            )

    async def tell(self, session: Connection, worker: Worker, tally: Tally) -> None:
        """Every few seconds say how it gets on; end the worker when its session has ended.

        Without the session's lock others would take its claims for those of a dead one.
        """
        import psycopg

        while True:
            await asyncio.sleep(self.limits.progress_seconds)
            try:
                now = await asyncio.to_thread(ledger.standing, session, self.month)
            except psycopg.Error as error:
                worker.stop(error)
                return
            look = tally.look(now.total - now.left)
            self.log.info(look.line())
            if self.progress is not None:
                self.progress(look)


def _run(month: _Month, owner: str, session: Connection, tally: Tally) -> Exception | None:
    """Why the worker ended, None where nothing was left to do."""

    async def work() -> None:
        async with month.worker(owner, session, tally) as worker:
            telling = asyncio.create_task(month.tell(session, worker, tally))
            try:
                await worker.run()
            finally:
                telling.cancel()
                with suppress(asyncio.CancelledError):
                    await telling

    try:
        asyncio.run(work())
    except (RequestRefusedError, BudgetUsedUpError, NobodyAnsweredError) as error:
        return error
    return None


def _report(
    session: Connection, month: _Month, tally: Tally, before: ledger.Standing, recovered: int
) -> AskingReport:
    now = ledger.standing(session, month.month)
    return AskingReport(
        prompts=before.total,
        unchanged=before.total - before.left,
        left=now.left,
        batched=now.batched,
        exhausted=ledger.exhausted(session, month.month, month.limits.attempts),
        recovered=recovered,
        requests=tally.requests,
        prompt_tokens=tally.prompt_tokens,
        completion_tokens=tally.completion_tokens,
        cost=tally.cost,
        written_off=tally.written_off,
        outcomes=dict(tally.outcomes),
        reasks=dict(tally.reasks),
        retries=dict(tally.retries),
        seconds=tally.seconds,
    )


def _raise(
    failure: Exception | None, report: AskingReport, month: date, limits: AskingLimits
) -> None:
    left = f"{report.left} of {report.prompts} prompts of {month:%Y-%m} are left"
    if isinstance(failure, RequestRefusedError):
        raise AskingRefusedError(f"{failure}; {left}", report) from failure
    if isinstance(failure, BudgetUsedUpError):
        raise AskingRefusedError(
            f"the budget of ${limits.budget_micros / 1e6:.2f} for {month:%Y-%m} has no room for"
            f" another request; {left}: raise the budget, then run this again",
            report,
        ) from failure
    if isinstance(failure, NobodyAnsweredError):
        raise AskingUnfinishedError(
            f"OpenAI does not answer ({failure}); {left}, the next run goes on with them", report
        ) from failure
    if report.exhausted:
        retries = ", ".join(f"{kind} {count}" for kind, count in sorted(report.retries.items()))
        raise AskingUnfinishedError(
            f"{report.exhausted} prompts failed {limits.attempts} times each ({retries});"
            f" {left}, the next run goes on with them",
            report,
        )
