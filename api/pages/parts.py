"""The parts of a page: each asked by itself, so that a store that is away costs one of them.

Belongs here: asking the API's routes, and what becomes of a page whose parts fail. Does not: how a
part is drawn.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response
from fastapi.encoders import jsonable_encoder

from api.problems import Problem, ProblemError


@dataclass(frozen=True, slots=True)
class Part:
    """An answer as the API sends it, with what it rests on, or the problem that it has."""

    answer: Any = None
    rests_on: Mapping[str, Any] | None = None
    error: ProblemError | None = None

    @property
    def problem(self) -> Problem | None:
        """What is wrong, as people are told."""
        return self.error.problem if self.error else None


def bare(request: Request) -> Request:
    """The request without its headers: what a browser has already is no matter of a route's."""
    return Request({**request.scope, "headers": []})


async def asked(*questions: Awaitable[Any]) -> list[Part]:
    """Of each route what it answers, all at once. Raises the first 404: there is no such page."""
    found = await asyncio.gather(*map(_part, questions))
    for one in found:
        if one.error and one.error.problem.status == HTTPStatus.NOT_FOUND:
            raise one.error
    return found


def status(parts: Sequence[Part]) -> tuple[int, Mapping[str, str]]:
    """A page's status and headers: well while any of its parts is."""
    errors = [one.error for one in parts if one.error]
    if not errors or len(errors) < len(parts):
        return HTTPStatus.OK, {}
    return errors[0].problem.status, errors[0].headers


async def _part(question: Awaitable[Any]) -> Part:
    try:
        said = await question
    except ProblemError as error:
        return Part(error=error)
    if not isinstance(said, Response):
        return Part(jsonable_encoder(said))
    body = json.loads(bytes(said.body))
    return Part(body["answer"], body["rests_on"])
