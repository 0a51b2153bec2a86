-- Artists that the batches touched, and those of the songs that they touched.
SELECT t.key FROM music.touched AS t WHERE t.batch_id = ANY (%(batches)s) AND t.kind = 'artist'
UNION
SELECT b.artist_key
FROM music.touched AS t
JOIN music.bridge_song_artist AS b ON b.song_key = t.key
WHERE t.batch_id = ANY (%(batches)s) AND t.kind = 'song'
