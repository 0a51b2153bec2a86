UPDATE music.artist_genre_lookup l SET
    status = n.status, genre = n.genre, attempts = n.attempts, error = n.error,
    next_attempt_at = n.next_attempt_at, updated_at = %(now)s
FROM unnest(
    %(keys)s::text[], %(statuses)s::text[], %(genres)s::text[], %(attempts)s::integer[],
    %(errors)s::text[], %(next)s::timestamptz[]
) AS n (artist_key, status, genre, attempts, error, next_attempt_at)
WHERE l.artist_key = n.artist_key AND l.status IN ('pending', 'failed')
