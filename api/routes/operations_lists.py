"""For those who operate, as lists: batches, what was rejected, streams, costs.

Belongs here: these routes. Does not: how one source stands, health, metrics (``operations.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from api import lists
from api.access import needs
from api.evidence import Answered
from api.lists import Asked, Rows
from api.parameters import Name
from api.problems import ProblemError
from assets.domains import answers as domains
from assets.pipelines import landed_files, quarantine_bucket
from assets.reading import answers as reading
from landing.arrival import ledger, listed
from landing.batch.rejected_rows import RejectedRow, RejectedRows

router = APIRouter(
    prefix="/v1/operations", tags=["operations"], dependencies=[Depends(needs("read"))]
)

AskedFor = Annotated[Asked, Depends(lists.asked)]
Source = Annotated[
    Name | None,
    Query(description="As GET /v1/operations/sources names it.", examples=["music_minio"]),
]
Batch = Annotated[Name | None, Query(examples=["20261128T120000Z-0001"])]
Reason = Annotated[Name | None, Query(description="A reason's code.")]


@router.get(
    "/batches", response_model=Answered[Rows[listed.ListedBatch]], responses=lists.responses(404)
)
async def batches(
    request: Request,
    asked: AskedFor,
    source: Source = None,
    state: Annotated[
        listed.AskedState | None, Query(description="`open`: all that are not loaded.")
    ] = None,
) -> Response:
    """Batches of object versions, newest first."""
    return await lists.answer(
        request, asked, listed.batches(source, state), name="batches", first=_known(source)
    )


@router.get(
    "/quarantine/counts",
    response_model=Answered[Rows[listed.RejectCount]],
    responses=lists.responses(404),
)
async def reject_counts(request: Request, asked: AskedFor, source: Source = None) -> Response:
    """How many rows were rejected of each source for which reason, and how many still wait."""
    return await lists.answer(
        request, asked, listed.reject_counts(source), name="counts", first=_known(source)
    )


@router.get(
    "/quarantine/batches",
    response_model=Answered[Rows[listed.QuarantinedRows]],
    responses=lists.responses(404),
)
async def quarantined(request: Request, asked: AskedFor, source: Source = None) -> Response:
    """Batches that have rejected rows, newest first."""
    return await lists.answer(
        request, asked, listed.quarantined(source), name="quarantined", first=_known(source)
    )


@router.get(
    "/quarantine/rows",
    response_model=Answered[Rows[RejectedRow]],
    responses=lists.responses(404),
)
async def rejected_rows(
    request: Request,
    asked: AskedFor,
    source: Source = None,
    batch: Batch = None,
    reason: Reason = None,
) -> Response:
    """Rejected rows with where they stood, why they were rejected, and their text."""
    stores = {one.store for one in landed_files() if source in {None, one.source_name}}
    return await lists.answer(
        request,
        asked,
        RejectedRows(quarantine_bucket, source, batch, reason),
        name="rejected",
        first=_known(source, batch),
        perhaps=sorted(stores),
    )


@router.get(
    "/quarantine/refused",
    response_model=Answered[Rows[listed.RefusedBySink]],
    responses=lists.responses(404),
)
async def refused(
    request: Request, asked: AskedFor, source: Source = None, batch: Batch = None
) -> Response:
    """Rows that a sink refuses while it takes others, in the sink's words."""
    return await lists.answer(
        request,
        asked,
        listed.refused(source, batch),
        name="refused",
        first=_known(source, batch),
    )


@router.get("/streams", response_model=Answered[Rows[reading.Stream]], responses=lists.responses())
async def streams(request: Request, asked: AskedFor) -> Response:
    """What streaming sessions did of each subscription, those that began last before others."""
    return await lists.answer(request, asked, reading.streams(), name="streams")


@router.get(
    "/messages", response_model=Answered[Rows[reading.RejectedMessage]], responses=lists.responses()
)
async def messages(
    request: Request,
    asked: AskedFor,
    subscription: Annotated[Name | None, Query()] = None,
    reason: Reason = None,
) -> Response:
    """Messages that cannot become rows, the last ones first, with their bytes."""
    found = reading.rejected_messages(subscription, reason)
    return await lists.answer(request, asked, found, name="messages")


@router.get("/costs", response_model=Answered[Rows[domains.Spent]], responses=lists.responses())
async def costs(request: Request, asked: AskedFor) -> Response:
    """What summaries of domains cost, in dollars, by the month that they are of."""
    return await lists.answer(request, asked, domains.spending(), name="costs")


def _known(source: str | None, batch: str | None = None) -> Callable[[Any], None]:
    """Raises for a source or a batch that there is not: no list of it is empty."""

    def first(connection: Any) -> None:
        named = {one.source_name for one in landed_files()}
        if source is not None and source not in named and not listed.knows(connection, source):
            raise ProblemError(
                    404, "unknown_source", "There is no such source", f"no source {source!r}",
                    then="GET /v1/operations/sources lists them.",
                )  # fmt: skip
        if batch is not None:
            try:
                ledger.batch(connection, batch)
            except ledger.UnknownBatchError as error:
                raise ProblemError(
                    404, "unknown_batch", "There is no such batch", str(error),
                    then="GET /v1/operations/batches lists them.",
                ) from None  # fmt: skip

    return first
