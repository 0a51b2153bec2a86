-- Songs whose lyrics the service gave so long ago that it is asked again; each its own share of a
-- quarter later, so that what was found together does not come due together.
SELECT l.song_key, CASE WHEN l.error IS NULL THEN 0 ELSE l.attempts END, a.name, f.title,
    'service:' || md5(a.name || chr(31) || f.title), true
FROM music.song_lyrics l
JOIN music.fact_song f ON f.song_key = l.song_key
JOIN music.dim_artist a ON a.artist_key = f.artist_key AND a.artist_key <> 'Unknown member'
WHERE l.status = 'found' AND l.source = 'service'
    AND l.updated_at <= %(now)s - make_interval(days => %(days)s)
    AND l.updated_at <= %(now)s - make_interval(days => %(days)s)
        * (1 + get_byte(decode(md5(l.song_key), 'hex'), 0) / 1024.0)
    AND (l.next_attempt_at IS NULL OR l.next_attempt_at <= %(now)s)
    AND f.title IS NOT NULL AND a.name IS NOT NULL
ORDER BY l.updated_at, l.song_key
LIMIT %(limit)s
