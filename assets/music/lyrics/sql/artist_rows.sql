-- A row for every touched artist, or artist of a touched song, with a song without genre.
INSERT INTO music.artist_genre_lookup (artist_key, status, error, next_attempt_at, updated_at)
SELECT a.artist_key, 'pending',
    CASE WHEN a.name IS NULL AND a.mbid IS NULL THEN 'no name' END,
    CASE WHEN a.name IS NULL AND a.mbid IS NULL THEN NULL ELSE %(now)s END, %(now)s
FROM music.dim_artist a
WHERE EXISTS (
        SELECT FROM music.fact_song f
        WHERE f.artist_key = a.artist_key AND f.genre_key = 'Unknown member')
    AND a.artist_key <> 'Unknown member'
    AND a.artist_key IN (
        SELECT t.key FROM music.touched t WHERE t.batch_id = %(batch)s AND t.kind = 'artist'
        UNION ALL
        SELECT f.artist_key FROM music.touched t JOIN music.fact_song f ON f.song_key = t.key
        WHERE t.batch_id = %(batch)s AND t.kind = 'song')
ON CONFLICT (artist_key) DO NOTHING
