"""What a running service has: systems, clients, keys, and the way from a question to its answer.

Belongs here: putting these together. Does not: routes, the protocol (``app.py``).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from typing import Any

from fastapi import Request, Response

from api.access import Access
from api.clients import MAKING, Clients, systems_of
from api.downloads import Downloads
from api.evidence import Evidence, Newest, sent
from api.objects import Objects
from api.problems import ProblemError
from api.stores import Stores, System
from api.transfers import Transfers
from resources.configured import configured

#: What clients raise of tables, collections and datasets that the first batch creates.
_NOTHING_THERE = frozenset({"NotFound", "PermanentError", "MilvusException"})
#: Of Postgres it says nothing else: what migrations do not create the first to write does.
_NO_TABLE = "UndefinedTable"


def require_loaded(error: Exception, rests_on: object) -> None:
    """Raises ProblemError (409) where the error of a question means that nothing is loaded yet.

    ``rests_on`` is what was written; None before anything was.
    """
    name = type(error).__name__
    if name == _NO_TABLE or (rests_on is None and name in _NOTHING_THERE):
        raise _nothing_loaded() from error


def _nothing_loaded() -> ProblemError:
    return ProblemError(
        409, "nothing_loaded", "Nothing is loaded yet", "no batch of the pipeline is loaded",
        then="Ask again once a file is loaded; GET /v1/operations/sources says what waits.",
    )  # fmt: skip


class Service:
    """One for each process."""

    def __init__(self, pipelines: Iterable[str]) -> None:
        self.clients = Clients()
        self.stores = Stores({name: self._system(name) for name in systems_of(pipelines)})
        self.access = Access(self.stores, self.clients)
        self.downloads = Downloads()
        self.objects = Objects()
        self.transfers = Transfers()
        self.evidence = Evidence(self.stores, self.clients, configured("ui").run)

    def _system(self, name: str) -> System:
        return System(check=lambda: _checked(name), again=lambda: self.clients.forget(name))

    async def answer(
        self,
        request: Request,
        newest: Newest,
        needed: Iterable[str],
        question: Callable[[Clients], Any],
        perhaps: Iterable[str] = (),
    ) -> Response:
        """The answer with what it rests on. Raises what the question does, and as Stores.ask."""
        # First: what is written in between makes the answer newer than what it names, never older.
        rests_on = await self.evidence.of(newest)
        try:
            found = await self.stores.ask(needed, lambda: question(self.clients), perhaps=perhaps)
        except Exception as error:
            require_loaded(error, rests_on)
            raise
        return sent(request, found, rests_on)

    def close(self) -> None:
        """Give everything up."""
        self.downloads.close()
        self.stores.close()
        self.clients.close()


def _checked(name: str) -> str:
    """Who answers. Raises what the system's client does."""
    with MAKING.get(name, contextlib.nullcontext()):
        return str(configured(name).check())


def of(request: Request) -> Service:
    """The service that a request has reached."""
    service: Service = request.app.state.service
    return service


def variable(name: str) -> str:
    """A variable that has a default."""
    return os.environ[name]
