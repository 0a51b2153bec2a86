"""Routes of files and batches that only look up, list, keep or forget.

Belongs here: paths and what they call. Does not: starting a batch, which hangs in its own way
(`local.openai.app`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from local.openai import batches, files
from local.openai.account import Account

Handler = Callable[[Request, Account], Awaitable[Response]]
_Lookup = Callable[[Account, str], dict[str, Any]]
_Listing = Callable[[Account, Mapping[str, str]], dict[str, Any]]


def route(method: str, parts: list[str]) -> tuple[str, Handler] | None:
    """The name of the endpoint and what answers it, for a path behind ``/v1/``."""
    listing = _LISTINGS.get((method, *parts))
    if listing:
        return parts[0], _listed(listing)
    if (method, parts) == ("POST", ["files"]):
        return "file_upload", _upload
    if len(parts) > 1:
        kind, name, *rest = parts
        if (method, kind, rest) == ("GET", "files", ["content"]):
            return "file_content", _content(name)
        found = _LOOKUPS.get((method, kind, *rest))
        if found:
            return found[0], _looked_up(found[1], name)
    return None


_LISTINGS: dict[tuple[str, ...], _Listing] = {
    ("GET", "files"): files.listing,
    ("GET", "batches"): batches.listing,
}
_LOOKUPS: dict[tuple[str, ...], tuple[str, _Lookup]] = {
    ("GET", "files"): ("files", lambda account, name: files.find(account, name).body()),
    ("DELETE", "files"): ("file_delete", files.delete),
    ("GET", "batches"): ("batches", lambda account, name: batches.find(account, name).body()),
    ("POST", "batches", "cancel"): (
        "batch_cancel",
        lambda account, name: batches.cancel(account, name).body(),
    ),
}


async def _upload(request: Request, account: Account) -> Response:
    content_type = request.headers.get("content-type", "")
    return JSONResponse(files.upload(account, content_type, await request.body()).body())


def _listed(listing: _Listing) -> Handler:
    async def handled(request: Request, account: Account) -> Response:
        return JSONResponse(listing(account, dict(request.query_params)))

    return handled


def _looked_up(lookup: _Lookup, name: str) -> Handler:
    async def handled(_request: Request, account: Account) -> Response:
        return JSONResponse(lookup(account, name))

    return handled


def _content(name: str) -> Handler:
    async def handled(_request: Request, account: Account) -> Response:
        content = files.find(account, name).content
        return Response(content, media_type="application/octet-stream")

    return handled
