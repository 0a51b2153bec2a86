-- Songs that the batches touched, and those whose plays they brought or took.
SELECT t.key FROM music.touched AS t WHERE t.batch_id = ANY (%(batches)s) AND t.kind = 'song'
UNION
SELECT i.song_key
FROM music.touched AS t
JOIN music.song_of_id AS i ON i.song_id = t.key
WHERE t.batch_id = ANY (%(batches)s) AND t.kind = 'plays'
