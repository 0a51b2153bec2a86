"""Keys that events named, looked up and recorded by the rules of the scan.

Belongs here: one look at each key. Does not: where the keys come from (``events.py``).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from landing.arrival.identity import ObjectVersion
from landing.arrival.scan import UNSETTLED, skip_reason
from landing.arrival.source import Source
from landing.stores.base import ObjectStore

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Hinted:
    """What became of the keys that events named.

    ``new`` versions were recorded. ``unsettled`` keys are to be named again at the next tick.
    ``failed`` counts those that could not be looked up: the scan finds them.
    """

    keys: int = 0
    new: int = 0
    failed: int = 0
    unsettled: tuple[str, ...] = ()


def take_hints(
    store: ObjectStore,
    source: Source,
    keys: Sequence[str],
    record: Callable[[Sequence[ObjectVersion]], int],
    *,
    deadline: float,
    clock: Callable[[], float],
    now: Callable[[], datetime],
) -> Hinted:
    """Record what the keys hold now, by the rules of the scan.

    Never raises what the store raises: the keys that are left then are the scan's, as are those
    that are left at the deadline.
    """
    versions: list[ObjectVersion] = []
    unsettled: list[str] = []
    seen = 0
    for key in dict.fromkeys(keys):
        if clock() >= deadline:
            break
        try:
            version = store.stat(key) if key.startswith(source.prefix) else None
        except Exception as error:  # noqa: BLE001 - events only make the scan quicker
            log.warning("cannot look up %s/%s, which an event named: %s", source.bucket, key, error)
            break
        seen += 1
        reason = skip_reason(version, source, now()) if version else None
        if version and reason is None:
            versions.append(version)
        elif reason == UNSETTLED:
            unsettled.append(key)
    return Hinted(
        keys=len(keys),
        new=record(versions) if versions else 0,
        failed=len(set(keys)) - seen,
        unsettled=tuple(unsettled),
    )
