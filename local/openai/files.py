"""``/v1/files``: uploads for batches, and what batches put out. Kept in memory, per key.

Belongs here: files and their paging. Does not: what is in them (`local.openai.batches`).
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from local.openai.account import Account
from local.openai.errors import RefusedError, invalid, not_found
from local.openai.multipart import fields

LARGEST = 200 * 1024 * 1024
_MOST_LISTED = 10_000
_DAYS = 86_400
_SHORTEST, _LONGEST = 3600, 30 * _DAYS


@dataclass(frozen=True)
class File:
    """One file. Times in epoch seconds."""

    filename: str
    purpose: str
    content: bytes
    expires_at: int | None = None
    id: str = field(default_factory=lambda: f"file-{secrets.token_hex(12)}")
    created_at: int = field(default_factory=lambda: int(time.time()))

    def body(self) -> dict[str, Any]:
        """The file in OpenAI's shape."""
        return {
            "id": self.id,
            "object": "file",
            "bytes": len(self.content),
            "created_at": self.created_at,
            "expires_at": self.expires_at,
            "filename": self.filename,
            "purpose": self.purpose,
            "status": "processed",
            "status_details": None,
        }


def upload(account: Account, content_type: str, body: bytes) -> File:
    """Keep a file. Raises RefusedError (400, 413)."""
    if len(body) > LARGEST:
        raise RefusedError(413, "invalid_request_error", "The file is larger than 200 MB.")
    given = fields(content_type, body)
    if "file" not in given or given["file"].filename is None:
        raise invalid("'file' is a required property", param="file")
    purpose = given["purpose"].content.decode() if "purpose" in given else ""
    if purpose != "batch":
        raise invalid(f"{purpose!r} is not one of ['batch']", param="purpose")
    expires_at = None
    if "expires_after[seconds]" in given:
        seconds = given["expires_after[seconds]"].content.decode()
        if not seconds.isdigit() or not _SHORTEST <= int(seconds) <= _LONGEST:
            raise invalid(
                f"expires_after: {_SHORTEST} to {_LONGEST} seconds", param="expires_after"
            )
        expires_at = int(time.time()) + int(seconds)
    kept = File(given["file"].filename, purpose, given["file"].content, expires_at)
    account.files[kept.id] = kept
    return kept


def find(account: Account, file_id: str) -> File:
    """One file. Raises RefusedError (404)."""
    found: File | None = account.files.get(file_id)
    if found is None:
        raise not_found(f"No such File object: {file_id}")
    return found


def delete(account: Account, file_id: str) -> dict[str, Any]:
    """Forget a file. Raises RefusedError (404)."""
    del account.files[find(account, file_id).id]
    return {"id": file_id, "object": "file", "deleted": True}


def listing(account: Account, query: Mapping[str, str]) -> dict[str, Any]:
    """A page of the files, newest first unless ``order`` is "asc"."""
    order = query.get("order", "desc")
    if order not in {"asc", "desc"}:
        raise invalid("order: 'asc' or 'desc'", param="order")
    kept: list[File] = list(account.files.values())
    if purpose := query.get("purpose"):
        kept = [one for one in kept if one.purpose == purpose]
    return page(
        kept if order == "asc" else kept[::-1], query, most=_MOST_LISTED, default=_MOST_LISTED
    )


def page(listed: list[Any], query: Mapping[str, str], *, most: int, default: int) -> dict[str, Any]:
    """``limit`` of ``listed`` (files or batches), behind the one whose id is ``after``.

    Raises RefusedError (400) for a limit that is none or an ``after`` that is not listed.
    """
    given = query.get("limit") or str(default)
    if not given.isdigit() or not 1 <= int(given) <= most:
        raise invalid(f"limit: 1 to {most}", param="limit")
    start = 0
    if after := query.get("after"):
        places = {one.id: place for place, one in enumerate(listed)}
        if after not in places:
            raise invalid(f"after: no such object: {after}", param="after")
        start = places[after] + 1
    shown = listed[start : start + int(given)]
    return {
        "object": "list",
        "data": [one.body() for one in shown],
        "first_id": shown[0].id if shown else None,
        "last_id": shown[-1].id if shown else None,
        "has_more": start + len(shown) < len(listed),
    }
