"""Which album a title is: one of a release id, where songs of the artist say both, else its own.

Belongs here: ``music.album_name``, ``music.album_match``, ``music.album_redirect``, and the songs
to be made anew when a title is another album. Does not: the key that an album has by itself
(``songs.py``), what is left out of a title (``folding.py``).

A title without a release id is the album of an id that a song of the same artist gives beside a
title that folds to the same; of several ids the smallest. Songs with an id decide and keep theirs,
so that one round settles all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from assets.music.bronze.records import normalised
from assets.music.silver.names import ALBUM_FINGERPRINT
from assets.music.silver.statements import UNKNOWN, listed

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]

_PAGE = 20_000
_NAME = ("artist_key", "match_title", "own_key")

_TEXTS = """
CREATE TEMP TABLE album_text (
    text text COLLATE "C" NOT NULL, title text COLLATE "C" NOT NULL, match_title text COLLATE "C"
) ON COMMIT DROP
"""
# What albums are called: by the fused songs, whose keys are the albums' own as yet.
_CALLED = """
CREATE TEMP TABLE called ON COMMIT DROP AS
SELECT DISTINCT s.artist_key, t.match_title, s.album_key AS own_key
FROM song s JOIN album_text t ON t.text = s.album
WHERE s.artist_key IS NOT NULL AND s.album_key IS NOT NULL AND t.match_title IS NOT NULL;
ANALYZE called
"""
# The same by songs that the batch did not touch.
_OTHERS = """
CREATE TEMP TABLE {name} ON COMMIT DROP AS
SELECT DISTINCT f.artist_key, s.album,
    CASE WHEN s.album_release_id > 0 THEN s.album_release_id END AS release_id
FROM {facts}
JOIN music.song_source s ON s.record_key = coalesce(f.provenance ->> 'album', f.base_source)
WHERE f.artist_key <> {unknown} AND f.album_key <> {unknown}
    AND NOT EXISTS (SELECT FROM touched_song t WHERE t.song_key = f.song_key)
"""
_CALLED_BY_OTHERS = f"""
SELECT DISTINCT o.artist_key, t.match_title, CASE WHEN release_id IS NOT NULL
    THEN 'r-' || release_id
    ELSE {ALBUM_FINGERPRINT.format(artist_key="o.artist_key", title="t.title")} END AS own_key
FROM {{name}} o JOIN album_text t ON t.text = o.album
WHERE t.match_title IS NOT NULL
"""
# A database of before titles were kept is caught up with at once.
_NEVER_ASKED = f"""
SELECT NOT EXISTS (SELECT FROM music.album_name)
    AND EXISTS (SELECT FROM music.dim_album WHERE album_key <> {UNKNOWN})
"""

_FIRST = f"""
DELETE FROM music.album_name;
DELETE FROM music.album_match;
INSERT INTO music.album_name ({listed(_NAME)}) SELECT {listed(_NAME)} FROM called;
CREATE TEMP TABLE open_title ON COMMIT DROP AS
SELECT artist_key, match_title FROM called
GROUP BY artist_key, match_title HAVING min(own_key) <> max(own_key)
"""
# Names that a touched song gave and no touched song gives now: another may.
_DOUBTFUL = f"""
CREATE TEMP TABLE doubtful ON COMMIT DROP AS
WITH was AS (
    SELECT DISTINCT album_key, main_artist AS artist_key FROM old_fact
    WHERE album_key IS NOT NULL AND main_artist IS NOT NULL
)
SELECT {listed(_NAME, "n")} FROM was w
JOIN music.album_name n ON n.artist_key = w.artist_key AND n.own_key = w.album_key
UNION
SELECT {listed(_NAME, "n")} FROM was w JOIN music.album_match m USING (album_key)
JOIN music.album_name n ON n.artist_key = w.artist_key AND n.own_key = m.name_key
EXCEPT SELECT {listed(_NAME)} FROM called
"""
_FACTS_OF_DOUBTFUL = """
doubtful d LEFT JOIN music.album_match m ON m.name_key = d.own_key
JOIN music.fact_song f
    ON f.album_key = coalesce(m.album_key, d.own_key) AND f.artist_key = d.artist_key
"""
_NONE_GONE = "CREATE TEMP TABLE gone_name ON COMMIT DROP AS SELECT * FROM called WITH NO DATA"
_GONE = f"""
CREATE TEMP TABLE gone_name ON COMMIT DROP AS
SELECT {listed(_NAME)} FROM doubtful
EXCEPT SELECT {listed(_NAME)} FROM ({_CALLED_BY_OTHERS.format(name="said_of_doubtful")}) AS said;
DELETE FROM music.album_name n USING gone_name g
WHERE ({listed(_NAME, "n")}) = ({listed(_NAME, "g")})
"""
_OPEN = """
CREATE TEMP TABLE open_title (artist_key text COLLATE "C", match_title text COLLATE "C")
ON COMMIT DROP
"""
_CAME = f"""
WITH came AS (
    INSERT INTO music.album_name ({listed(_NAME)}) SELECT {listed(_NAME)} FROM called
    ON CONFLICT DO NOTHING RETURNING artist_key, match_title
)
INSERT INTO open_title SELECT artist_key, match_title FROM came
UNION SELECT artist_key, match_title FROM gone_name
"""
_MATCHED = """
ANALYZE open_title;
CREATE TEMP TABLE matched_album ON COMMIT DROP AS
WITH name AS (
    SELECT artist_key, match_title, own_key, starts_with(own_key, 'r-') AS of_release
    FROM open_title JOIN music.album_name USING (artist_key, match_title)
), release AS (
    SELECT artist_key, match_title, min(substr(own_key, 3)::bigint) AS release_id, count(*) AS ids
    FROM name WHERE of_release GROUP BY artist_key, match_title
)
SELECT n.own_key AS name_key, n.match_title, 'r-' || r.release_id AS album_key,
    CASE WHEN ids = 1 THEN 'title' ELSE 'title of several' END AS reason,
    CASE WHEN ids = 1 THEN 0.8 ELSE 0.4 END AS confidence
FROM name n JOIN release r USING (artist_key, match_title) WHERE NOT n.of_release
"""
_REMATCHED = """
CREATE TEMP TABLE remapped_album ON COMMIT DROP AS
SELECT n.own_key AS name_key, n.artist_key, coalesce(m.album_key, n.own_key) AS old_key,
    coalesce(x.album_key, n.own_key) AS new_key
FROM (
    SELECT own_key, artist_key FROM open_title
    JOIN music.album_name USING (artist_key, match_title)
    UNION SELECT own_key, artist_key FROM gone_name
) AS n
LEFT JOIN music.album_match m ON m.name_key = n.own_key
LEFT JOIN matched_album x ON x.name_key = n.own_key
WHERE coalesce(m.album_key, n.own_key) <> coalesce(x.album_key, n.own_key);

DELETE FROM music.album_match m USING remapped_album r
WHERE r.name_key = m.name_key AND r.new_key = r.name_key;
INSERT INTO music.album_match AS m (name_key, match_title, album_key, reason, confidence)
SELECT name_key, match_title, album_key, reason, confidence FROM matched_album
ON CONFLICT (name_key) DO UPDATE SET match_title = excluded.match_title,
    album_key = excluded.album_key, reason = excluded.reason,
    confidence = excluded.confidence, matched_at = clock_timestamp()
WHERE (m.album_key, m.reason) <> (excluded.album_key, excluded.reason)
"""
_NONE_REMATCHED = """
CREATE TEMP TABLE remapped_album (name_key text, artist_key text, old_key text, new_key text)
ON COMMIT DROP
"""
# Songs of these titles; those with an id of their own stay where they are.
_FURTHER = """
CREATE TEMP TABLE further_song ON COMMIT DROP AS
SELECT DISTINCT f.song_key, f.sources
FROM remapped_album r
JOIN music.fact_song f ON f.album_key = r.old_key AND f.artist_key = r.artist_key
JOIN music.song_source s ON s.record_key = coalesce(f.provenance ->> 'album', f.base_source)
WHERE coalesce(s.album_release_id, 0) <= 0
    AND NOT EXISTS (SELECT FROM touched_song t WHERE t.song_key = f.song_key)
"""
_APPLY = """
UPDATE song s SET album_key = m.album_key FROM music.album_match m WHERE m.name_key = s.album_key
"""

# Albums that songs left for another of the same title; found before albums are removed.
_MOVED = """
CREATE TEMP TABLE moved_album ON COMMIT DROP AS
SELECT o.album_key AS old_key, s.album_key AS new_key, count(*) AS songs
FROM old_fact o JOIN song s USING (song_key) JOIN album_text t ON t.text = s.album
WHERE o.album_key <> s.album_key AND EXISTS (
    SELECT FROM music.album_name n WHERE n.artist_key = o.main_artist
        AND n.match_title = t.match_title AND n.own_key = o.album_key
    UNION ALL
    SELECT FROM gone_name g WHERE g.artist_key = o.main_artist
        AND g.match_title = t.match_title AND g.own_key = o.album_key)
GROUP BY o.album_key, s.album_key
"""
_REDIRECT = """
INSERT INTO music.album_redirect AS r (old_key, album_key)
SELECT DISTINCT ON (m.old_key) m.old_key, m.new_key FROM moved_album m
WHERE NOT EXISTS (SELECT FROM music.dim_album d WHERE d.album_key = m.old_key)
ORDER BY m.old_key, m.songs DESC, m.new_key
ON CONFLICT (old_key) DO UPDATE SET album_key = excluded.album_key, since = clock_timestamp()
WHERE r.album_key <> excluded.album_key;

UPDATE music.album_redirect r SET album_key = m.album_key, since = clock_timestamp()
FROM remapped_album c JOIN music.album_match m USING (name_key)
WHERE r.old_key = c.name_key AND r.album_key <> m.album_key;

DELETE FROM music.album_redirect r USING touched_album t JOIN music.dim_album d USING (album_key)
WHERE r.old_key = t.album_key;

UPDATE music.album_redirect r SET album_key = n.album_key
FROM moved_album m JOIN music.album_redirect n USING (old_key)
WHERE r.album_key = m.old_key AND r.old_key <> n.album_key
"""


def settle(conn: Connection, *, first: bool) -> bool:
    """Let titles be the albums that songs say now, after ``song`` and ``old_fact`` are made.

    Whether songs follow that no record came of: ``further_song`` has them, ``touched_song`` too.
    """
    conn.execute(_TEXTS)
    _fold(conn, "SELECT album FROM song WHERE artist_key IS NOT NULL")
    conn.execute(_CALLED)
    if first:
        conn.execute(_FIRST)
        conn.execute(_NONE_GONE)
    elif not _rename(conn):
        conn.execute(_NONE_REMATCHED)
        return False
    conn.execute(_MATCHED)
    conn.execute(_REMATCHED)
    if first or not conn.execute(_FURTHER).rowcount:
        return False
    conn.execute("INSERT INTO touched_song SELECT song_key, sources FROM further_song")
    conn.execute("ANALYZE touched_song")
    _fold(conn, "SELECT album FROM further_song JOIN music.song_source USING (song_key)")
    return True


def apply(conn: Connection, *, first: bool) -> None:
    """Give the songs of ``song`` the albums that their titles are."""
    conn.execute(_APPLY)
    if not first:
        conn.execute(_MOVED)


def redirect(conn: Connection) -> None:
    """Let keys of albums that are no more lead to those that they became part of.

    Comes after they are removed.
    """
    conn.execute(_REDIRECT)


def _rename(conn: Connection) -> bool:
    """Let ``album_name`` be what songs say now; whether that changed (``open_title``)."""
    row = conn.execute(_NEVER_ASKED).fetchone()
    if row and row[0]:
        conn.execute(_others("said_before", "music.fact_song f"))
        _fold(conn, "SELECT album FROM said_before")
        conn.execute(
            f"INSERT INTO called {_CALLED_BY_OTHERS.format(name='said_before')}"
            f" EXCEPT SELECT {listed(_NAME)} FROM called"
        )
    if conn.execute(_DOUBTFUL).rowcount:
        conn.execute("ANALYZE doubtful")
        conn.execute(_others("said_of_doubtful", _FACTS_OF_DOUBTFUL))
        _fold(conn, "SELECT album FROM said_of_doubtful")
        conn.execute(_GONE)
    else:
        conn.execute(_NONE_GONE)
    conn.execute(_OPEN)
    return conn.execute(_CAME).rowcount > 0


def _others(name: str, facts: str) -> str:
    return _OTHERS.format(name=name, facts=facts, unknown=UNKNOWN)


def _fold(conn: Connection, texts: str) -> None:
    """Add the titles that a query gives to ``album_text``, normalised and folded."""
    import polars as pl

    from assets.music.silver.folding import folded_album

    with conn.cursor(name="quintet_albums") as albums, conn.cursor() as cursor:
        albums.execute(
            f"SELECT text FROM ({texts}) AS t (text) WHERE text IS NOT NULL"
            " EXCEPT SELECT text FROM album_text"
        )
        found = False
        while page := albums.fetchmany(_PAGE):
            found = True
            titles = {text: title for (text,) in page if (title := normalised(text))}
            # Folded as normalised, for a key of its own is of that: one key has one folded title.
            column = pl.DataFrame({"title": list(titles.values())}, schema={"title": pl.String})
            folded = column.select(folded_album(pl.col("title"))).to_series()
            with cursor.copy("COPY album_text (text, title, match_title) FROM STDIN") as target:
                for (text, title), match in zip(titles.items(), folded, strict=True):
                    target.write_row((text, title, match))
    if found:
        conn.execute("ANALYZE album_text")
