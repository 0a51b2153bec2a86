SELECT DISTINCT f.artist_key
FROM music.touched t
JOIN music.fact_song f ON f.song_key = t.key
JOIN music.artist_genre_lookup l ON l.artist_key = f.artist_key
WHERE t.batch_id = %(batch)s AND t.kind = 'song' AND l.status = 'found' AND l.genre IS NOT NULL
    AND f.genre_key = 'Unknown member'
ORDER BY f.artist_key
