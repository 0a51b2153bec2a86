-- A row for every touched song that has none: silver has seen to most.
INSERT INTO music.song_lyrics (song_key, status)
SELECT f.song_key, 'pending'
FROM music.touched t
JOIN music.fact_song f ON f.song_key = t.key
WHERE t.batch_id = %(batch)s AND t.kind = 'song'
    AND NOT EXISTS (SELECT FROM music.song_lyrics l WHERE l.song_key = f.song_key)
