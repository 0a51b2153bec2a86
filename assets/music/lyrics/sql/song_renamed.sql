-- What the service said of a touched song under other names is forgotten.
UPDATE music.song_lyrics l SET
    status = 'pending', source = NULL, source_record = NULL, text = NULL, words = NULL,
    attempts = 0, error = NULL, next_attempt_at = NULL, updated_at = %(now)s
FROM music.touched t
JOIN music.fact_song f ON f.song_key = t.key
LEFT JOIN music.dim_artist a ON a.artist_key = f.artist_key AND a.artist_key <> 'Unknown member'
WHERE t.batch_id = %(batch)s AND t.kind = 'song' AND l.song_key = t.key
    AND l.source IS DISTINCT FROM 'file' AND l.source_record LIKE 'service:%%'
    AND l.source_record IS DISTINCT FROM 'service:' || md5(a.name || chr(31) || f.title)
