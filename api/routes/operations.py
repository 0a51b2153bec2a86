"""For those who operate: is the service well, what waits, what failed.

Belongs here: these routes. Does not: the questions to the ledger (``landing/arrival``).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from api import service
from api.access import needs
from api.problems import ProblemError, responses
from assets.pipelines import PIPELINES, declaration
from landing.arrival import ledger, standing
from landing.arrival.states import ALL_STATES, LOADED

router = APIRouter(tags=["operations"])

T = TypeVar("T")
_OPEN = [state for state in ALL_STATES if state not in LOADED]


class SystemHealth(BaseModel):
    """Whether a system answers; ``reason`` says why not."""

    name: str
    there: bool
    reason: str | None


class Backlog(BaseModel):
    """What a source holds that is not loaded; ``oldest`` is None when all is."""

    pipeline: str
    source: str
    oldest: str | None
    since: datetime | None
    batch_id: str | None
    state: str | None


class OpenBatch(BaseModel):
    """A batch that is not loaded."""

    batch_id: str
    source: str
    state: str
    attempt: int
    objects: int
    created_at: datetime
    next_attempt_at: datetime | None
    error: str | None


@router.get("/v1/health/live", response_model=dict[str, str])
async def live() -> Response:
    """That the service answers, whatever its systems do."""
    return JSONResponse({"status": "live"})


@router.get("/v1/health/ready", response_model=list[SystemHealth], responses={503: {}})
async def ready(request: Request) -> Response:
    """Which systems answered lately; 503 when one did not. Some routes may answer all the same."""
    stores = service.of(request).stores
    reasons = await asyncio.gather(*map(stores.looked, stores.systems))
    found = [
        # Who asks need not have a key: why a system is away is not for everybody.
        {"name": name, "there": reason is None, "reason": None if reason is None else "away"}
        for name, reason in zip(stores.systems, reasons, strict=True)
    ]
    return JSONResponse(found, 200 if all(one["there"] for one in found) else 503)


@router.get("/v1/operations/sources", dependencies=[Depends(needs("read"))], responses=responses())
async def sources(request: Request) -> list[Backlog]:
    """Of every source the object that has waited longest."""

    def found(connection: Any) -> list[Backlog]:
        return [_backlog(connection, name, one) for name, one in _sources()]

    return await _asked(request, found)


@router.get("/v1/operations/batches", dependencies=[Depends(needs("read"))], responses=responses())
async def batches(
    request: Request, limit: Annotated[int, Query(ge=1, le=500)] = 50
) -> list[OpenBatch]:
    """Batches that are not loaded, oldest first."""

    def found(connection: Any) -> list[OpenBatch]:
        return [
            OpenBatch.model_validate(one, from_attributes=True)
            for one in ledger.batches(connection, states=_OPEN, limit=limit)
        ]

    return await _asked(request, found)


@router.get(
    "/metrics",
    dependencies=[Depends(needs("read"))],
    responses=responses(),
    response_class=PlainTextResponse,
)
async def metrics(request: Request) -> Response:
    """What Prometheus asks for: requests, systems, and what waits in each source.

    While Postgres is away the ledger's figures are those of before.
    """
    of, told = service.of(request), request.app.state.metrics
    with contextlib.suppress(ProblemError):
        oldest, open_batches, quarantined = await _asked(request, _ledger)
        told.note_ledger([name for _, name in _sources()], oldest, open_batches, quarantined)
    told.note_systems({name: not one.breaker.open for name, one in of.stores.systems.items()})
    return Response(told.text(), media_type=CONTENT_TYPE_LATEST)


def _ledger(
    connection: Any,
) -> tuple[dict[str, datetime], dict[tuple[str, str], int], dict[str, int]]:
    waiting = {name: standing.oldest_unloaded(connection, name) for _, name in _sources()}
    return (
        {name: one.since for name, one in waiting.items() if one},
        standing.open_batches(connection),
        standing.quarantined_rows(connection),
    )


def _sources() -> list[tuple[str, str]]:
    return [(name, files.source_name) for name in PIPELINES for files in declaration(name).landed]


def _backlog(connection: Any, pipeline: str, source: str) -> Backlog:
    oldest = standing.oldest_unloaded(connection, source)
    return Backlog(
        pipeline=pipeline,
        source=source,
        oldest=oldest.name if oldest else None,
        since=oldest.since if oldest else None,
        batch_id=oldest.batch_id if oldest else None,
        state=oldest.state if oldest else None,
    )


async def _asked(request: Request, question: Callable[[Any], T]) -> T:
    of = service.of(request)

    def found() -> T:
        with of.clients.postgres() as connection:
            return question(connection)

    return await of.stores.ask(["postgres"], found)
