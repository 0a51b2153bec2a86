-- Rows that are not what the songs of their genre and year add up to.
SELECT
    coalesce(g.genre, r.genre) || ' ' || coalesce(g.year, r.year) AS key,
    CASE WHEN r.genre IS NULL THEN 'unexpected' WHEN g.genre IS NULL THEN 'missing'
        ELSE 'differing' END AS problem
FROM music.genre_by_year AS g
FULL JOIN (
    SELECT DISTINCT
        (SELECT d.name FROM music.dim_genre AS d WHERE d.genre_key = s.genre_key) AS genre,
        s.year_key AS year,
        count(*) OVER same AS songs,
        sum(s.tempo) OVER same / nullif(count(s.tempo) OVER same, 0) AS tempo,
        sum(s.loudness) OVER same / nullif(count(s.loudness) OVER same, 0) AS loudness
    FROM music.fact_song AS s
    WHERE s.genre_key <> 'Unknown member'
    WINDOW same AS (PARTITION BY s.genre_key, s.year_key)
) AS r ON r.genre = g.genre AND r.year = g.year
WHERE r.genre IS NULL OR g.genre IS NULL OR g.songs <> r.songs
    OR coalesce(abs(g.average_tempo - r.tempo) > 1e-9 * (1 + abs(r.tempo)),
        (g.average_tempo IS NULL) <> (r.tempo IS NULL))
    OR coalesce(abs(g.average_loudness - r.loudness) > 1e-9 * (1 + abs(r.loudness)),
        (g.average_loudness IS NULL) <> (r.loudness IS NULL))
