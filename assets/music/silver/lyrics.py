"""``music.song_lyrics`` as far as files go: text or words, or that a song has to be asked for.

Belongs here: which record gives a song's lyrics, and what becomes of what a service gave. Does
not: asking the service (``assets/music/lyrics``).

A text beats a bag of words; of each kind the best record's is taken. A text of a file beats one of
the service, which beats a file's words. A song whose records move to another key takes along what
the service found for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from assets.music.silver.precedence import BEST_LYRICS_FIRST

if TYPE_CHECKING:
    import psycopg

_FROM_FILES = f"""
CREATE TEMP TABLE lyric ON COMMIT DROP AS
SELECT DISTINCT ON (song_key) song_key, s.record_key AS source_record, s.lyrics_text AS text,
    CASE WHEN s.lyrics_text IS NULL THEN s.lyrics_words END AS words
FROM song JOIN music.song_source s USING (song_key)
WHERE s.lyrics_text IS NOT NULL OR s.lyrics_words IS NOT NULL
ORDER BY song_key, {BEST_LYRICS_FIRST};
ANALYZE lyric (song_key)
"""
_NOTHING_CARRIED = """
CREATE TEMP TABLE carried (song_key text, source_record text, text text, words jsonb)
ON COMMIT DROP
"""
_CARRIED = """
INSERT INTO carried
SELECT DISTINCT ON (m.new_key) m.new_key, l.source_record, l.text, l.words
FROM moved_song m
JOIN touched_song t ON t.song_key = m.old_key AND t.sources = 0
JOIN music.song_lyrics l ON l.song_key = m.old_key
WHERE l.status = 'found' AND l.source = 'service'
ORDER BY m.new_key, l.text IS NULL, m.old_key
"""
_FOUND = """
UPDATE music.song_lyrics l SET status = 'found', source = n.source,
    source_record = n.source_record, text = n.text, words = n.words, attempts = 0, error = NULL,
    next_attempt_at = NULL, updated_at = clock_timestamp()
FROM (
    SELECT song_key, 'file' AS source, source_record, text, words FROM lyric
    UNION ALL
    SELECT song_key, 'service', source_record, text, words FROM carried c
    WHERE NOT EXISTS (SELECT FROM lyric n WHERE n.song_key = c.song_key AND n.text IS NOT NULL)
        AND NOT EXISTS (SELECT FROM music.song_lyrics l
            WHERE l.song_key = c.song_key AND l.text IS NOT NULL)
) AS n
WHERE l.song_key = n.song_key
    AND (n.source = 'service' OR n.text IS NOT NULL OR NOT EXISTS (
        SELECT FROM carried c WHERE c.song_key = n.song_key AND c.text IS NOT NULL))
    AND (l.source IS DISTINCT FROM 'service' OR l.text IS NULL OR n.text IS NOT NULL)
    AND (l.source, l.source_record, l.text, l.words)
        IS DISTINCT FROM (n.source, n.source_record, n.text, n.words)
"""
_LOST = """
UPDATE music.song_lyrics l SET status = 'pending', source = NULL, source_record = NULL,
    text = NULL, words = NULL, attempts = 0, error = NULL, next_attempt_at = NULL,
    updated_at = clock_timestamp()
FROM song s
WHERE l.song_key = s.song_key AND l.source = 'file'
    AND NOT EXISTS (SELECT FROM lyric n WHERE n.song_key = l.song_key)
"""
_NEW = """
INSERT INTO music.song_lyrics (song_key, status, source, source_record, text, words)
SELECT s.song_key,
    CASE WHEN n.song_key IS NULL AND c.song_key IS NULL THEN 'pending' ELSE 'found' END,
    CASE WHEN c.song_key IS NOT NULL AND n.text IS NULL THEN 'service'
        WHEN n.song_key IS NOT NULL THEN 'file' END,
    CASE WHEN c.song_key IS NOT NULL AND n.text IS NULL THEN c.source_record
        ELSE n.source_record END,
    CASE WHEN n.text IS NULL THEN c.text ELSE n.text END,
    CASE WHEN c.song_key IS NULL THEN n.words WHEN n.text IS NULL THEN c.words END
FROM song s LEFT JOIN lyric n USING (song_key) LEFT JOIN carried c USING (song_key)
WHERE NOT EXISTS (SELECT FROM music.song_lyrics l WHERE l.song_key = s.song_key)
"""


def write_lyrics(conn: psycopg.Connection[Any], *, first: bool) -> None:
    """Give every song of ``song`` its row; what the service said of it stays unless files say more.

    Must come after the facts and before songs that are no more are removed.
    """
    conn.execute(_FROM_FILES)
    conn.execute(_NOTHING_CARRIED)
    if not first:
        conn.execute(_CARRIED)
        conn.execute(_LOST)
        conn.execute(_FOUND)
    conn.execute(_NEW)
