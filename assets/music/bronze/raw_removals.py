"""Emptying the raw bucket of what is archived and in silver.

Belongs here: which objects may go, and the note of what became of them. Does not: how a bucket
removes exactly one version (``landing/stores/minio.py``).

An object goes once the batch that read it has been committed to silver and its copy is seen in the
processed bucket with the digest that was archived. One of which every row was rejected stays, for
nothing of it is anywhere but in quarantine. In a bucket that keeps versions it goes by its id: a
rewrite is never touched. In other buckets the object has to match first; a rewrite that arrives
between that look and the deletion, one round trip of the client, is deleted with it. That window is
why production keeps versions.

``removed_at`` is written before the deletion and ``removal`` after it, so that a run that is killed
between the two still knows whose doing the absence is.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal, get_args

from assets.music.bronze.batch_files import REQUESTS
from assets.music.bronze.copies import Copy
from assets.sinks.objects import digest_of
from landing.arrival.identity import ObjectVersion

if TYPE_CHECKING:
    from landing.stores.minio import MinioStore
    from resources.postgres import PostgresResource

PAGE = 1_000

#: ``unsafe``: the copy is missing or differs, so that the original stays.
Fate = Literal["removed", "replaced", "absent", "unsafe"]

_DUE = """
SELECT a.seq, a.processed_key, a.sha256, a.removed_at IS NOT NULL,
    v.store, v.bucket, v.key, v.version, v.size, v.modified_at
FROM music.archived_object a
JOIN landing.object_version v USING (seq)
JOIN landing.batch_sink s
    ON s.batch_id = v.batch_id AND s.sink = 'silver_songs' AND s.state = 'done'
WHERE a.removal IS NULL AND v.bucket = %(bucket)s AND a.seq > %(after)s
    AND (v.rows_read = 0 OR v.rows_rejected < v.rows_read)
    AND (%(batch)s::text IS NULL OR v.batch_id = %(batch)s)
ORDER BY a.seq LIMIT %(limit)s
"""
_BEGIN = """
UPDATE music.archived_object SET removed_at = clock_timestamp()
WHERE seq = ANY(%s) AND removed_at IS NULL
"""
_END = """
UPDATE music.archived_object a SET removal = t.removal
FROM unnest(%s::bigint[], %s::text[]) AS t (seq, removal)
WHERE a.seq = t.seq AND a.removal IS NULL
"""


@dataclass(frozen=True, slots=True)
class _Due:
    """An archived object that may still lie in raw; ``begun`` says that a removal was tried."""

    seq: int
    copy: Copy
    begun: bool
    version: ObjectVersion


@dataclass(frozen=True, slots=True)
class Removals:
    """What became of archived objects in raw.

    ``replaced`` ones had given way to another version, which arrives by itself; ``absent`` ones
    were removed by somebody else; ``unsafe`` ones stay because their copy is not as archived.
    """

    removed: int
    replaced: int
    absent: int
    unsafe: int
    seconds: float

    def figures(self) -> dict[str, int | float]:
        """As Dagster shows them."""
        return {**asdict(self), "seconds": round(self.seconds, 3)}


def remove_archived(
    pg: PostgresResource,
    raw: MinioStore,
    processed: MinioStore,
    *,
    batch_id: str | None,
    log: logging.Logger,
    deadline: float | None = None,
) -> Removals:
    """Remove what may go, of one batch or (None) of all, oldest first.

    ``deadline`` is a reading of the monotonic clock after which no further page is begun. What the
    store refuses stays and is raised at the end, when all others are done. Safe to repeat, and to
    run twice at once.
    """
    started, counts = time.monotonic(), Counter[Fate]()
    refused: Exception | None = None
    with ThreadPoolExecutor(REQUESTS, thread_name_prefix="removal") as pool:
        for page in _pages(pg, raw.bucket, batch_id, deadline):

            def remove(due: _Due) -> Fate | Exception:
                try:
                    return _remove(due, raw, processed)
                except Exception as error:  # noqa: BLE001 - one object must not hold up the others
                    return error

            fates = list(zip(page, pool.map(remove, page), strict=True))
            noted = [(due.seq, fate) for due, fate in fates if isinstance(fate, str)]
            counts.update(fate for _, fate in noted)
            _note(pg, [(seq, fate) for seq, fate in noted if fate != "unsafe"])
            for due, fate in fates:
                if isinstance(fate, Exception):
                    refused = fate
                    log.warning("not_removed uri=%s error=%s", due.version.uri, fate)
                elif fate == "unsafe":
                    log.warning("kept_in_raw uri=%s copy=%s", due.version.uri, due.copy.key)
    if refused is not None:
        raise refused
    became = {fate: counts[fate] for fate in get_args(Fate)}
    return Removals(**became, seconds=time.monotonic() - started)


def _pages(
    pg: PostgresResource, bucket: str, batch_id: str | None, deadline: float | None
) -> Iterator[Sequence[_Due]]:
    after = 0
    while deadline is None or time.monotonic() < deadline:
        with pg.connect() as conn:
            rows = conn.execute(
                _DUE, {"bucket": bucket, "batch": batch_id, "after": after, "limit": PAGE}
            ).fetchall()
            conn.execute(_BEGIN, ([row[0] for row in rows],))
        if not rows:
            return
        yield [
            _Due(seq, Copy(key, sha256), begun, ObjectVersion(*version))
            for seq, key, sha256, begun, *version in rows
        ]
        after = rows[-1][0]


def _remove(due: _Due, raw: MinioStore, processed: MinioStore) -> Fate:
    if digest_of(processed, due.copy.key) != due.copy.sha256:
        return "unsafe"
    fate = raw.remove(due.version)
    return "removed" if fate == "absent" and due.begun else fate


def _note(pg: PostgresResource, fates: Sequence[tuple[int, Fate]]) -> None:
    with pg.connect() as conn:
        conn.execute(_END, ([seq for seq, _ in fates], [fate for _, fate in fates]))
