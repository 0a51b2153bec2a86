"""A batch's records into the star schema, in one transaction with the ledger's note of it.

Belongs here: the order of steps. Does not: any of them (``sources``, ``songs``, ``albums``,
``dimensions``, ``genres``, ``song_lists``, ``lyrics``, ``removal``, ``verify``).

The end state is a function of the records that are there, whatever the order of batches. Rows that
are equal are not written, so that a batch that is loaded again changes nothing.

A record with a row that Postgres refuses, in whichever table, is refused as a whole: a song without
its artist, or an artist without its songs, would say what no file says. It is as though it had not
arrived: what an earlier version of it says stays.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from assets.music.silver import (
    albums,
    artists,
    dimensions,
    genres,
    identity,
    lyrics,
    names,
    references,
    removal,
    song_lists,
    songs,
    sources,
    verify,
)
from assets.sinks.isolating import Isolating
from assets.sinks.postgres import refusal, refusing
from assets.sinks.result import SinkResult, Verification
from landing.batch.delivery import Delivery
from resources.advisory_locks import Lock, take_until_commit

if TYPE_CHECKING:
    import polars as pl
    import psycopg

# What is sorted and hashed is a batch; plans are made for it once, so that compiling them is waste.
_SETTINGS = """
SET LOCAL work_mem = '128MB';
SET LOCAL jit = off
"""

_SOURCES = "{songs} JOIN music.song_source USING (song_key)"
#: Names that become keys; an album with a release id has one already.
_TEXTS = f"""
SELECT text FROM {_SOURCES} CROSS JOIN LATERAL (
    VALUES (CASE WHEN coalesce(album_release_id, 0) <= 0 THEN album END), (genre)) AS v (text)
"""


def load_batch(
    conn: psycopg.Connection[Any], delivery: Delivery
) -> tuple[SinkResult, Verification]:
    """Load a batch, read it back, and mark its sink done, all in one transaction.

    Nothing of it is kept when it does not read back as written (``Verification.ok`` is false then).
    Records that Postgres refuses while it takes others are told to the delivery.
    ``details`` of the result: songs_new, songs_changed, songs_unchanged, songs_removed,
    songs_of_artists_changed (songs without a record in the batch whose genre followed their
    artist's), records_unchanged, records_withdrawn. Raises psycopg errors.
    """
    import psycopg

    for isolate in (None, "alone"):
        try:
            return _loaded(conn, delivery, isolate)
        except psycopg.Error as error:
            if refusal(error) is None:
                raise
    return _loaded(conn, delivery, "together")


def _loaded(
    conn: psycopg.Connection[Any],
    delivery: Delivery,
    isolate: Literal["alone", "together"] | None,
) -> tuple[SinkResult, Verification]:
    import psycopg

    started = time.monotonic()
    with conn.transaction() as transaction:
        take_until_commit(conn, Lock.STAR_SCHEMA)
        conn.execute(_SETTINGS)
        if isolate:
            _set_aside(conn, delivery, together=isolate == "together")
        chunks = _as_ordered(conn, delivery, delivery.taken() if isolate else delivery.chunks())
        withdrawn = delivery.withdrawn()
        intake, facts, followed, removed = _load(conn, chunks, delivery.batch_id, withdrawn)
        found = verify.verify(conn, intake, withdrawn)
        result = SinkResult(
            rows_written=intake.records,
            unchanged=intake.unchanged,
            deleted=removed,
            seconds=time.monotonic() - started,
            details={
                "songs_new": facts.new,
                "songs_changed": facts.changed,
                "songs_unchanged": facts.unchanged,
                "songs_removed": removed,
                "songs_of_artists_changed": followed,
                "records_unchanged": intake.unchanged,
                "records_withdrawn": len(withdrawn),
            },
        )
        if not found.ok:
            raise psycopg.Rollback(transaction)
        delivery.done_in(conn, rows_written=intake.records)
    return result, found


def _as_ordered(
    conn: psycopg.Connection[Any], delivery: Delivery, chunks: Iterable[pl.DataFrame]
) -> Iterable[pl.DataFrame]:
    """Chunks in which what was put back from quarantine is as old as what was rejected."""
    import polars as pl

    older = dict(
        conn.execute(
            "SELECT seq, order_seq FROM landing.object_version"
            " WHERE batch_id = %s AND order_seq IS NOT NULL",
            (delivery.batch_id,),
        ).fetchall()
    )
    if not older:
        return chunks
    return (chunk.with_columns(pl.col("seq").replace(older)) for chunk in chunks)


def _set_aside(conn: psycopg.Connection[Any], delivery: Delivery, *, together: bool) -> None:
    """Tell the delivery which records Postgres refuses, by loads of which nothing is kept.

    A load is of many statements over all records at once: only a whole one tells what it refuses.
    ``together`` finds those that it refuses beside others only, all of which are loaded each time.
    """
    before: list[pl.DataFrame] = []
    withdrawn = delivery.withdrawn()

    def tried(records: pl.DataFrame) -> None:
        with conn.transaction(force_rollback=True):
            _load(conn, [*before, records], delivery.batch_id, withdrawn)
        if together:
            before.append(records)

    isolating: Isolating[pl.DataFrame] = Isolating(refusal, refusing(delivery))
    for chunk in delivery.taken():
        isolating.write(chunk, tried)
    isolating.settle()


def _load(
    conn: psycopg.Connection[Any],
    chunks: Iterable[pl.DataFrame],
    batch_id: str,
    withdrawn: Sequence[str],
) -> tuple[sources.Intake, songs.Facts, int, int]:
    intake = sources.take(conn, chunks, withdrawn)
    first = intake.first
    large = first and intake.records >= references.MANY
    foreign_keys = references.take_away(conn) if large else []
    artists.settle(conn, first=first)
    for module in (names, songs, dimensions):
        module.create(conn)
    _fuse(conn, "touched_song", first=first)
    if albums.settle(conn, first=first):
        _fuse(conn, "further_song", first=first)
    albums.apply(conn, first=first)
    names.add_plain(conn, song_lists.GENRE_NAMES)
    dimensions.find_touched(conn, first=first, every=intake.earlier)
    dimensions.write_dimensions(conn)
    genres.write_terms(conn, first=first)
    genres.choose_genres(conn)
    facts = songs.write_facts(conn, first=first)
    songs.write_credits(conn, first=first)
    dimensions.write_album_artists(conn)
    song_lists.write_lists(conn)
    lyrics.write_lyrics(conn, first=first)
    followed = genres.let_songs_follow(conn, first=first)
    if not first:
        identity.redirect(conn)
    removed = removal.remove_songs(conn)
    removal.remove_orphans(conn)
    if not first:
        albums.redirect(conn)
    references.bring_back(conn, foreign_keys)
    removal.note_touched(conn, batch_id)
    return intake, facts, followed, removed


def _fuse(conn: psycopg.Connection[Any], touched: str, *, first: bool) -> None:
    """What the songs of a table were, and what their records make of them."""
    if not first:
        dimensions.remember(conn, touched)
    artists.add_credits(conn, _SOURCES.format(songs=touched))
    names.add_plain(conn, _TEXTS.format(songs=touched))
    songs.fuse(conn, touched)
