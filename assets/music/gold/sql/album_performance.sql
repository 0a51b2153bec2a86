-- Sums are exact (numeric), so that the result does not depend on the order of the rows.
SELECT
    s.album_key,
    al.title AS album,
    coalesce(n.artists, '{}') AS artists,
    count(*)::integer AS songs,
    avg(s.duration::numeric)::double precision AS average_duration
FROM music.fact_song AS s /* in scope: s.album_key */
JOIN music.dim_album AS al ON al.album_key = s.album_key
LEFT JOIN (
    SELECT b.album_key, array_agg(a.name ORDER BY a.name COLLATE "C", a.artist_key) AS artists
    FROM music.bridge_album_artist AS b /* in scope: b.album_key */
    JOIN music.dim_artist AS a ON a.artist_key = b.artist_key
    WHERE a.name IS NOT NULL
    GROUP BY b.album_key
) AS n ON n.album_key = s.album_key
WHERE s.album_key <> 'Unknown member'
GROUP BY s.album_key, al.title, n.artists
