"""A lyrics service in the shape of lyrics.ovh and a MusicBrainz WS/2 server, faults on demand.

Every path begins with a caller's name, any word, which keeps faults and counters of its own:

- ``GET /<name>/v1/<artist>/<title>``: 200 ``{"lyrics": …}``, 404 ``{"error": "No lyrics found"}``
- ``GET /<name>/ws/2/artist?query=artist:"…"&fmt=json`` and ``…/artist/<mbid>?inc=genres+tags``:
  403 without a User-Agent that names an application and a contact, as the real one asks for
  (musicbrainz.org/doc/MusicBrainz_API/Rate_Limiting), 503 above the limit that was set
- ``PUT /<name>/admin/faults`` sets a plan (`local.fault_plan`; endpoints "lyrics", "musicbrainz"),
  ``DELETE`` ends it; ``PUT /<name>/admin/limits`` sets requests a second per endpoint;
  ``GET /<name>/admin/counters`` reads, ``DELETE`` clears

Runs in the servers' environment: ``python -m local.music_services PORT``.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
import uuid
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote

from local import music_answers
from local.fault_plan import OWN_WORDS, Account, FaultPlan

if TYPE_CHECKING:
    from fastapi import FastAPI, Request, Response

#: An application, its version, and a URL or address in parentheses.
_MEANINGFUL_AGENT = re.compile(r"^(?!python-|curl/|Java/)[^/\s]+/\S+ .*\(.*(@|://).*\)")
_PHRASE = re.compile(r'artist:"((?:[^"\\]|\\.)*)"')
_NOT_FOUND = {
    "error": "Not Found",
    "help": "For usage, please see: https://musicbrainz.org/development/mmd",
}


@dataclass
class Caller:
    """What belongs to one name: faults and counters, limits, and what was asked how often."""

    account: Account = field(default_factory=Account)
    #: Requests a second by endpoint; none is no limit.
    limits: dict[str, float] = field(default_factory=dict)
    asked: Counter[tuple[str, ...]] = field(default_factory=Counter)
    _recent: dict[str, deque[float]] = field(default_factory=lambda: defaultdict(deque))

    def over_limit(self, endpoint: str) -> bool:
        """Whether this call is one too many within a second."""
        limit = self.limits.get(endpoint)
        if limit is None:
            return False
        now, recent = time.monotonic(), self._recent[endpoint]
        while recent and recent[0] <= now - 1:
            recent.popleft()
        if len(recent) >= limit:
            return True
        recent.append(now)
        return False

    def counters(self) -> dict[str, Any]:
        """``asked`` lists every different request with its count, faults included."""
        counted = self.account.counters()
        asked = [[*request, times] for request, times in sorted(self.asked.items())]
        return {
            **{name: counted[name] for name in ("calls", "answered", "faults", "most_open_calls")},
            "asked": asked,
        }

    def clear(self) -> None:
        """Count from zero; plan and limits stay."""
        self.account.clear()
        self.asked.clear()


class Server:
    """The behaviour behind the one route."""

    def __init__(self) -> None:
        self._callers: dict[str, Caller] = defaultdict(Caller)

    async def handle(self, request: Request) -> Response:
        """Answer any request: paths are split before they are decoded, for names hold slashes."""
        raw: bytes = request.scope["raw_path"]
        parts = [unquote(part.decode("ascii")) for part in raw.split(b"/")[1:]]
        match request.method, parts:
            case "GET", ["health"]:
                return _json({"status": "ok"})
            case "GET", [name, "v1", artist, title] if artist and title:
                return await self._serve(self._callers[name], "lyrics", artist, title)
            case "GET", [name, "ws", "2", "artist", *rest]:
                return await self._musicbrainz(self._callers[name], request, rest)
            case method, [name, "admin", what]:
                return self._admin(self._callers[name], method, what, await request.body())
        return _text("no such page", 404)

    async def _musicbrainz(self, caller: Caller, request: Request, rest: list[str]) -> Response:
        query = parse_qs(request.url.query)
        if not _MEANINGFUL_AGENT.match(request.headers.get("user-agent", "")):
            caller.account.calls["musicbrainz"] += 1
            return _json({"error": "Your requests are blocked: set a meaningful User-Agent."}, 403)
        if query.get("fmt") != ["json"]:
            return _text("<metadata/>", 200)  # XML is its default
        match rest:
            case [mbid]:
                return await self._serve(caller, "musicbrainz", "mbid", mbid)
            case [] if (found := _PHRASE.fullmatch(query.get("query", [""])[0])) is not None:
                name = re.sub(r"\\(.)", r"\1", found[1])
                return await self._serve(caller, "musicbrainz", "name", name)
        return _json({"error": "Invalid query"}, 400)

    async def _serve(self, caller: Caller, endpoint: str, *names: str) -> Response:
        account = caller.account
        with account.call(endpoint):
            caller.asked[endpoint, *names] += 1
            if account.plan.latency:
                await asyncio.sleep(account.plan.latency)
            if caller.over_limit(endpoint):
                account.faults["over limit"] += 1
                return _json({"error": "You are exceeding the rate limit."}, 503, retry_after=1)
            fault = account.plan.next(endpoint)
            if fault != "ok":
                account.faults[fault] += 1
                if fault in OWN_WORDS:
                    return _own_words(fault, *names)
                return await _broken(fault, account.plan, endpoint)
            account.answered[endpoint] += 1
            return _lyrics(*names) if endpoint == "lyrics" else _artist(*names)

    def _admin(self, caller: Caller, method: str, what: str, body: bytes) -> Response:
        try:
            match method, what:
                case "PUT", "faults":
                    caller.account.plan = FaultPlan.parse(json.loads(body))
                case "DELETE", "faults":
                    caller.account.plan = FaultPlan()
                case "PUT", "limits":
                    given = dict(json.loads(body))
                    caller.limits = {name: float(limit) for name, limit in given.items()}
                case "GET", "counters":
                    return _json(caller.counters())
                case "DELETE", "counters":
                    caller.clear()
                case _:
                    return _text("no such page", 404)
        except (ValueError, TypeError) as error:
            return _json({"error": str(error)}, 400)
        return _json({"status": "ok"})


def _lyrics(artist: str, title: str) -> Response:
    text = music_answers.lyrics(artist, title)
    return _json({"error": "No lyrics found"}, 404) if text is None else _json({"lyrics": text})


def _own_words(fault: str, artist: str, title: str) -> Response:
    text = music_answers.lyrics(artist, title) or ""
    if fault == "placeholder":
        # What the real one has where its source may not show the text.
        return _json({"lyrics": "We are not authorized to display these lyrics"})
    return _json({"lyrics": f"Paroles de la chanson {title} par {artist}\r\n{text}"})


def _artist(by: str, value: str) -> Response:
    if by == "name":
        return _json(music_answers.search(value))
    try:
        uuid.UUID(value)
    except ValueError:
        return _json({"error": "Invalid mbid."}, 400)
    found = music_answers.artist(value)
    return _json(_NOT_FOUND, 404) if found is None else _json(found)


async def _broken(fault: str, plan: FaultPlan, endpoint: str) -> Response:
    """The answer of a fault."""
    from fastapi.responses import Response, StreamingResponse

    if fault == "hang":
        await asyncio.sleep(plan.hang_seconds)
        return _json({"error": "hung on purpose"}, 503)
    if fault.isdigit():
        limited = fault in {"429", "503"}
        retry_after = plan.retry_after if limited else None
        return _json({"error": "failed on purpose"}, int(fault), retry_after=retry_after)
    if fault == "empty":
        empty = {"lyrics": " \r\n"} if endpoint == "lyrics" else {"artists": None, "genres": None}
        return _json(empty)
    if fault == "disconnect":

        async def half() -> AsyncIterator[bytes]:
            yield b'{"lyrics": "half a'

        headers = {"Content-Length": "4096"}
        return StreamingResponse(half(), headers=headers, media_type="application/json")
    # malformed, truncated
    return Response('{"lyrics": "half a', media_type="application/json")


def _json(content: Any, status: int = 200, *, retry_after: float | None = None) -> Response:
    from fastapi.responses import JSONResponse

    headers = None if retry_after is None else {"Retry-After": f"{retry_after:g}"}
    return JSONResponse(content, status, headers)


def _text(content: str, status: int) -> Response:
    from fastapi.responses import PlainTextResponse

    return PlainTextResponse(content, status)


def create_app(server: Server) -> FastAPI:
    """One route for all: the framework would decode a path before it is split."""
    from fastapi import FastAPI

    app = FastAPI(docs_url=None, openapi_url=None, redoc_url=None)
    app.add_route("/{path:path}", server.handle, methods=["GET", "PUT", "DELETE"])
    return app


def main(port: int) -> None:
    """Serve until SIGTERM."""
    import uvicorn

    uvicorn.run(
        create_app(Server()),
        host="127.0.0.1",
        port=port,
        log_level="warning",
        timeout_graceful_shutdown=1,
        timeout_keep_alive=75,
    )


if __name__ == "__main__":
    main(int(sys.argv[1]))
