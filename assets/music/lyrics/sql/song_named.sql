-- A touched song that could not be asked for and now can.
UPDATE music.song_lyrics l SET error = NULL, updated_at = %(now)s
FROM music.touched t
JOIN music.fact_song f ON f.song_key = t.key
JOIN music.dim_artist a ON a.artist_key = f.artist_key AND a.artist_key <> 'Unknown member'
WHERE t.batch_id = %(batch)s AND t.kind = 'song' AND l.song_key = t.key
    AND l.status = 'pending' AND l.next_attempt_at IS NULL AND l.error IS NOT NULL
    AND f.title IS NOT NULL AND a.name IS NOT NULL
