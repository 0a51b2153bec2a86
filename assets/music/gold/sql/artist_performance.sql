-- Sums are exact (numeric), so that the result does not depend on the order of the rows.
SELECT
    b.artist_key,
    a.name AS artist,
    count(*)::integer AS songs,
    avg(s.tempo::numeric)::double precision AS average_tempo,
    avg(s.loudness::numeric)::double precision AS average_loudness,
    sum(s.duration::numeric)::double precision AS total_duration,
    a.location,
    a.latitude,
    a.longitude
FROM music.bridge_song_artist AS b /* in scope: b.artist_key */
JOIN music.fact_song AS s ON s.song_key = b.song_key
JOIN music.dim_artist AS a ON a.artist_key = b.artist_key
GROUP BY b.artist_key, a.artist_key
