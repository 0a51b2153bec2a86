-- An artist that could not be asked for, or not be found by name, and is better known by now.
UPDATE music.artist_genre_lookup l SET
    status = 'pending', attempts = 0, error = NULL, next_attempt_at = %(now)s, updated_at = %(now)s
FROM music.dim_artist a
WHERE a.artist_key = l.artist_key
    AND (l.status = 'missing' AND l.error LIKE 'by name:%%' AND a.mbid IS NOT NULL
        OR l.status = 'pending' AND l.next_attempt_at IS NULL
            AND (a.name IS NOT NULL OR a.mbid IS NOT NULL))
    AND l.artist_key IN (
        SELECT t.key FROM music.touched t WHERE t.batch_id = %(batch)s AND t.kind = 'artist'
        UNION ALL
        SELECT f.artist_key FROM music.touched t JOIN music.fact_song f ON f.song_key = t.key
        WHERE t.batch_id = %(batch)s AND t.kind = 'song')
