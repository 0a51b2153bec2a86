-- Albums of the scope whose figures are not those of their songs, added up one album at a time.
SELECT
    c.key,
    CASE WHEN r.songs = 0 THEN 'unexpected' WHEN g.album_key IS NULL THEN 'missing'
        ELSE 'differing' END AS problem
FROM pg_temp.gold_scope AS c
CROSS JOIN LATERAL (
    SELECT count(*) AS songs, sum(s.duration) / nullif(count(s.duration), 0) AS duration
    FROM music.fact_song AS s
    WHERE s.album_key = c.key
) AS r
LEFT JOIN music.album_performance AS g ON g.album_key = c.key
WHERE (r.songs = 0) <> (g.album_key IS NULL) OR (
    g.album_key IS NOT NULL AND (
        g.songs <> r.songs
        OR g.album IS DISTINCT FROM
            (SELECT al.title FROM music.dim_album AS al WHERE al.album_key = c.key)
        OR g.artists <> ARRAY(
            SELECT a.name
            FROM music.bridge_album_artist AS b, music.dim_artist AS a
            WHERE b.album_key = c.key AND a.artist_key = b.artist_key AND a.name IS NOT NULL
            ORDER BY a.name COLLATE "C", a.artist_key)
        OR coalesce(abs(g.average_duration - r.duration) > 1e-9 * (1 + abs(r.duration)),
            (g.average_duration IS NULL) <> (r.duration IS NULL))
    )
)
