-- Bins that are not what the songs between their edges add up to.
SELECT
    concat_ws(' ', coalesce(g.key, r.key), coalesce(g.mode, r.mode),
        coalesce(g.tempo_from, r.tempo_from)) AS key,
    CASE WHEN r.key IS NULL THEN 'unexpected' WHEN g.key IS NULL THEN 'missing'
        ELSE 'differing' END AS problem
FROM music.tempo_key_profile AS g
FULL JOIN (
    SELECT s.key, s.mode, e.tempo_from, count(*) AS songs,
        sum(s.loudness) / nullif(count(s.loudness), 0) AS loudness
    FROM generate_series(0, 500, 10) AS e (tempo_from)
    JOIN music.fact_song AS s ON s.tempo >= e.tempo_from AND s.tempo < e.tempo_from + 10
    WHERE s.key IS NOT NULL AND s.mode IS NOT NULL
    GROUP BY s.key, s.mode, e.tempo_from
) AS r ON r.key = g.key AND r.mode = g.mode AND r.tempo_from = g.tempo_from
WHERE r.key IS NULL OR g.key IS NULL OR g.songs <> r.songs
    OR coalesce(abs(g.average_loudness - r.loudness) > 1e-9 * (1 + abs(r.loudness)),
        (g.average_loudness IS NULL) <> (r.loudness IS NULL))
