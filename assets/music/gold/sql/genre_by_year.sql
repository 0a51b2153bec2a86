-- Sums are exact (numeric), so that the result does not depend on the order of the rows.
SELECT
    g.name AS genre,
    s.year_key AS year,
    count(*)::integer AS songs,
    avg(s.tempo::numeric)::double precision AS average_tempo,
    avg(s.loudness::numeric)::double precision AS average_loudness
FROM music.fact_song AS s
JOIN music.dim_genre AS g ON g.genre_key = s.genre_key AND g.genre_key <> 'Unknown member'
/* in scope: concat_ws(' ', g.name, s.year_key) */
GROUP BY g.name, s.year_key
