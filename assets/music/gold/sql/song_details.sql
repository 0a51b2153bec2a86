-- One row per song. The digest covers every other column and the lyrics. What silver has as the
-- unknown member is null here.
WITH song AS (
    SELECT
        s.song_key,
        s.title,
        a.name AS artist,
        coalesce(n.artists, '{}') AS artists,
        nullif(s.artist_key, 'Unknown member') AS artist_key,
        al.title AS album,
        nullif(s.album_key, 'Unknown member') AS album_key,
        g.name AS genre,
        d.year,
        s.duration,
        s.tempo,
        s.loudness,
        s.key,
        s.mode,
        s.time_signature,
        s.song_hotttnesss,
        s.track_ids,
        coalesce(l.status, 'pending') AS lyrics_status,
        coalesce(l.status = 'found', false) AS has_lyrics,
        l.text,
        l.words
    FROM music.fact_song AS s /* in scope: s.song_key */
    JOIN music.dim_date AS d ON d.year_key = s.year_key
    LEFT JOIN music.dim_artist AS a ON a.artist_key = nullif(s.artist_key, 'Unknown member')
    LEFT JOIN music.dim_album AS al ON al.album_key = nullif(s.album_key, 'Unknown member')
    LEFT JOIN music.dim_genre AS g ON g.genre_key = nullif(s.genre_key, 'Unknown member')
    LEFT JOIN music.song_lyrics AS l ON l.song_key = s.song_key
    LEFT JOIN (
        SELECT b.song_key, array_agg(ba.name ORDER BY b.position, b.artist_key) AS artists
        FROM music.bridge_song_artist AS b /* in scope: b.song_key */
        JOIN music.dim_artist AS ba ON ba.artist_key = b.artist_key
        WHERE ba.name IS NOT NULL
        GROUP BY b.song_key
    ) AS n ON n.song_key = s.song_key
)
SELECT
    song_key, title, artist, artists, artist_key, album, album_key, genre, year, duration, tempo,
    loudness, key, mode, time_signature, song_hotttnesss, track_ids, lyrics_status, has_lyrics,
    left(encode(sha256(convert_to(song::text, 'UTF8')), 'hex'), 32) AS row_hash
FROM song
