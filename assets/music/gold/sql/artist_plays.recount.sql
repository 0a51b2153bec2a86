-- Artists of the scope whose figures are not those of their songs' listeners, added up anew.
WITH own AS (
    SELECT DISTINCT c.key, s.song_key, i.song_id
    FROM pg_temp.gold_scope AS c
    JOIN music.bridge_song_artist AS b ON b.artist_key = c.key
    JOIN music.fact_song AS s ON s.song_key = b.song_key
    CROSS JOIN LATERAL (
        SELECT s.song_key AS song_id
        UNION SELECT m.own_key FROM music.song_match AS m WHERE m.song_key = s.song_key
        UNION SELECT r.old_key FROM music.song_redirect AS r WHERE r.song_key = s.song_key
    ) AS i
    WHERE coalesce(
        (SELECT m.song_key FROM music.song_match AS m WHERE m.own_key = i.song_id),
        (SELECT r.song_key FROM music.song_redirect AS r WHERE r.old_key = i.song_id),
        i.song_id) = s.song_key
), newest AS (
    SELECT DISTINCT ON (o.key, p.song_id, p.user_id) o.key, o.song_key, p.user_id, p.plays
    FROM own AS o
    JOIN music.fact_play AS p ON p.song_id = o.song_id
    JOIN music.play_file AS f ON f.file_id = p.file_id
    ORDER BY o.key, p.song_id, p.user_id, f.seq DESC, f.file_id DESC
), listened AS (
    SELECT key, user_id, sum(plays) AS plays FROM newest GROUP BY key, user_id
), told AS (
    SELECT key, sum(plays) AS plays, count(*) AS listeners FROM listened GROUP BY key
), played AS (
    SELECT key, count(*) AS songs FROM (SELECT DISTINCT key, song_key FROM newest) AS n GROUP BY key
)
SELECT
    c.key,
    CASE WHEN t.key IS NULL THEN 'unexpected' WHEN g.artist_key IS NULL THEN 'missing'
        ELSE 'differing' END AS problem
FROM pg_temp.gold_scope AS c
LEFT JOIN told AS t ON t.key = c.key
LEFT JOIN played AS d ON d.key = c.key
LEFT JOIN music.dim_artist AS a ON a.artist_key = c.key
LEFT JOIN music.artist_plays AS g ON g.artist_key = c.key
WHERE (t.plays, t.listeners, d.songs) IS DISTINCT FROM (g.plays, g.listeners, g.songs)
    OR (g.artist_key IS NOT NULL AND g.artist IS DISTINCT FROM a.name)
