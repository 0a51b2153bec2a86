"""For those who operate: is the service well, what waits, what failed.

Belongs here: these routes. Does not: lists (``operations_lists.py``), the questions to the ledger
(``landing/arrival``).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from api import service
from api.access import needs
from api.problems import ProblemError, responses
from assets.domains import answers as domains
from assets.pipelines import chosen_pipelines, declaration
from assets.reading import answers as reading
from landing.arrival import standing

router = APIRouter(tags=["operations"])

T = TypeVar("T")
#: Whose costs are metrics: a label of each month for ever would be too many.
_MONTHS = 24


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
        return [_backlog(connection, name, one) for name, one in source_names()]

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
        told.note_ledger([name for _, name in source_names()], oldest, open_batches, quarantined)
        told.note_streams(await _asked(request, reading.newest_streams))
        told.note_costs(await _asked(request, _newest_costs))
    told.note_systems({name: not one.breaker.open for name, one in of.stores.systems.items()})
    return Response(told.text(), media_type=CONTENT_TYPE_LATEST)


def _ledger(
    connection: Any,
) -> tuple[dict[str, datetime], dict[tuple[str, str], int], dict[str, int]]:
    waiting = {name: standing.oldest_unloaded(connection, name) for _, name in source_names()}
    return (
        {name: one.since for name, one in waiting.items() if one},
        standing.open_batches(connection),
        standing.quarantined_rows(connection),
    )


def _newest_costs(connection: Any) -> list[domains.Spent]:
    return domains.spending().page(connection, _MONTHS).rows


def source_names() -> list[tuple[str, str]]:
    """Every source with its pipeline."""
    return [
        (name, files.source_name)
        for name in chosen_pipelines()
        for files in declaration(name).landed
    ]


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
