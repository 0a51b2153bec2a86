"""Telegram's Bot API: messages to one chat.

Belongs here: the calls, and what of an answer means "later" or "never". Does not: what is said and
when (``assets/frame/outbox.py``). The bot's token is a part of every URL: no error names one.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import dagster as dg

from resources import retryable
from resources.channel_errors import ChannelRefusedError, ChannelUnavailableError
from resources.polite_http import CHECK_TIMEOUT, CONNECT_TIMEOUT, retry_after

#: What Telegram says of a message that it would refuse from anybody.
_ABOUT_THE_MESSAGE = ("can't parse", "message is too long", "text is empty")
_TOKEN = re.compile(r"/bot[^/\s]+")
_OK = 200


class TelegramResource(dg.ConfigurableResource[Any]):
    """One bot and one chat; ``timeout`` is seconds per call. Without a token nothing is sent."""

    url: str = "https://api.telegram.org"
    bot_token: str = ""
    chat_id: str = ""
    timeout: float = 10.0

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """What pydantic shows of the resource: no token."""
        yield from (("url", self.url), ("chat_id", self.chat_id))

    @property
    def configured(self) -> bool:
        """Whether there is a bot and a chat."""
        return bool(self.url and self.bot_token and self.chat_id)

    def send(self, text_html: str) -> int:
        """Send a message in Telegram's HTML; its number.

        Raises ChannelUnavailableError and ChannelRefusedError.
        """
        message = {
            "chat_id": self.chat_id,
            "text": text_html,
            "parse_mode": "HTML",
            "link_preview_options": {"is_disabled": True},
        }
        return int(self._call("sendMessage", message, self.timeout)["message_id"])

    def check(self) -> str:
        """As whom we would write, in one line. Raises as :meth:`send`."""
        if not self.configured:
            return "no Telegram: alerts wait in the outbox"
        bot = self._call("getMe", {}, CHECK_TIMEOUT)
        return f"Telegram at {self.url}, as @{bot.get('username')}"

    def _call(self, method: str, given: dict[str, Any], timeout: float) -> dict[str, Any]:
        status, header, body = self._post(method, given, timeout)
        answer = _parsed(body)
        if status == _OK and answer.get("ok") is True and isinstance(answer.get("result"), dict):
            result: dict[str, Any] = answer["result"]
            return result
        said = f"{status}: {answer.get('description') or 'an answer that is none'}"
        if status == _OK or retryable.http(status):
            asked = (answer.get("parameters") or {}).get("retry_after") or header
            raise ChannelUnavailableError(said, asked_wait(asked))
        about_message = any(words in said for words in _ABOUT_THE_MESSAGE)
        raise ChannelRefusedError(said, about_message=about_message)

    def _post(self, method: str, given: Any, timeout: float) -> tuple[int, str | None, bytes]:
        """Status, Retry-After and body. Raises ChannelUnavailableError."""
        import httpx

        _hide_tokens()
        url = f"{self.url.rstrip('/')}/bot{self.bot_token}/{method}"
        waits = httpx.Timeout(timeout, connect=min(timeout, CONNECT_TIMEOUT))
        try:
            answer = httpx.post(url, json=given, timeout=waits)
        except (httpx.RequestError, httpx.InvalidURL) as error:
            failed = _without_token(f"{type(error).__name__}: {error}", self.bot_token)
        else:
            return answer.status_code, answer.headers.get("retry-after"), answer.content
        # Not from within the handler: a traceback would bring the request along, and its URL.
        raise ChannelUnavailableError(failed)


def asked_wait(asked: Any) -> float:
    """Seconds that an answer asks for, of its body or header."""
    import time

    return retry_after(str(asked), time.time()) if asked else 0.0


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _without_token(text: str, token: str) -> str:
    return text.replace(token, "***") if token else text


def _hide_tokens() -> None:
    """Blank tokens in what httpx logs of every request."""
    log = logging.getLogger("httpx")
    if _blanked not in log.filters:
        log.addFilter(_blanked)


def _blanked(record: logging.LogRecord) -> bool:
    if isinstance(record.args, tuple):
        record.args = tuple(
            _TOKEN.sub("/bot***", str(one)) if "/bot" in str(one) else one for one in record.args
        )
    return True
