"""Sessions that are killed with -9 at a named point.

Belongs here: the points, and the process that runs into one. Does not: what must be true after it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from tests.faults.killed_run import die, die_after, replace
from tests.forks import exit_code_of


def _before(owner: Any, name: str) -> None:
    def make(_original: Any) -> Any:
        return lambda *_args, **_kwargs: die()

    replace(owner, name, make)


def _pulled() -> None:
    from assets.reading.stream import writing

    _before(writing, "append")


def _appended() -> None:
    from assets.reading.stream import writing

    die_after(writing, "append")


def _merging() -> None:
    """The MERGE has been started, and nobody waits for it."""
    from google.cloud.bigquery import Client

    def make(original: Any) -> Any:
        def dying(self: Client, sql: str, *args: Any, **kwargs: Any) -> Any:
            result = original(self, sql, *args, **kwargs)
            if "MERGE" in sql:
                die()
            return result

        return dying

    replace(Client, "query", make)


def _merged() -> None:
    from assets.reading.stream import writing

    die_after(writing, "merge")


def _noted() -> None:
    from assets.reading.stream import writing

    _before(writing, "acknowledge")


def _stored() -> None:
    from assets.reading.stream import rejects

    die_after(rejects, "store")


def _passed_on() -> None:
    from assets.reading.stream import rejects

    _before(rejects, "mark")


def _acknowledged() -> None:
    from assets.reading.stream import writing

    die_after(writing, "acknowledge")


#: In the order of a micro-batch's steps.
POINTS: dict[str, Callable[[], None]] = {
    "pulled": _pulled,
    "appended": _appended,
    "merging": _merging,
    "merged_not_noted": _merged,
    "rejects_stored": _stored,
    "rejects_passed_on": _passed_on,
    "noted_not_acknowledged": _noted,
    "acknowledged_not_reported": _acknowledged,
}


def serve_until_killed(env: Mapping[str, str], point: str) -> int:
    """Run a session in a process of its own up to the point; the process's exit code."""
    return exit_code_of(_child, dict(env), point, env=env, timeout=60)


def _child(env: dict[str, str], point: str) -> None:
    from tests.reading_stream import Systems

    POINTS[point]()
    Systems.of(env).serve(stopping=threading.Event(), session_id=f"killed-{point}")
