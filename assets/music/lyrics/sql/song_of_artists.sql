-- Songs whose artist the batch renamed or named are touched by it, too.
INSERT INTO music.touched (batch_id, kind, key)
SELECT t.batch_id, 'song', f.song_key
FROM music.touched t
JOIN music.dim_artist a ON a.artist_key = t.key
JOIN music.fact_song f ON f.artist_key = a.artist_key
JOIN music.song_lyrics l ON l.song_key = f.song_key
WHERE t.batch_id = %(batch)s AND t.kind = 'artist'
    AND (l.source IS DISTINCT FROM 'file' AND l.source_record LIKE 'service:%%'
            AND l.source_record IS DISTINCT FROM 'service:' || md5(a.name || chr(31) || f.title)
        OR l.status = 'pending' AND l.error = 'no artist' AND a.name IS NOT NULL)
ON CONFLICT DO NOTHING
