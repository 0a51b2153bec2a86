-- Undecided: neither decided nor due, or due without names to ask for.
WITH checked AS (
    SELECT f.song_key, l.song_key IS NULL AS absent,
        coalesce(l.status IN ('pending', 'failed') AND l.next_attempt_at IS NULL
            AND (l.status = 'failed'
                OR (l.error IS NULL) <> (f.title IS NOT NULL AND a.name IS NOT NULL)),
            false) AS undecided
    FROM music.touched t
    JOIN music.fact_song f ON f.song_key = t.key
    LEFT JOIN music.dim_artist a ON a.artist_key = f.artist_key AND a.artist_key <> 'Unknown member'
    LEFT JOIN music.song_lyrics l ON l.song_key = f.song_key
    WHERE t.batch_id = %(batch)s AND t.kind = 'song'
)
SELECT count(*), count(*) FILTER (WHERE absent), count(*) FILTER (WHERE undecided),
    (SELECT coalesce(array_agg(wrong.song_key), '{}') FROM (
        SELECT song_key FROM checked WHERE absent OR undecided ORDER BY song_key LIMIT %(sample)s
    ) AS wrong)
FROM checked
