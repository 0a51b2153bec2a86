-- One row per song that was played. A listener of two ids of one song is one.
SELECT
    i.song_key,
    sum(p.plays)::bigint AS plays,
    count(DISTINCT p.user_id) AS listeners
FROM music.song_of_id AS i /* in scope: i.song_key */
JOIN music.counted_play AS p ON p.song_id = i.song_id
GROUP BY i.song_key
