"""Telegram's Bot API as far as ``getMe`` and ``sendMessage``: limits and errors of the real one.

Belongs here: what a message may be, and how many. Does not: faults (`local.fault_plan`), HTTP.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

from local.fault_plan import STATUSES
from local.openai.account import Account
from local.openai.telegram_html import BadEntitiesError, shown

LONGEST = 4096
_MINUTE = 60.0


class TelegramError(Exception):
    """A call that is answered with ``status``; ``retry_after`` in whole seconds."""

    def __init__(self, status: int, description: str, retry_after: int | None = None) -> None:
        super().__init__(description)
        self.status, self.description, self.retry_after = status, description, retry_after

    def body(self) -> dict[str, Any]:
        """The error in Telegram's shape."""
        body = {"ok": False, "error_code": self.status, "description": self.description}
        if self.retry_after is None:
            return body
        return {**body, "parameters": {"retry_after": self.retry_after}}


_DESCRIPTIONS = {
    "400": "Bad Request: refused on purpose",
    "401": "Unauthorized",
    "403": "Forbidden: bot was blocked by the user",
    "408": "Request Timeout",
    "409": "Conflict: terminated by other request",
    "500": "Internal Server Error",
    "503": "Service Unavailable",
}


def fault(kind: str, retry_after: float) -> TelegramError | None:
    """The error of a kind of fault; None for one that is no status."""
    if kind not in STATUSES:
        return None
    if kind in _DESCRIPTIONS:
        return TelegramError(int(kind), _DESCRIPTIONS[kind])
    return too_many(retry_after)


def too_many(seconds: float) -> TelegramError:
    """429."""
    wait = max(1, math.ceil(seconds))
    return TelegramError(429, f"Too Many Requests: retry after {wait}", wait)


def me() -> dict[str, Any]:
    """The answer to ``getMe``."""
    bot = {"id": 1, "is_bot": True, "first_name": "quintet", "username": "quintet_local_bot"}
    return {"ok": True, "result": bot}


def send(account: Account, given: Mapping[str, Any], now: float | None = None) -> dict[str, Any]:
    """Keep a message and answer as Telegram does. Raises TelegramError.

    ``now`` in epoch seconds.
    """
    at = time.time() if now is None else now
    chat = given.get("chat_id")
    if chat in {None, ""}:
        raise TelegramError(400, "Bad Request: chat_id is empty")
    text = given.get("text")
    if not isinstance(text, str):
        raise TelegramError(400, "Bad Request: message text is empty")
    plain = _plain(text, given.get("parse_mode"))
    if not plain.strip():
        raise TelegramError(400, "Bad Request: message text is empty")
    if _length(plain) > LONGEST:
        raise TelegramError(400, "Bad Request: message is too long")
    _pace(account, str(chat), at)
    account.sent.append({"at": at, "given": dict(given)})
    bot = me()["result"]
    result = {
        "message_id": len(account.sent),
        "from": bot,
        "chat": {"id": chat, "type": "private"},
        "date": int(at),
        "text": plain,
    }
    return {"ok": True, "result": result}


def _plain(text: str, mode: Any) -> str:
    if mode is None or mode == "":
        return text
    if mode != "HTML":
        raise TelegramError(400, "Bad Request: unsupported parse_mode")
    try:
        return shown(text)
    except BadEntitiesError as error:
        raise TelegramError(400, f"Bad Request: can't parse entities: {error}") from error


def _length(text: str) -> int:
    """As Telegram's clients count: in UTF-16, where an emoji is two."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _pace(account: Account, chat: str, now: float) -> None:
    """Raises TelegramError (429) for one message too many to this chat."""
    plan = account.plan
    sent = [one["at"] for one in account.sent if str(one["given"].get("chat_id")) == chat]
    for most, window in ((plan.chat_per_second, 1.0), (plan.chat_per_minute, _MINUTE)):
        recent = [at for at in sent if at > now - window]
        if most and len(recent) >= most:
            raise too_many(recent[-most] + window - now)
