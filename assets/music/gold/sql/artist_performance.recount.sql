-- Artists of the scope whose figures are not those of their songs, added up one artist at a time.
SELECT
    c.key,
    CASE WHEN r.songs = 0 THEN 'unexpected' WHEN g.artist_key IS NULL THEN 'missing'
        ELSE 'differing' END AS problem
FROM pg_temp.gold_scope AS c
CROSS JOIN LATERAL (
    SELECT
        count(*) AS songs,
        sum(s.tempo) / nullif(count(s.tempo), 0) AS tempo,
        sum(s.loudness) / nullif(count(s.loudness), 0) AS loudness,
        sum(s.duration) AS duration
    FROM music.fact_song AS s
    WHERE s.song_key IN (
        SELECT b.song_key FROM music.bridge_song_artist AS b WHERE b.artist_key = c.key)
) AS r
LEFT JOIN music.artist_performance AS g ON g.artist_key = c.key
WHERE (r.songs = 0) <> (g.artist_key IS NULL) OR (
    g.artist_key IS NOT NULL AND (
        g.songs <> r.songs
        OR NOT EXISTS (
            SELECT FROM music.dim_artist AS a
            WHERE a.artist_key = c.key
              AND (a.name, a.location, a.latitude, a.longitude)
                IS NOT DISTINCT FROM (g.artist, g.location, g.latitude, g.longitude))
        OR coalesce(abs(g.average_tempo - r.tempo) > 1e-9 * (1 + abs(r.tempo)),
            (g.average_tempo IS NULL) <> (r.tempo IS NULL))
        OR coalesce(abs(g.average_loudness - r.loudness) > 1e-9 * (1 + abs(r.loudness)),
            (g.average_loudness IS NULL) <> (r.loudness IS NULL))
        OR coalesce(abs(g.total_duration - r.duration) > 1e-9 * (1 + abs(r.duration)),
            (g.total_duration IS NULL) <> (r.duration IS NULL))
    )
)
