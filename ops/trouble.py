"""What an error of any client says of its system: not there, busy, or not willing.

Belongs here: telling these three apart. Does not: whether an attempt is worth it (``landing``).
No SDK is imported: errors are told by their status codes, names and texts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

Trouble = Literal["unreachable", "wrong credentials", "busy"]

#: In this order: a client that gave up asking a closed port says "timeout" as well.
_SIGNS: dict[Trouble, re.Pattern[str]] = {
    "unreachable": re.compile(
        r"refused|gaierror|getaddrinfo|name or service not known|name resolution|nodename nor"
        r"|could not translate host|failed to resolve|dns resolution|no route to host"
        r"|network is unreachable|no address associated",
        re.IGNORECASE,
    ),
    "wrong credentials": re.compile(
        r"\b(401|403)\b|unauthenticated|unauthorized|permission.?denied|forbidden|access.?denied"
        r"|auth(entication)?.?(error|fail)|invalid.?access.?key|signature.?does.?not.?match"
        r"|incorrect api key|credentials",
        re.IGNORECASE,
    ),
    "busy": re.compile(
        r"\b(408|429|503|504)\b|time.?out|timed out|deadline.?exceeded|resource.?exhausted"
        r"|too many|rate.?limit|slow.?down|service.?unavailable|is starting up",
        re.IGNORECASE,
    ),
}


def trouble(error: BaseException) -> Trouble | None:
    """What keeps the system from answering, told by the error or what it came from; None: else."""
    said = "\n".join(f"{type(one).__name__} {_status(one)} {one}" for one in _chain(error))
    return next((kind for kind, sign in _SIGNS.items() if sign.search(said)), None)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in seen:
        seen.append(current)
        current = current.__cause__ or current.__context__
    return iter(seen)


def _status(error: BaseException) -> str:
    """The HTTP status that the error carries, or an empty text."""
    response = getattr(error, "response", None)
    for carrier in (error, response):
        status = getattr(carrier, "status_code", None)
        if isinstance(status, int):
            return str(int(status))
    return ""
