-- Artists that the batches touched, and those of songs that they touched or brought plays of.
SELECT t.key FROM music.touched AS t WHERE t.batch_id = ANY (%(batches)s) AND t.kind = 'artist'
UNION
SELECT b.artist_key
FROM music.touched AS t
JOIN music.bridge_song_artist AS b ON b.song_key = t.key
WHERE t.batch_id = ANY (%(batches)s) AND t.kind = 'song'
UNION
SELECT b.artist_key
FROM music.touched AS t
JOIN music.song_of_id AS i ON i.song_id = t.key
JOIN music.bridge_song_artist AS b ON b.song_key = i.song_key
WHERE t.batch_id = ANY (%(batches)s) AND t.kind = 'plays'
