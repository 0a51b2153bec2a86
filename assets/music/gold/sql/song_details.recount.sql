-- Songs of the scope whose row is not what silver says, each name looked up on its own.
SELECT
    c.key,
    CASE WHEN s.song_key IS NULL THEN 'unexpected' WHEN g.song_key IS NULL THEN 'missing'
        ELSE 'differing' END AS problem
FROM pg_temp.gold_scope AS c
LEFT JOIN music.fact_song AS s ON s.song_key = c.key
LEFT JOIN music.song_details AS g ON g.song_key = c.key
WHERE (s.song_key IS NULL) <> (g.song_key IS NULL) OR (
    s.song_key IS NOT NULL AND (
        (g.title, g.artist_key, g.album_key, coalesce(g.year, 0), g.duration, g.tempo, g.loudness,
            g.key, g.mode, g.time_signature, g.song_hotttnesss, g.track_ids)
        IS DISTINCT FROM
        (s.title, nullif(s.artist_key, 'Unknown member'), nullif(s.album_key, 'Unknown member'),
            s.year_key, s.duration, s.tempo, s.loudness, s.key, s.mode, s.time_signature, s.song_hotttnesss, s.track_ids)
        OR g.artist IS DISTINCT FROM
            (SELECT a.name FROM music.dim_artist AS a WHERE a.artist_key = g.artist_key)
        OR g.album IS DISTINCT FROM
            (SELECT al.title FROM music.dim_album AS al WHERE al.album_key = g.album_key)
        OR g.genre IS DISTINCT FROM
            (SELECT ge.name FROM music.dim_genre AS ge
                WHERE ge.genre_key = s.genre_key AND ge.genre_key <> 'Unknown member')
        OR g.artists <> ARRAY(
            SELECT a.name
            FROM music.bridge_song_artist AS b, music.dim_artist AS a
            WHERE b.song_key = s.song_key AND a.artist_key = b.artist_key AND a.name IS NOT NULL
            ORDER BY b.position, b.artist_key)
        OR g.has_lyrics <> EXISTS (
            SELECT FROM music.song_lyrics AS l
            WHERE l.song_key = s.song_key AND (l.text IS NOT NULL OR l.words IS NOT NULL))
        OR g.lyrics_status <> coalesce(
            (SELECT l.status FROM music.song_lyrics AS l WHERE l.song_key = s.song_key), 'pending')
        OR length(g.row_hash) <> 32
    )
)
