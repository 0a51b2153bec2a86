-- The index on next_attempt_at gives this order: failed songs whose time has come, then new ones.
SELECT l.song_key, l.attempts, a.name, f.title, 'service:' || md5(a.name || chr(31) || f.title)
FROM music.song_lyrics l
/* of a batch: JOIN music.touched t
    ON t.batch_id = %(batch)s AND t.kind = 'song' AND t.key = l.song_key */
JOIN music.fact_song f ON f.song_key = l.song_key
JOIN music.dim_artist a ON a.artist_key = f.artist_key AND a.artist_key <> 'Unknown member'
WHERE l.status IN ('pending', 'failed')
    AND (l.next_attempt_at <= %(now)s OR l.next_attempt_at IS NULL AND l.error IS NULL)
    AND f.title IS NOT NULL AND a.name IS NOT NULL
ORDER BY l.next_attempt_at, l.song_key
LIMIT %(limit)s
