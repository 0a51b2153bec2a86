"""Campaigns: who is like a user, and what such users took part in.

Belongs here: these routes. Does not: the answers (``assets/campaigns/answers.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from api import service
from api.access import needs
from api.clients import Clients
from api.evidence import Answered
from api.parameters import Name, examples
from api.problems import ProblemError, responses
from assets.campaigns import answers
from assets.campaigns.settings import CampaignsSettings

router = APIRouter(
    prefix="/v1/campaigns", tags=["campaigns"], dependencies=[Depends(needs("read"))]
)

UserId = Annotated[
    Name,
    Path(description="As a loaded file has it.", openapi_examples=examples("user_1", "nobody")),
]
K = Annotated[int, Query(ge=1, le=20, description="How many similar users.")]
_GRAPH, _WAREHOUSE = ["neo4j"], ["bigquery"]
_NEAREST = ["milvus"]
_ALL = ["milvus", "neo4j", "bigquery"]


@router.get(
    "/users/{user_id:path}/similar",
    response_model=Answered[answers.SimilarUsers],
    responses=responses(404, 409),
)
async def similar_users(request: Request, user_id: UserId, k: K = 5) -> Response:
    """The users most like one, nearest first, by the cosine of their messages' mean vectors."""
    return await _answer(
        request,
        _NEAREST,
        lambda stores: answers.similar_users(stores, user_id, k),
        # Only the graph tells a user without a vector from nobody.
        perhaps=_GRAPH,
    )


@router.get(
    "/users/{user_id:path}/campaigns",
    response_model=Answered[answers.UserCampaigns],
    responses=responses(404, 409),
)
async def user_campaigns(request: Request, user_id: UserId) -> Response:
    """The campaigns that a user took part in, most events first."""
    return await _answer(request, _GRAPH, lambda stores: answers.user_campaigns(stores, user_id))


@router.get(
    "/users/{user_id:path}/engagement",
    response_model=Answered[answers.Engagement],
    responses=responses(404, 409),
)
async def engagement(request: Request, user_id: UserId) -> Response:
    """How many events a user has, since and until when."""
    return await _answer(request, _WAREHOUSE, lambda stores: answers.engagement(stores, user_id))


@router.get(
    "/users/{user_id:path}/recommendations",
    response_model=Answered[answers.Recommendation],
    responses=responses(404, 409),
)
async def recommendations(request: Request, user_id: UserId, k: K = 5) -> Response:
    """The k most similar users and their campaigns, ranked by how often they engaged with them."""
    return await _answer(request, _ALL, lambda stores: answers.recommendation(stores, user_id, k))


async def _answer(
    request: Request, needed: list[str], question: Any, *, perhaps: Sequence[str] = ()
) -> Response:
    asked = [*needed, *perhaps]
    try:
        return await service.of(request).answer(
            request,
            answers.rests_on,
            needed,
            lambda clients: question(_stores(clients, asked)),
            perhaps,
        )
    except answers.UnknownUserError as error:
        raise ProblemError(
            404, "unknown_user", "There is no such user", str(error),
            then="Ask for a user that a loaded file names.",
        ) from None  # fmt: skip
    except answers.NoProfileError as error:
        raise ProblemError(
            409, "no_vector", "The user has no vector", str(error),
            then="Ask again once a message of the user is loaded; campaigns and engagement answer.",
        ) from None  # fmt: skip


def _stores(clients: Clients, needed: list[str]) -> answers.Stores:
    """Only of the systems that are needed: a client of another one may wait for it."""
    settings = CampaignsSettings.current()
    opened: dict[str, Callable[[], Any]] = {
        "milvus": lambda: _profiles(clients, settings.milvus_profiles),
        "neo4j": lambda: clients.neo4j,
        "bigquery": lambda: clients.bigquery,
    }
    client: dict[str, Any] = {
        name: made() if name in needed else None for name, made in opened.items()
    }
    return answers.stores(
        client["milvus"],
        client["neo4j"],
        client["bigquery"],
        profiles=settings.milvus_profiles,
        database=service.variable("NEO4J_DATABASE"),
        dataset=settings.dataset,
    )


def _profiles(clients: Clients, name: str) -> Any:
    """The client, its collection loaded: after a restart of the server nothing is."""

    def loaded() -> Any:
        client = clients.milvus
        if client.has_collection(name):
            client.load_collection(name)
        return client

    return clients.derived("milvus", name, loaded)
