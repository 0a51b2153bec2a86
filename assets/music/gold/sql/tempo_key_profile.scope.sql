-- Every bin that has a song.
SELECT DISTINCT concat_ws(' ', s.key, s.mode, floor(s.tempo / 10) * 10)
FROM music.fact_song AS s
WHERE s.key IS NOT NULL AND s.mode IS NOT NULL AND s.tempo IS NOT NULL
