"""A month's summaries: asked for, reviewed, the rejected ones in quarantine.

Belongs here: what the asset does, in order. Does not: asking (``asking``), the review.
Imported lazily: needs polars.
"""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import polars as pl  # noqa: TID253

from assets.domains import metadata, review
from assets.domains.asking import awaited, ledger
from assets.domains.asking.claims import forgive
from assets.domains.asking.engine import ask_month
from assets.domains.descriptions import Summary, read_summaries
from assets.sinks.result import SAMPLE, SinkResult, Verification
from landing.batch.failures import GoesOnLater, PermanentError

if TYPE_CHECKING:
    from assets.domains.asking.limits import AskingLimits
    from assets.domains.months import Month
    from landing.stores.base import ObjectStore
    from resources.openai import OpenAIResource
    from resources.postgres import PostgresResource

_REJECTS = {
    "domain": pl.String,
    "category": pl.String,
    "reason": pl.String,
    "text": pl.String,
    "prompt_hash": pl.String,
}


#: Who looks after batches.
BATCH_SENSOR = "summary_batch_sensor"


_OF_ANOTHER_MODEL = """
SELECT a.request ->> 'model' FROM domains.openai_answer a
JOIN domains.summary_prompt s USING (prompt_hash)
WHERE s.month = %s AND a.state NOT IN ('answered', 'rejected') AND a.request ->> 'model' <> %s
LIMIT 1
"""


class AnotherModelError(PermanentError):
    """The prompts were made for another model than the one whose prices are known."""


class OverBudgetError(PermanentError):
    """What is left of the month's budget is too little."""


class BatchesFailedError(PermanentError):
    """Prompts failed in batch after batch; the next run, by a person, gives them another chance."""


def summarize(
    postgres: PostgresResource,
    openai: OpenAIResource,
    quarantine: ObjectStore,
    month: Month,
    *,
    limits: AskingLimits,
    batch_from: int,
    log: logging.Logger,
    shown: dict[str, Any],
) -> tuple[SinkResult, Verification]:
    """Get every prompt of the month answered or rejected; ``shown`` gains metadata.

    From ``batch_from`` open prompts on (0: never) the Batch API is asked. Raises GoesOnLater while
    it has prompts of the month, in whatever month's batch, what ask_month raises, and the store's
    own errors.
    """
    started = time.monotonic()
    _require_model(postgres, month, limits.model)
    if batch_from:
        _ask_by_batch(postgres, openai, month, limits=limits, batch_from=batch_from, log=log)
    report = ask_month(postgres, openai, month.start, review=review.problem, limits=limits, log=log)
    if report.batched:
        raise _waiting(postgres, month, report.batched)
    shown.update(metadata.asking_figures(report))
    with postgres.connect() as connection:
        found = read_summaries(connection, month)
        shown.update(metadata.month_figures(ledger.costs(connection, month.start)))
    shown.update(metadata.summaries_shown(found))
    key = rejects_key(month)
    if found.rejected:
        quarantine.put(key, _parquet(found.rejected))
        shown["quarantine"] = f"s3://{quarantine.bucket}/{key}"
    else:
        quarantine.delete(key)
    open_ones = [one.domain for one in found.summaries if one.state not in {"answered", "rejected"}]
    if not open_ones:
        with postgres.connect() as connection:
            awaited.forget(connection, month.start)
    return (
        SinkResult(
            len(found.answered),
            len(found.answered) - report.answered,
            0,
            time.monotonic() - started,
        ),
        Verification(len(found.summaries), len(open_ones), sample=tuple(open_ones[:SAMPLE])),
    )


def _require_model(postgres: PostgresResource, month: Month, model: str) -> None:
    """Prices are of the model that is set: raises AnotherModelError for prompts of another."""
    with postgres.connect() as connection:
        others = connection.execute(_OF_ANOTHER_MODEL, (month.start, model)).fetchone()
    if others is not None:
        raise AnotherModelError(
            f"prompts of {month} were made for {others[0]}, not for {model}: materialize "
            "summary_prompts of the month, too"
        )


def _ask_by_batch(
    postgres: PostgresResource,
    openai: OpenAIResource,
    month: Month,
    *,
    limits: AskingLimits,
    batch_from: int,
    log: logging.Logger,
) -> None:
    from assets.domains.asking import batch_mode

    with postgres.connect() as connection:
        standing = ledger.standing(connection, month.start)
    if not standing.batched and standing.left < batch_from:
        return
    done = batch_mode.step(
        postgres, openai, month.start, review=review.problem, limits=limits, log=log
    )
    if done.busy:
        raise _waiting(postgres, month, standing.left)
    if done.unaffordable:
        raise OverBudgetError(
            f"the budget of {month} has no room for {done.unaffordable} of its prompts: raise "
            "DOMAINS_BUDGET_DOLLARS, then materialize the month again"
        )
    if done.left:
        _require_progress(postgres, month, limits)
        raise _waiting(postgres, month, done.left, noted=done.submitted > 0)


def _require_progress(postgres: PostgresResource, month: Month, limits: AskingLimits) -> None:
    """Raises BatchesFailedError where nothing is in a batch, and what failed is given up.

    To wait would be for nobody: the sensor would ask for one run after the other, without end.
    """
    with postgres.connect() as connection:
        if ledger.standing(connection, month.start).batched:
            return
        given_up = ledger.exhausted(connection, month.start, limits.attempts)
        forgive(connection, month.start, limits)
    if given_up:
        raise BatchesFailedError(
            f"{given_up} prompts of {month} failed in {limits.attempts} batches each, for what "
            "domains.openai_batch says of them; the next run gives them another chance"
        )


def _waiting(
    postgres: PostgresResource, month: Month, left: int, *, noted: bool = False
) -> GoesOnLater:
    """What is raised; ``noted`` where giving prompts away has just noted the month."""
    if not noted:
        # Anew: the run that this wait was asked for by is this one.
        with postgres.connect() as connection:
            awaited.note(connection, month.start)
    return GoesOnLater(
        f"{left} prompts of {month} wait for the Batch API, which answers within a day; "
        f"`{BATCH_SENSOR}` asks for the run that publishes them",
        left,
    )


def rejects_key(month: Month) -> str:
    """Where the month's rejected summaries lie in quarantine."""
    return f"summaries/{month}.parquet"


def _parquet(rejected: Sequence[Summary]) -> bytes:
    rows = [(one.domain, one.category, one.reason, one.text, one.prompt_hash) for one in rejected]
    buffer = io.BytesIO()
    pl.DataFrame(rows, schema=_REJECTS, orient="row").write_parquet(buffer)
    return buffer.getvalue()
