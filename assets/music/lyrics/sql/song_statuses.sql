SELECT l.status, count(*)
FROM music.touched t
JOIN music.song_lyrics l ON l.song_key = t.key
WHERE t.batch_id = %(batch)s AND t.kind = 'song'
GROUP BY l.status
