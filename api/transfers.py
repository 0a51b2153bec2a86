"""Files on their way into the service: how many at once, and under which names.

Belongs here: counting them. Does not: receiving them (``uploads.py``), sending (``objects.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from api.problems import unavailable

#: Each holds some 20 MiB of what is on its way.
AT_ONCE = 8
_RETRY_SECONDS = 5


class Transfers:
    """Those of one service, and the names that files are being put under."""

    def __init__(self) -> None:
        self._open = 0
        self._names: set[str] = set()

    def begin(self) -> Callable[[], None]:
        """Take a place, to be given back once. Raises ProblemError (503) when there is none."""
        if self._open >= AT_ONCE:
            raise unavailable("the service", f"{AT_ONCE} files are on their way", _RETRY_SECONDS)
        self._open += 1
        held = ExitStack()
        held.callback(self._ended)
        return held.close

    def claim(self, name: str) -> bool:
        """Whether nobody else puts a file under the name now; it is ours then until released."""
        if name in self._names:
            return False
        self._names.add(name)
        return True

    def release(self, name: str) -> None:
        """Let others put a file under the name."""
        self._names.discard(name)

    def _ended(self) -> None:
        self._open -= 1
