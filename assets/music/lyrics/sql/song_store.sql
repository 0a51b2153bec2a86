WITH answered AS (
    SELECT * FROM unnest(
        %(keys)s::text[], %(marks)s::text[], %(statuses)s::text[], %(texts)s::text[],
        %(attempts)s::integer[], %(errors)s::text[], %(next)s::timestamptz[]
    ) AS n (song_key, mark, status, text, attempts, error, next_attempt_at)
), before AS (
    SELECT l.song_key, l.status
    FROM music.song_lyrics l JOIN answered n ON n.song_key = l.song_key
), stored AS (
    UPDATE music.song_lyrics l SET
        status = n.status, text = n.text, attempts = n.attempts, error = n.error,
        source = CASE WHEN n.status = 'found' THEN 'service' END,
        source_record = n.mark, next_attempt_at = n.next_attempt_at, updated_at = %(now)s
    FROM answered n
    WHERE l.song_key = n.song_key AND l.status IN ('pending', 'failed')
    RETURNING l.song_key, l.status
), noted AS (
    INSERT INTO music.lyrics_changed (song_key, changed_at)
    SELECT s.song_key, clock_timestamp()
    FROM stored s JOIN before b ON b.song_key = s.song_key
    WHERE %(note)s AND s.status <> b.status
    ON CONFLICT (song_key) DO UPDATE SET changed_at = excluded.changed_at
)
SELECT count(*) FROM stored
