SELECT l.artist_key, l.attempts, a.name, a.mbid
FROM music.artist_genre_lookup l
/* of a batch: JOIN (
    SELECT key FROM music.touched WHERE batch_id = %(batch)s AND kind = 'artist'
    UNION
    SELECT f.artist_key FROM music.touched t JOIN music.fact_song f ON f.song_key = t.key
    WHERE t.batch_id = %(batch)s AND t.kind = 'song'
) AS t ON t.key = l.artist_key */
JOIN music.dim_artist a ON a.artist_key = l.artist_key
WHERE l.status IN ('pending', 'failed') AND l.next_attempt_at <= %(now)s
    AND (a.name IS NOT NULL OR a.mbid IS NOT NULL)
    AND EXISTS (
        SELECT FROM music.fact_song f
        WHERE f.artist_key = l.artist_key AND f.genre_key = 'Unknown member')
ORDER BY l.next_attempt_at, l.artist_key
LIMIT %(limit)s
