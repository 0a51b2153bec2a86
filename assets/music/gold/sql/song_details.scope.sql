-- Songs that the batches touched, and those that show a name which they changed.
SELECT t.key FROM music.touched AS t WHERE t.batch_id = ANY (%(batches)s) AND t.kind = 'song'
UNION
SELECT g.song_key
FROM music.touched AS t
JOIN music.dim_artist AS a ON a.artist_key = t.key
JOIN music.bridge_song_artist AS b ON b.artist_key = a.artist_key
JOIN music.song_details AS g ON g.song_key = b.song_key
WHERE t.batch_id = ANY (%(batches)s) AND t.kind = 'artist' AND (
    a.name IS NULL
    OR NOT a.name = ANY (g.artists)
    OR (g.artist_key = a.artist_key AND g.artist IS DISTINCT FROM a.name)
)
UNION
SELECT g.song_key
FROM music.touched AS t
JOIN music.dim_album AS al ON al.album_key = t.key
JOIN music.song_details AS g ON g.album_key = al.album_key
WHERE t.batch_id = ANY (%(batches)s) AND t.kind = 'album' AND g.album IS DISTINCT FROM al.title
