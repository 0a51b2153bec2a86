"""Which songs are one: records move to the key of the song that they match, and say why.

Belongs here: ``music.song_match``, finding the groups that a batch may have changed, redirects of
keys that are songs no more. Does not: what matches (``matching.py``, ``folding.py``), and the key
that a record has of its own (``sources.py``).

A group is every own key whose best record has one ``match_key``; it is looked at whole whenever a
record of one of them came or went, so that the outcome does not depend on the order of batches.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Any

from assets.music.silver.matching import Candidate, Match, Pair, matches
from assets.music.silver.precedence import BEST_FIRST

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]

_PAGE = 20_000

# What an operator decided has its two keys in the key of its record: <file>:join:<one> <other>.
_DECISIONS = """
SELECT format, split_part(record_key, ':', 3) FROM music.song_source
WHERE format IN ('join', 'split')
"""
_OWN = """
CREATE TEMP TABLE touched_own ON COMMIT DROP AS
SELECT old_own AS own_key FROM arrived WHERE old_own IS NOT NULL
UNION SELECT own_key FROM news_own WHERE own_key IS NOT NULL
UNION SELECT old_own FROM rekeyed WHERE old_own IS NOT NULL
UNION SELECT new_key FROM rekeyed WHERE new_key IS NOT NULL
UNION SELECT unnest(string_to_array(split_part(record_key, ':', 3), ' ')) FROM arrived
    WHERE split_part(record_key, ':', 2) IN ('join', 'split');
ANALYZE touched_own;

CREATE TEMP TABLE open_match ON COMMIT DROP AS
SELECT s.match_key FROM touched_own JOIN music.song_source s USING (own_key)
    WHERE s.match_key IS NOT NULL
UNION SELECT m.match_key FROM touched_own JOIN music.song_match m USING (own_key)
    WHERE m.match_key IS NOT NULL
UNION SELECT m.match_key FROM touched_own t JOIN music.song_match m ON m.song_key = t.own_key
    WHERE m.match_key IS NOT NULL
"""
_FIRST_OPEN = """
DELETE FROM music.song_match;
CREATE TEMP TABLE touched_own (own_key text) ON COMMIT DROP;
CREATE TEMP TABLE open_match ON COMMIT DROP AS
SELECT match_key FROM music.song_source WHERE match_key IS NOT NULL AND own_key IS NOT NULL
GROUP BY match_key HAVING min(own_key) <> max(own_key)
"""
_BEST_MATCH_KEY = (
    f"(array_agg(s.match_key ORDER BY {BEST_FIRST}) FILTER (WHERE s.match_key IS NOT NULL))[1]"
)
_GROUPS_OF = f"""
SELECT own_key, {_BEST_MATCH_KEY} FROM music.song_source s
WHERE own_key = ANY(%s) GROUP BY own_key
"""
# Where one own key has all records of a name, nothing can match: of most names that is so.
_SHARED = """
CREATE TEMP TABLE shared_match ON COMMIT DROP AS
SELECT match_key FROM open_match JOIN music.song_source s USING (match_key)
WHERE s.own_key IS NOT NULL GROUP BY match_key HAVING min(s.own_key) <> max(s.own_key)
UNION SELECT of_group FROM linked;
ANALYZE shared_match
"""
_MEMBERS = f"""
CREATE TEMP TABLE member ON COMMIT DROP AS
SELECT s.own_key, {_BEST_MATCH_KEY} AS match_key, min(s.seq) AS first_seq,
    (array_agg(s.duration ORDER BY {BEST_FIRST}) FILTER (WHERE s.duration IS NOT NULL))[1]
        AS duration,
    (array_agg(s.tempo ORDER BY {BEST_FIRST}) FILTER (WHERE s.tempo IS NOT NULL))[1] AS tempo
FROM (
    SELECT r.own_key FROM shared_match JOIN music.song_source r USING (match_key)
    WHERE r.own_key IS NOT NULL
    UNION SELECT own_key FROM touched_own JOIN linked ON linked.of_group = own_key
) AS o JOIN music.song_source s USING (own_key)
WHERE s.format <> 'takedown'
GROUP BY s.own_key;
DELETE FROM member WHERE match_key NOT IN (SELECT match_key FROM shared_match);
ANALYZE member
"""
_READ_MEMBERS = """
SELECT coalesce(l.linked, m.match_key, m.own_key) AS of_group, m.match_key, own_key, first_seq,
    duration, tempo
FROM member m LEFT JOIN linked l ON l.of_group = coalesce(m.match_key, m.own_key)
ORDER BY of_group, own_key
"""
_MATCHED = """
CREATE TEMP TABLE matched (
    own_key text COLLATE "C", match_key text COLLATE "C", song_key text COLLATE "C", reason text,
    confidence double precision, evidence jsonb
) ON COMMIT DROP
"""
_COPY_MATCHED = (
    "COPY matched (own_key, match_key, song_key, reason, confidence, evidence) FROM STDIN"
)
_REMAPPED = """
ANALYZE matched;
CREATE TEMP TABLE looked_at ON COMMIT DROP AS
SELECT own_key FROM touched_own
UNION SELECT own_key FROM member
UNION SELECT m.own_key FROM music.song_match m JOIN open_match USING (match_key);
ANALYZE looked_at;

DELETE FROM music.song_match m USING looked_at l
WHERE l.own_key = m.own_key AND NOT EXISTS (
    SELECT FROM matched n WHERE n.own_key = m.own_key);
INSERT INTO music.song_match AS m
    (own_key, match_key, song_key, reason, confidence, evidence)
SELECT own_key, match_key, song_key, reason, confidence, evidence FROM matched
ON CONFLICT (own_key) DO UPDATE SET match_key = excluded.match_key,
    song_key = excluded.song_key, reason = excluded.reason, confidence = excluded.confidence,
    evidence = excluded.evidence, matched_at = clock_timestamp()
WHERE (m.match_key, m.song_key, m.reason, m.evidence)
    IS DISTINCT FROM (excluded.match_key, excluded.song_key, excluded.reason, excluded.evidence);

CREATE TEMP TABLE remapped ON COMMIT DROP AS
SELECT s.record_key, s.song_key AS old_key, coalesce(m.song_key, s.own_key) AS new_key
FROM looked_at JOIN music.song_source s USING (own_key)
LEFT JOIN music.song_match m USING (own_key)
WHERE s.song_key IS DISTINCT FROM coalesce(m.song_key, s.own_key);
ANALYZE remapped;
UPDATE music.song_source s SET song_key = r.new_key FROM remapped r
WHERE s.record_key = r.record_key
"""

# Keys that records left, and the songs that they went to.
_MOVED = """
CREATE TEMP TABLE moved_song ON COMMIT DROP AS
SELECT DISTINCT m.old_key, coalesce(x.song_key, m.new_key) AS new_key
FROM (
    SELECT old_key, new_key FROM rekeyed UNION ALL SELECT old_key, new_key FROM remapped
    UNION ALL
    SELECT a.old_key, s.song_key FROM arrived a JOIN music.song_source s USING (record_key)
    WHERE NOT a.same
) AS m LEFT JOIN music.song_match x ON x.own_key = m.new_key
WHERE m.old_key <> coalesce(x.song_key, m.new_key)
"""
_NONE_MOVED = """
CREATE TEMP TABLE moved_song (old_key text COLLATE "C", new_key text COLLATE "C") ON COMMIT DROP
"""

# A key that was a song and is none now leads to the song that its records went to.
_REDIRECT = """
INSERT INTO music.song_redirect AS r (old_key, song_key)
SELECT DISTINCT ON (m.old_key) m.old_key, m.new_key
FROM moved_song m
JOIN touched_song t ON t.song_key = m.old_key AND t.sources = 0
JOIN music.fact_song f ON f.song_key = m.old_key
JOIN touched_song n ON n.song_key = m.new_key AND n.sources > 0
ORDER BY m.old_key, m.new_key
ON CONFLICT (old_key) DO UPDATE SET song_key = excluded.song_key, since = clock_timestamp()
WHERE r.song_key <> excluded.song_key
"""
_LIVING = """
DELETE FROM music.song_redirect r USING touched_song t
WHERE t.song_key = r.old_key AND t.sources > 0
"""
_SHORTENED = """
UPDATE music.song_redirect r SET song_key = n.song_key FROM music.song_redirect n
WHERE n.old_key = r.song_key AND r.old_key <> n.song_key
"""


def settle(conn: Connection, *, first: bool) -> None:
    """Give every record of the groups that may have changed the key of its song.

    The temporary table ``remapped`` (record_key, old_key, new_key) has those that moved, and
    ``moved_song`` (old_key, new_key) the songs between which any record did. Unless ``first``, the
    tables ``arrived``, ``news_own`` and ``rekeyed`` must say what came.
    """
    conn.execute(_FIRST_OPEN if first else _OWN)
    same, apart = _decided(conn)
    _link(conn, same)
    conn.execute(_SHARED)
    conn.execute(_MEMBERS)
    conn.execute(_MATCHED)
    _write(conn, same, apart)
    conn.execute(_REMAPPED)
    conn.execute(_NONE_MOVED if first else _MOVED)


def redirect(conn: Connection) -> None:
    """Let keys of songs that are no more lead to those that they became part of.

    Comes before they are removed.
    """
    conn.execute(_REDIRECT)
    conn.execute(_LIVING)
    conn.execute(_SHORTENED)


def current_key(conn: Connection, song_key: str) -> str:
    """The key of the song that a key stands for: itself, or what it matches or became part of."""
    row = conn.execute(
        """
        SELECT song_key FROM (
            SELECT 1 AS place, song_key FROM music.song_match WHERE own_key = %(key)s
            UNION ALL SELECT 2, song_key FROM music.song_redirect WHERE old_key = %(key)s
        ) AS found ORDER BY place LIMIT 1
        """,
        {"key": song_key},
    ).fetchone()
    return row[0] if row else song_key


def _decided(conn: Connection) -> tuple[list[Pair], list[Pair]]:
    same: list[Pair] = []
    apart: list[Pair] = []
    for form, keys in conn.execute(_DECISIONS):
        one, _, other = keys.partition(" ")
        (same if form == "join" else apart).append((one, other))
    return same, apart


def _link(conn: Connection, same: Iterable[Pair]) -> None:
    """Make groups one that an operator's word ties together; one of them open opens all."""
    pairs = list(same)
    keys = sorted({key for pair in pairs for key in pair})
    group = {key: found or key for key, found in conn.execute(_GROUPS_OF, (keys,))}
    parent: dict[str, str] = {}

    def top(one: str) -> str:
        while one in parent:
            one = parent[one]
        return one

    for one, other in pairs:
        if one in group and other in group and (a := top(group[one])) != (b := top(group[other])):
            parent[max(a, b)] = min(a, b)
    linked = {one: top(one) for one in group.values() if top(one) != one}
    conn.execute(
        'CREATE TEMP TABLE linked (of_group text COLLATE "C", linked text COLLATE "C")'
        " ON COMMIT DROP"
    )
    tops = set(linked.values())
    if not tops:
        return
    rows = [*linked.items(), *((one, one) for one in tops)]
    with conn.cursor() as cursor:
        cursor.executemany("INSERT INTO linked VALUES (%s, %s)", rows)
    conn.execute(
        """
        INSERT INTO touched_own SELECT k.own_key
        FROM unnest(%(keys)s::text[], %(groups)s::text[]) AS k (own_key, of_group)
        JOIN linked USING (of_group)
        """,
        {"keys": list(group), "groups": list(group.values())},
    )
    conn.execute(
        """
        INSERT INTO open_match SELECT of_group FROM linked
        EXCEPT SELECT match_key FROM open_match
        """
    )


def _write(conn: Connection, same: list[Pair], apart: list[Pair]) -> None:
    with conn.cursor(name="quintet_members") as members, conn.cursor() as cursor:
        members.itersize = _PAGE
        members.execute(_READ_MEMBERS)
        found = _found(members, same, apart)
        while page := [row for _, row in zip(range(_PAGE), found, strict=False)]:
            with cursor.copy(_COPY_MATCHED) as target:
                for row in page:
                    target.write_row(row)


def _found(
    members: Iterable[tuple[Any, ...]], same: list[Pair], apart: list[Pair]
) -> Iterator[tuple[Any, ...]]:
    decided = {key for pair in (*same, *apart) for key in pair}
    for _, rows in groupby(members, key=lambda row: row[0]):
        group = list(rows)
        if len(group) < 2:  # noqa: PLR2004  alone with its name
            continue
        keys = {row[2]: row[1] for row in group}
        told = not decided.isdisjoint(keys)
        candidates = [Candidate(*row[2:]) for row in group]
        for one in matches(candidates, same if told else (), apart if told else ()):
            yield _row(one, keys[one.key])


def _row(one: Match, match_key: str | None) -> tuple[Any, ...]:
    return (one.key, match_key, one.song_key, one.reason, one.confidence, json.dumps(one.evidence))
