-- again: of lyrics that were found long ago. They stay while nothing is known of them, and what
-- a file has in words comes back when the service has none any more.
WITH answered AS (
    SELECT n.*, n.again AND n.status = 'failed' AS kept, w.record_key, w.lyrics_words
    FROM unnest(
        %(keys)s::text[], %(marks)s::text[], %(again)s::boolean[], %(statuses)s::text[],
        %(texts)s::text[], %(attempts)s::integer[], %(errors)s::text[], %(next)s::timestamptz[]
    ) AS n (song_key, mark, again, status, text, attempts, error, next_attempt_at)
    LEFT JOIN LATERAL (
        SELECT s.record_key, s.lyrics_words FROM music.song_source s
        WHERE n.again AND n.status = 'missing' AND s.song_key = n.song_key
            AND s.lyrics_words IS NOT NULL
        ORDER BY s.rank, s.seq DESC, s.record_key LIMIT 1
    ) AS w ON true
), before AS (
    SELECT l.song_key, l.status, l.text
    FROM music.song_lyrics l JOIN answered n ON n.song_key = l.song_key
), stored AS (
    UPDATE music.song_lyrics l SET
        status = CASE WHEN n.kept OR n.record_key IS NOT NULL THEN 'found' ELSE n.status END,
        text = CASE WHEN n.kept THEN l.text ELSE n.text END,
        words = CASE WHEN n.kept THEN l.words ELSE n.lyrics_words END,
        attempts = CASE WHEN n.record_key IS NULL THEN n.attempts ELSE 0 END,
        error = CASE WHEN n.record_key IS NULL THEN n.error END,
        source = CASE WHEN n.record_key IS NOT NULL THEN 'file'
            WHEN n.kept OR n.status = 'found' THEN 'service' END,
        source_record = CASE WHEN n.kept THEN l.source_record
            ELSE coalesce(n.record_key, n.mark) END,
        next_attempt_at = n.next_attempt_at,
        updated_at = CASE WHEN n.kept THEN l.updated_at ELSE %(now)s END
    FROM answered n
    WHERE l.song_key = n.song_key AND CASE WHEN n.again
        THEN l.status = 'found' AND l.source = 'service'
        ELSE l.status IN ('pending', 'failed') END
    RETURNING l.song_key, l.status, l.text
), noted AS (
    INSERT INTO music.lyrics_changed (song_key, changed_at)
    SELECT s.song_key, clock_timestamp()
    FROM stored s JOIN before b ON b.song_key = s.song_key
    WHERE %(note)s AND (s.status, s.text) IS DISTINCT FROM (b.status, b.text)
    ON CONFLICT (song_key) DO UPDATE SET changed_at = excluded.changed_at
)
SELECT count(*) FROM stored
