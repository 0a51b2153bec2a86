"""What the session's threads log, kept until the run's main thread can pass it on.

Belongs here: keeping and passing on. Does not: what is logged.

A line in Dagster's event log is a statement in its database: it would hold up the stream, and raise
in the middle of it while the database is away.
"""

from __future__ import annotations

import logging
from collections import deque
from threading import Lock

#: Lines kept while they cannot be passed on; beyond them the oldest are counted and let go.
MOST_LINES = 1_000

_FORMATTER = logging.Formatter()


class SessionLog(logging.Handler):
    """``logger`` is for the threads; `pass_on` for the main thread."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        # Not registered by name: nothing of another session's, and nobody else's handlers.
        self.logger = logging.Logger("reading_session", logging.INFO)  # noqa: LOG001
        self.logger.addHandler(self)
        self._lines: deque[tuple[int, str]] = deque()
        self._left_out = 0
        self._guard = Lock()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        # Formatted here, where the arguments are what they were; with the traceback, if any.
        line = (record.levelno, _FORMATTER.format(record))
        with self._guard:
            self._lines.append(line)
            if len(self._lines) > MOST_LINES:
                self._lines.popleft()
                self._left_out += 1

    def pass_on(self, log: logging.Logger) -> None:
        """Give all lines to ``log``, oldest first. What it raises is raised; no line is lost."""
        if self._left_out:
            log.warning("%d older lines were left out", self._left_out)
            self._left_out = 0
        while True:
            with self._guard:
                if not self._lines:
                    return
                line = self._lines[0]
            log.log(line[0], "%s", line[1])
            with self._guard:
                if self._lines and self._lines[0] is line:
                    self._lines.popleft()
