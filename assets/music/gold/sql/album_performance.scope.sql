-- Albums that the batches touched, those of the songs that they touched, and those of the artists
-- that they touched: their names are in them.
SELECT t.key FROM music.touched AS t WHERE t.batch_id = ANY (%(batches)s) AND t.kind = 'album'
UNION
SELECT s.album_key
FROM music.touched AS t
JOIN music.fact_song AS s ON s.song_key = t.key
WHERE t.batch_id = ANY (%(batches)s) AND t.kind = 'song'
    AND s.album_key <> 'Unknown member'
UNION
SELECT b.album_key
FROM music.touched AS t
JOIN music.bridge_album_artist AS b ON b.artist_key = t.key
WHERE t.batch_id = ANY (%(batches)s) AND t.kind = 'artist'
