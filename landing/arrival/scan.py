"""The resumable scan: a bucket's listing, page by page, a bounded piece per tick.

Belongs here: where a scan stands, what it skips, when it stops. Does not: any store, the ledger
(``record`` is called with every page).
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from landing.arrival.identity import ObjectVersion
from landing.arrival.source import Source
from landing.stores.base import ObjectStore, Page

_log = logging.getLogger(__name__)

#: Seconds after which a tick stops listing: Dagster cuts ticks at 60.
DEADLINE_SECONDS = 20.0

#: How long an object that is told apart by whole seconds has to be untouched. Until its second is
#: over, it may be rewritten to a content that it had before, which would then look known. Half a
#: second is for our clock, which may be ahead of the store's: both are to be kept by NTP.
SETTLE = timedelta(seconds=1.5)

#: A listing whose clock is further ahead than this is not waited for.
MAX_CLOCK_LEAD = timedelta(seconds=5)

#: Why an object waits for a later tick, unlike the others, which are skipped for good.
UNSETTLED = "unsettled"


@dataclass(frozen=True, slots=True)
class Position:
    """Where a scan stands.

    ``after`` is the last key listed in this cycle, None at its start; ``token`` is what the store
    goes on by after it, where its last page was empty (see stores.base.Page). ``anchor`` is the
    key after which the next cycle starts, None for the start of the listing (sources with ordered
    keys only); ``hold`` is the key before the first object of this cycle that had to wait, which
    the anchor must not pass ("" is the start of the listing). ``listed``, ``known`` and ``ignored``
    count keys of this cycle.
    """

    after: str | None = None
    anchor: str | None = None
    hold: str | None = None
    cycle: int = 1
    cycle_started_at: datetime | None = None
    last_cycle_seconds: float | None = None
    listed: int = 0
    known: int = 0
    ignored: int = 0
    token: str | None = None


@dataclass(frozen=True, slots=True)
class ScanResult:
    """What one tick's scan did. ``ignored`` counts skipped keys by reason.

    ``seen`` are the versions that were taken, where one page held the whole cycle.
    """

    position: Position
    finished_cycle: bool
    pages: int
    listed: int
    known: int
    new: int
    ignored: Mapping[str, int]
    seen: frozenset[ObjectVersion] | None = None


class ScanError(Exception):
    """A listing failed: nothing can be said about what is there."""


def scan(
    store: ObjectStore,
    source: Source,
    position: Position,
    record: Callable[[Sequence[ObjectVersion]], int],
    *,
    deadline: float,
    clock: Callable[[], float],
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> ScanResult:
    """List on from ``position`` until the listing ends or ``clock()`` reaches ``deadline``.

    ``record`` gets the candidates of each page and returns how many of them were new; they must
    be safe when it returns. At least one page is listed, so that every tick gets on. The next
    tick goes on at the returned position, at the start of a new cycle once the listing ended.

    Raises ScanError when a page cannot be listed; pages before it are recorded.
    """
    position = replace(position, cycle_started_at=position.cycle_started_at or now())
    begins = position.after is None and position.token is None
    after = position.after if position.after is not None else position.anchor
    token = position.token
    hold, previous = position.hold, after or ""
    tail: deque[str] = deque(maxlen=max(source.overlap_keys, 1))
    listed = known = new = pages = 0
    ignored: Counter[str] = Counter()
    while True:
        try:
            page = _page(store, source, after, token)
        except Exception as error:
            where = f"after key {after!r}" if after else "from its start"
            message = f"cannot list {source.bucket}/{source.prefix} {where}: {error}"
            raise ScanError(message) from error
        pages += 1
        reasons = [(skip_reason(version, source, now()), version) for version in page.objects]
        candidates = [version for reason, version in reasons if reason is None]
        fresh = record(candidates) if candidates else 0
        ignored.update(reason for reason, _ in reasons if reason is not None)
        listed += len(page.objects)
        new += fresh
        known += len(candidates) - fresh
        for reason, version in reasons:
            if hold is None and reason == UNSETTLED:
                hold = previous
            previous = version.key
            tail.append(version.key)
        # After an empty page that is not the last it goes on behind the same key.
        after, token = page.last_key or after, page.token
        if page.is_last or clock() >= deadline:
            break
    counted = replace(
        position,
        after=after,
        token=token,
        hold=hold,
        listed=position.listed + listed,
        known=position.known + known,
        ignored=position.ignored + ignored.total(),
    )
    if page.is_last:
        counted = _next_cycle(counted, source, tail, now())
    return ScanResult(
        position=counted,
        finished_cycle=page.is_last,
        pages=pages,
        listed=listed,
        known=known,
        new=new,
        ignored=dict(ignored),
        seen=frozenset(candidates) if begins and page.is_last and pages == 1 else None,
    )


def _page(store: ObjectStore, source: Source, after: str | None, token: str | None) -> Page:
    if token is not None:
        try:
            return store.list_page(source.prefix, after, source.page_size, token)
        except Exception:  # noqa: BLE001 - a token may have expired: without one the store decides
            _log.info("the token after %r was refused: listing behind that key again", after)
    return store.list_page(source.prefix, after, source.page_size)


def skip_reason(version: ObjectVersion, source: Source, now: datetime) -> str | None:
    """Why an object is not taken (now), or None when it is."""
    key = version.key
    reasons = {
        # Postgres text cannot hold it; one such key must not stop all others.
        "key_with_nul": "\0" in key,
        "folder": key.endswith("/"),
        "temporary": key.endswith(source.temporary_suffixes),
        "pattern": source.pattern.fullmatch(key) is None,
        "empty": version.size == 0 and not source.empty_objects,
        UNSETTLED: _may_still_change(version, now),
    }
    found = next((reason for reason, applies in reasons.items() if applies), None)
    return found or ("no_unit" if source.unit and not _has_unit(version, source) else None)


def _has_unit(version: ObjectVersion, source: Source) -> bool:
    try:
        return source.unit is None or bool(source.unit(version))
    except ValueError:
        return False


def _may_still_change(version: ObjectVersion, now: datetime) -> bool:
    """Whether the version is told by a second (see identity.unversioned) that is not over yet."""
    return version.told_by_second and -MAX_CLOCK_LEAD < now - version.modified_at < SETTLE


def _next_cycle(position: Position, source: Source, tail: deque[str], now: datetime) -> Position:
    started = position.cycle_started_at or now
    anchor = None
    if source.ordered_keys:
        # A tick that saw fewer keys than the overlap cannot tell a later anchor.
        anchor = tail[0] if len(tail) == tail.maxlen else position.anchor
        if anchor is not None and position.hold is not None:
            anchor = min(anchor, position.hold) or None
    return Position(
        anchor=anchor,
        cycle=position.cycle + 1,
        last_cycle_seconds=max((now - started).total_seconds(), 0.0),
    )
