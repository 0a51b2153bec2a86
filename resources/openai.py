"""An OpenAI-compatible API, through the openai client.

Belongs here: how to connect, timeouts, which failures are worth another call. Does not: what is
asked. dagster-openai's resource has neither timeout nor retries.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg

from resources import retryable

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAI

#: Seconds that a server's Retry-After is followed at most, within a call of ``client``.
LONGEST_RETRY_AFTER = 30.0
#: Seconds that an idle connection is kept: calls that wait for a rate limit find it again.
_KEPT_ALIVE = 60.0


class OpenAIResource(dg.ConfigurableResource[Any]):
    """One API and its key. Timeouts are seconds per call; retries are the caller's.

    ``concurrency`` is for calls of ``client``, ``chat_concurrency`` for those of ``async_client``.
    The account's limits a minute are for callers that keep to them; 0 is what the server tells.
    """

    base_url: str
    api_key: str
    embedding_model: str
    organization: str = ""
    timeout: float = 30.0
    connect_timeout: float = 5.0
    concurrency: int = 4
    chat_timeout: float = 60.0
    chat_concurrency: int = 200
    requests_per_minute: int = 0
    tokens_per_minute: int = 0

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """What pydantic shows of the resource: no key."""
        yield from (("base_url", self.base_url), ("embedding_model", self.embedding_model))

    def client(self) -> OpenAI:
        """A new client, safe to share among threads; use it as a context manager.

        The client's own retries are off: they end too early and skip malformed JSON.
        """
        from openai import OpenAI

        return OpenAI(
            base_url=self.base_url,
            api_key=self.api_key,
            organization=self.organization or None,
            timeout=self.timeout,
            max_retries=0,
        )

    def async_client(
        self, *, timeout: float | None = None, concurrency: int | None = None
    ) -> AsyncOpenAI:
        """A new client for one event loop; close it. Its own retries are off, too.

        Through aiohttp, which takes half the CPU; without a number of connections its own limit
        of 100 would apply.
        """
        import httpx2
        from openai import AsyncOpenAI, DefaultAioHttpClient

        connections = concurrency or self.chat_concurrency
        seconds = timeout or self.chat_timeout
        limits = httpx2.Limits(max_connections=connections, keepalive_expiry=_KEPT_ALIVE)
        return AsyncOpenAI(
            base_url=self.base_url,
            api_key=self.api_key,
            organization=self.organization or None,
            timeout=httpx2.Timeout(seconds, connect=min(seconds, self.connect_timeout)),
            max_retries=0,
            http_client=DefaultAioHttpClient(limits=limits),
        )

    def check(self) -> str:
        """What is reachable, in one line, for the price of one word. Raises openai.OpenAIError.

        An embedding is asked for because not every compatible server lists its models.
        """
        with self.client() as client:
            answer = client.embeddings.create(
                model=self.embedding_model, input="ok", encoding_format="float", timeout=10
            )
        return f"OpenAI-compatible API at {self.base_url}, model {answer.model}"


def retry_after(error: Exception) -> bool | float:
    """Whether another call may help, or the seconds that the server asks to wait first.

    For stamina: statuses that ``retryable`` names, broken connections, timeouts and
    malformed JSON.
    """
    import json

    import openai

    if isinstance(error, openai.APIStatusError):
        transient = error.status_code in retryable.OPENAI_STATUSES
        return _asked_wait(error.response.headers.get("retry-after")) if transient else False
    return isinstance(
        error, openai.APIConnectionError | openai.APIResponseValidationError | json.JSONDecodeError
    )


def _asked_wait(header: str | None) -> bool | float:
    """Seconds of a Retry-After header in its number form; True where there is none to follow."""
    try:
        seconds = float(header or "")
    except ValueError:
        return True
    return min(seconds, LONGEST_RETRY_AFTER) if seconds > 0 else True
