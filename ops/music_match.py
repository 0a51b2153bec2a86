"""``make music-match``: which songs match, which nearly do, and an operator's word on two of them.

Belongs here: that, for a person. Does not: what matches (``assets.music.silver.matching``).
"""

from __future__ import annotations

import hashlib
import io
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from assets.music.bronze.taken_down import NOTHING
from ops.environment import require
from ops.pipelines import landed_pipeline
from resources.postgres import PostgresResource

if TYPE_CHECKING:
    import psycopg

_SHOWN = 20
_OF_SONG = """
SELECT own_key, song_key, reason, confidence, match_key, evidence FROM music.song_match
WHERE %(key)s IN (own_key, song_key) ORDER BY own_key
"""
_KNOWN = "SELECT own_key FROM music.song_source WHERE own_key = ANY(%s)"


def run(song: str | None, other: str | None, *, apart: bool, undo: bool, why: str) -> int:
    """Print, or say of two keys that they are one song; the exit code."""
    with PostgresResource(url=require("POSTGRES_URL")).connect() as conn:
        if song is None:
            return _doubles(conn)
        if other is None:
            return _song(conn, song)
        known = {key for (key,) in conn.execute(_KNOWN, ([song, other],))}
    unknown = {song, other} - known
    if unknown and not undo:
        print(f"no record has the key {' or '.join(sorted(unknown))}", file=sys.stderr)
        return 1
    return _decide(*sorted((song, other)), apart=apart, undo=undo, why=why)


def _decide(one: str, other: str, *, apart: bool, undo: bool, why: str) -> int:
    from assets.music.bronze.formats.decisions import written
    from assets.music.pipeline import MUSIC

    # One file for two keys, whatever is said of them: the newer word replaces the older one.
    name = hashlib.sha256(f"{one} {other}".encode()).hexdigest()[:16]
    key = f"matches/{name}.json"
    data = NOTHING if undo else written(one, other, same=not apart, why=why)
    with landed_pipeline(MUSIC) as landed:
        landed.open_bucket(MUSIC.places().bucket).put(key, io.BytesIO(data))
    word = "what their files say decides again" if undo else "they are two" if apart else "one song"
    print(
        f"{one} and {other}: {word}, with the batch of {key}, which the sensor finds at its next "
        "tick. A key that is a song no more leads to the song that it became."
    )
    return 0


def _song(conn: psycopg.Connection[Any], song: str) -> int:
    rows = conn.execute(_OF_SONG, {"key": song}).fetchall()
    for own, into, reason, confidence, name, evidence in rows:
        told = ", ".join(f"{what} {a:g} and {b:g}" for what, (a, b) in evidence.items())
        print(f"{own} is {into}: {reason} ({confidence:.0%}) as {name}{told and f'; {told}'}")
    if not rows:
        print(f"{song} matches no other key")
    return 0


def _doubles(conn: psycopg.Connection[Any]) -> int:
    from assets.music.silver.doubles import likely_doubles

    doubles = likely_doubles(conn, _SHOWN)
    _listed("songs of one artist and title that something keeps apart", doubles["song"])
    _listed("artists whose names are alike", doubles["artist"])
    _listed("albums of one artist and title that have several release ids", doubles["album"])
    print("make music-match SONG=… shows one; OTHER=… joins the two, with APART=1 it splits them")
    return 0


def _listed(what: str, rows: Iterable[tuple[str, str]]) -> None:
    print(f"{what}:")
    for name, keys in rows:
        print(f"  {name}: {keys}")
