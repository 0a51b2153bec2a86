"""The first page, and the state of every source.

Belongs here: these pages. Does not: the questions to the ledger (``landing/arrival/standing.py``).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Depends, Request, Response

from api import service
from api.lists import Asked
from api.pages import parts
from api.pages.rendering import page
from api.pages.session import signed_in
from api.routes import operations, operations_lists
from landing.arrival import standing
from resources.configured import configured

#: Rows of sessions, of which the last one of each subscription is shown, and of reject reasons.
STREAMS, REASONS = 20, 100

router = APIRouter(include_in_schema=False, dependencies=[Depends(signed_in)])


@router.get("/")
async def home(request: Request) -> Response:
    """Every pipeline with its question, and how its sources stand."""
    (sources,) = await parts.asked(operations.sources(parts.bare(request)))
    return page(
        request, "home.html", sources=sources,
        today=datetime.now(UTC).date().isoformat(),
    )  # fmt: skip


@router.get("/sources")
async def sources(request: Request) -> Response:
    """What waits in each source, since when, what was made of it last, and what was rejected."""
    ask = parts.bare(request)
    waiting, ledger, streams, rejected = await parts.asked(
        operations.sources(ask),
        _ledger(service.of(request)),
        operations_lists.streams(ask, Asked(STREAMS, None, "json")),
        operations_lists.reject_counts(ask, Asked(REASONS, None, "json")),
    )
    status, headers = parts.status([waiting, ledger, streams, rejected])
    return page(
        request, "sources.html", status, headers, waiting=waiting, ledger=ledger,
        streams=streams, rejected=rejected, ui=configured("ui"),
    )  # fmt: skip


async def _ledger(of: service.Service) -> dict[str, Any]:
    """Of every source its last batch, open batches by state, and quarantined rows."""

    def found() -> dict[str, Any]:
        with of.clients.postgres() as connection:
            open_batches: dict[str, dict[str, int]] = {}
            for (source, state), count in standing.open_batches(connection).items():
                open_batches.setdefault(source, {})[state] = count
            return {
                "newest": {
                    name: standing.newest_batch(connection, name)
                    for _, name in operations.source_names()
                },
                "open": open_batches,
                "quarantined": standing.quarantined_rows(connection),
            }

    return await of.stores.ask(["postgres"], found)
