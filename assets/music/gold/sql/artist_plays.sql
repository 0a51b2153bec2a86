-- One row per artist of a song that was played. A listener of several songs is one.
SELECT
    b.artist_key,
    a.name AS artist,
    count(DISTINCT b.song_key)::integer AS songs,
    sum(p.plays)::bigint AS plays,
    count(DISTINCT p.user_id) AS listeners
FROM music.bridge_song_artist AS b /* in scope: b.artist_key */
JOIN music.dim_artist AS a ON a.artist_key = b.artist_key
JOIN music.song_of_id AS i ON i.song_key = b.song_key
JOIN music.counted_play AS p ON p.song_id = i.song_id
GROUP BY b.artist_key, a.artist_key
