"""What a lyrics service says instead of lyrics is no lyrics; lyrics are asked for again by age.

Revision ID: 0028
Revises: 0027
"""

from __future__ import annotations

from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

# As resources/lyrics_words.py had it at the time; a text that it would judge otherwise by now is
# judged anew when its song is asked for again.
UPGRADE = r"""
-- Credits before lyrics, and then placeholders. What changes is noted: gold and search follow.
WITH stripped AS (
    SELECT song_key, text, regexp_replace(
        regexp_replace(text, '^paroles de la chanson [^\n]*\mpar\M[^\n]*(\n|$)', '', 'i'),
        '^\s+', '') AS lyrics
    FROM music.song_lyrics
    WHERE status = 'found' AND source = 'service' AND text IS NOT NULL
), judged AS (
    SELECT song_key, text, CASE WHEN lyrics = '' OR length(lyrics) <= 1000 AND lyrics ~* (
        '^('
        || '(unfortunately,? |sorry,? )?we( are|(''|\u2019)re) not (currently )?'
        || '(authori[sz]ed|licen[sc]ed|allowed) to (display|show) (these|the)( full)? lyrics\M.*'
        || '|unfortunately,? due to licensing restrictions\M.*'
        || '|(sorry,? |we(''|\u2019)re sorry,? )?(no lyrics (found|available)|lyrics (were |are )?'
        || '(not|currently not|un)[ -]?(found|available)( for this song)?)[ .!]*'
        || '|[\[({]*\s*(this (song|track) is (an )?)?instrumental( track| song)?'
        || '\s*[\])}]*[ .!]*'
        || ')$'
    ) THEN NULL ELSE lyrics END AS lyrics
    FROM stripped
), changed AS (
    UPDATE music.song_lyrics l SET
        text = j.lyrics, words = j.words, updated_at = clock_timestamp(),
        status = CASE WHEN j.lyrics IS NULL AND j.words IS NULL THEN 'missing' ELSE 'found' END,
        source = CASE WHEN j.lyrics IS NOT NULL THEN 'service'
            WHEN j.words IS NOT NULL THEN 'file' END,
        source_record = CASE WHEN j.lyrics IS NULL THEN coalesce(j.record_key, l.source_record)
            ELSE l.source_record END,
        error = CASE WHEN j.lyrics IS NULL AND j.words IS NULL
            THEN 'no lyrics, but: ' || left(j.text, 100) END
    FROM (
        SELECT j.*, w.record_key, w.lyrics_words AS words
        FROM judged j
        -- What a file has in words comes back.
        LEFT JOIN LATERAL (
            SELECT s.record_key, s.lyrics_words FROM music.song_source s
            WHERE j.lyrics IS NULL AND s.song_key = j.song_key AND s.lyrics_words IS NOT NULL
            ORDER BY s.rank, s.seq DESC, s.record_key LIMIT 1
        ) AS w ON true
        WHERE j.lyrics IS DISTINCT FROM j.text
    ) AS j
    WHERE l.song_key = j.song_key
    RETURNING l.song_key
)
INSERT INTO music.lyrics_changed (song_key, changed_at)
SELECT song_key, clock_timestamp() FROM changed
ON CONFLICT (song_key) DO UPDATE SET changed_at = excluded.changed_at;

-- Lyrics of the service by age: those that are asked for again.
CREATE INDEX song_lyrics_aged ON music.song_lyrics (updated_at, song_key)
    WHERE status = 'found' AND source = 'service';
"""

DOWNGRADE = """
DROP INDEX music.song_lyrics_aged;
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute(DOWNGRADE)
