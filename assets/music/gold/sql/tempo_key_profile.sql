-- Sums are exact (numeric), so that the result does not depend on the order of the rows.
SELECT
    s.key,
    s.mode,
    (floor(s.tempo / 10) * 10)::smallint AS tempo_from,
    count(*)::integer AS songs,
    avg(s.loudness::numeric)::double precision AS average_loudness
FROM music.fact_song AS s
/* in scope: concat_ws(' ', s.key, s.mode, floor(s.tempo / 10) * 10) */
WHERE s.key IS NOT NULL AND s.mode IS NOT NULL AND s.tempo IS NOT NULL
GROUP BY s.key, s.mode, floor(s.tempo / 10)
