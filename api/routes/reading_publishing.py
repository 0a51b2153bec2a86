"""Reading: messages that come in, for the topics that sessions read.

Belongs here: these routes. Does not: what a message must be, publishing
(``assets/reading/publishing.py``), answers (``reading.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Depends, Request

from api import service
from api.access import needs
from api.limits import BODY_BYTES
from api.problems import ProblemError, responses, sendable
from assets.reading import answers
from assets.reading.settings import ReadingSettings
from landing.batch.failures import classify
from resources.configured import configured

router = APIRouter(prefix="/v1/reading", tags=["reading"], dependencies=[Depends(needs("write"))])

_NEEDED = ["pubsub"]
_SAME = "Send what has no id again: what is published twice counts once."


@dataclass(frozen=True, slots=True)
class Published:
    """Pub/Sub's ids of the messages, in the order in which they were sent."""

    message_ids: Sequence[str]


_EXAMPLES: dict[answers.Posted, Any] = {
    "interactions": {
        "user_id": 5,
        "content_id": 7,
        "read_percent": 95.0,
        "updated_at": "2022-03-23 10:00:00",
    },
    "contents": [{"content_id": 7, "category_name": "romance"}],
}


def _body(posted: answers.Posted) -> dict[str, Any]:
    return {
        "requestBody": {
            "required": True,
            "description": f"A message, or a list of them, of at most {BODY_BYTES:,} bytes.",
            "content": {
                "application/json": {
                    "schema": answers.message_schema(posted),
                    "example": _EXAMPLES[posted],
                }
            },
        }
    }


@router.post(
    "/interactions",
    status_code=202,
    responses=responses(413),
    openapi_extra=_body("interactions"),
)
async def interactions(request: Request) -> Published:
    """Publish who read how much of what. Nothing is published where one message is wrong."""
    return await _published(request, "interactions", ReadingSettings.current().interaction_topic)


@router.post(
    "/contents", status_code=202, responses=responses(413), openapi_extra=_body("contents")
)
async def contents(request: Request) -> Published:
    """Publish categories of contents. Nothing is published where one message is wrong."""
    return await _published(request, "contents", ReadingSettings.current().meta_topic)


async def _published(request: Request, posted: answers.Posted, topic: str) -> Published:
    body = await request.body()
    of = service.of(request)
    zone = ReadingSettings.current().time_zone
    try:
        # Reading a megabyte of messages takes longer than other requests should wait for.
        messages = await of.stores.ask(
            [], lambda: answers.checked(posted, body, datetime.now(UTC), zone)
        )
    except answers.BadMessagesError as error:
        raise _refused(error) from None
    path = configured("pubsub").topic_path(topic)
    taken: list[str] = []
    try:
        await of.stores.ask(
            _NEEDED, lambda: answers.publish(of.clients.pubsub, path, messages, taken.extend)
        )
    except ProblemError as error:
        raise _partly(error, messages, taken) from None
    except Exception as error:
        if classify(error) != "permanent":
            raise
        unusable = ProblemError(
            503, "not_configured", "The topic takes nothing",
            f"topic {topic}: {type(error).__name__}",
            then="Create the topic, or grant the right to publish to it; then send again.",
            system="pubsub",
        )  # fmt: skip
        raise _partly(unusable, messages, taken) from error
    return Published(taken)


def _partly(error: ProblemError, messages: Sequence[bytes], taken: Sequence[str]) -> ProblemError:
    """The error, and of each message its id where it is known to be published."""
    ids: list[str | None] = [*taken]
    found = error.problem.model_dump()
    found["message_ids"] = ids + [None] * (len(messages) - len(ids))
    found["next"] = f"{found['next']} {_SAME}"
    error.problem = type(error.problem)(**found)
    return error


def _refused(error: answers.BadMessagesError) -> ProblemError:
    return ProblemError(
        422, "invalid_request", "Messages cannot be taken, and none is published",
        sendable(str(error)),
        then="Correct what `errors` names, and send all again; docs/reading.md has the reasons.",
        errors=[
            {
                "in": "body",
                "name": f"{one.index}.{one.field}" if one.field else str(one.index),
                "says": sendable(f"{one.reason}: {one.detail}"),
                "index": one.index,
                "field": one.field,
                "reason": one.reason,
            }
            for one in error.defects
        ],
    )  # fmt: skip
