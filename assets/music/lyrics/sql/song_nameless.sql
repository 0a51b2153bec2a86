-- A touched song that can't be asked for says why; it is looked at again when it is touched again.
UPDATE music.song_lyrics l SET
    status = 'pending', next_attempt_at = NULL, updated_at = %(now)s,
    error = CASE WHEN f.title IS NULL THEN 'no title' ELSE 'no artist' END
FROM music.touched t
JOIN music.fact_song f ON f.song_key = t.key
LEFT JOIN music.dim_artist a ON a.artist_key = f.artist_key AND a.artist_key <> 'Unknown member'
WHERE t.batch_id = %(batch)s AND t.kind = 'song' AND l.song_key = t.key
    AND l.status IN ('pending', 'failed') AND (f.title IS NULL OR a.name IS NULL)
    AND (l.status, l.error, l.next_attempt_at) IS DISTINCT FROM
        ('pending', CASE WHEN f.title IS NULL THEN 'no title' ELSE 'no artist' END, NULL)
