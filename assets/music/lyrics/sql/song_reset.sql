-- Noted: gold shows the status.
WITH reset AS (
    UPDATE music.song_lyrics SET
        status = 'pending', attempts = 0, error = NULL, source_record = NULL,
        next_attempt_at = %(now)s, updated_at = %(now)s
    WHERE status = 'missing'
    RETURNING song_key
)
INSERT INTO music.lyrics_changed (song_key, changed_at)
SELECT song_key, clock_timestamp() FROM reset
ON CONFLICT (song_key) DO UPDATE SET changed_at = excluded.changed_at
