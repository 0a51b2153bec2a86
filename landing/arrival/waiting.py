"""Waiting in a tick for what lands next: a file need not wait for the daemon's loop.

Belongs here: after which ticks there is nothing to do but wait, and how it is noticed that this is
over. Does not: the tick (``tick.py``), how many may wait at once (``sensors/landed.py``).

An event or a look at the listing only ends the wait: the tick that follows finds, by the rules of
the scan, whatever it was. Both may miss something, which costs time, never data.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime

from landing.arrival.scan import ScanResult, skip_reason
from landing.arrival.source import Source
from landing.arrival.tick import Tick
from landing.stores.base import ObjectStore

log = logging.getLogger(__name__)

#: Seconds between two looks at a listing, at least, and between two at the events.
LOOK_SECONDS = 1.2
EVENT_SECONDS = 0.2

#: Seconds until a key is looked up again that may still change.
UNSETTLED_SECONDS = 0.25

#: Seconds between two looks where events come: they may miss something, but seldom do.
RARE_LOOK_SECONDS = 5.0

#: Looks take at most this share of the time: what a slow store is asked less often.
SHARE = 0.01


def nothing_to_do(tick: Tick) -> bool:
    """Whether the tick found nothing to do, and nothing becomes due but by what lands or settles.

    Batches that wait for an operator become due by a command, which the next tick sees.
    """
    backlog = tick.backlog
    return not (
        tick.changed
        or tick.requests
        or tick.created
        or tick.lost
        or tick.warnings
        or backlog.unassigned
        or backlog.waiting
        or backlog.in_flight
        or backlog.failed
        or backlog.elsewhere
    )


def wait(
    look: Callable[[], bool],
    event: Callable[[], bool],
    stopped: Callable[[], bool],
    *,
    until: float,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
    look_seconds: float = LOOK_SECONDS,
) -> bool:
    """Wait until a look or an event tells of something new; whether one did.

    A look every ``look_seconds``. ``until`` is a reading of ``clock`` (seconds) at which waiting
    ends; it is ``stopped`` before. A look that fails ends it, too: the tick that follows says what
    is wrong.
    """
    next_look = clock() + look_seconds
    while (now := clock()) < until and not stopped():
        if event():
            return True
        if now >= next_look:
            try:
                if look():
                    return True
            except Exception as error:  # noqa: BLE001 - whatever it is, the next tick meets it
                log.warning("cannot look for new objects: %s", error)
                return False
            took = clock() - now
            next_look = clock() + max(look_seconds, took / SHARE)
        sleep(min(EVENT_SECONDS, max(until - clock(), 0.0)))
    return False


def something_new(
    store: ObjectStore, source: Source, last: ScanResult, now: Callable[[], datetime]
) -> bool:
    """Whether the listing has a version that a scan would take and the ``last`` one did not.

    One request, for a source of which a cycle is one page: of others it never tells anything, for
    they are too large to be listed every second. Raises what the store raises.
    """
    if last.seen is None:
        return False
    page = store.list_page(source.prefix, last.position.anchor, source.page_size)
    return any(
        version not in last.seen and skip_reason(version, source, now()) is None
        for version in page.objects
    )
